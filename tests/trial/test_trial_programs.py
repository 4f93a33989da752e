"""How a program or an image is called, and what is seen of it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from sceval.trial.alone import without_route
from sceval.trial.places import changes, snapshot
from sceval.trial.programs import Image, Program, find_program, strays_of

# Stands for Docker: `run` starts what follows `sceval-model` in the shell that the image would, `diff` tells of a file.
DOCKER = """#!/bin/sh
echo "$*" >> {log}
case "$1" in
    run)
        while [ "$1" != "-w" ]; do shift; done
        cd "$2"; shift 7
        mkdir -p out; echo "$@" > out/words.txt; echo late >&2; exit 3 ;;
    diff) printf 'C /tmp\\nA /tmp/cache.bin\\nA /opt/app\\nA /opt/app/x\\nC /tmp/.cache\\nA /tmp/.cache/fonts\\n' ;;
esac
"""


def test_counters_of_packets_without_a_route_are_read():
    text = "Ip: Forwarding OutNoRoutes Reasm\nIp: 1 3 0\nIcmp: InMsgs\nIcmp: 7\nIp6InReceives 5\nIp6OutNoRoutes \t 2\n"
    assert without_route(text) == 5
    assert without_route("") == 0


def test_changes_of_a_folder_are_told(tmp_path):
    (tmp_path / "kept").write_text("a")
    (tmp_path / "edited").write_text("a")
    (tmp_path / "lost").write_text("a")
    before = snapshot(tmp_path)
    (tmp_path / "edited").write_text("b")
    (tmp_path / "lost").unlink()
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "file").write_text("c")
    assert changes(before, snapshot(tmp_path)) == ["new/file is new", "lost is gone", "edited was changed"]
    assert snapshot(tmp_path / "absent") == {}


def test_an_image_is_run_without_network_as_a_strange_user_with_inputs_read_only(tmp_path):
    command = Image("projection:1.0.0").command(["info"], tmp_path, "name", Path("/weights"))
    text = " ".join(command)
    assert text.startswith("docker run --name name --network none -u ")
    assert command[command.index("-u") + 1] not in ("0:0", "root")
    assert f"-v {tmp_path}/work/in:{tmp_path}/work/in:ro" in text
    assert "-v /weights:/weights:ro" in text
    assert command[-1] == "info"


def test_what_docker_tells_becomes_findings(tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    docker = tmp_path / "bin" / "docker"
    docker.write_text(DOCKER.format(log=tmp_path / "log"))
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{docker.parent}{os.pathsep}{os.environ['PATH']}")
    (tmp_path / "place").mkdir()
    call = Image("any:1").call(["embed-cells"], tmp_path / "place")
    assert (call.code, call.last_line) == (3, "late")
    assert call.strays == ["image: /tmp/cache.bin is new", "image: /opt/app/x is new"]
    assert call.touched == []
    assert call.packets is None
    assert (call.output / "words.txt").read_text().split() == ["embed-cells"]
    words = [line.split()[0] for line in (tmp_path / "log").read_text().splitlines()]
    assert words == ["run", "diff", "rm"]  # whatever it left is removed


def test_mounts_are_no_strays():
    diff = "C /data\nA /data/work\nA /data/work/in\nC /etc\nA /etc/x\n"
    assert strays_of(diff, [Path("/data/work")]) == ["/etc/x is new"]


def test_a_program_is_found_by_path_on_the_path_or_beside_python(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("here", "there"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    assert find_program(str(tmp_path / "here")) == [str(tmp_path / "here")]
    assert find_program("there") == [str(tmp_path / "there")]
    assert find_program(Path(sys.executable).name) == [str(Path(sys.executable))]
    assert find_program("none-of-that-name") is None


def test_a_program_that_cannot_be_started_is_told(tmp_path):
    call = Program([str(tmp_path / "none")]).call(["info"], tmp_path / "place")
    assert call.code == 127
    assert "No such file" in call.last_line
