"""The set-up scripts: what they refuse, what they say, and that they leave alone what is there."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Enough for the scripts themselves; neither Python nor Java nor Maven.
PLAIN_TOOLS = (
    "awk basename bash cat chmod cmp comm cp cut dirname env find grep head id ls mkdir mv printf readlink realpath rm "
    "sed sha256sum sort stat tail tr uname wc"
)


def run(*command: str | Path, **options) -> subprocess.CompletedProcess[str]:
    """Run a command to its end and keep what it says."""
    return subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        stdin=subprocess.DEVNULL,
        **options,
    )


@pytest.fixture
def plain_path(tmp_path: Path) -> str:
    """Return a PATH with plain tools only."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in PLAIN_TOOLS.split():
        found = shutil.which(name, path="/usr/local/bin:/usr/bin:/bin")
        assert found, f"{name} is missing on this machine"
        (folder / name).symlink_to(found)
    return str(folder)


@pytest.fixture
def jar_project(tmp_path: Path) -> Path:
    """Return a copy of the jar script beside a list of two small files that it has to check."""
    setup = tmp_path / "project" / "setup"
    (setup / "few").mkdir(parents=True)
    for name in ("lib.sh", "jars.sh"):
        shutil.copy(ROOT / "setup" / name, setup)
    jars = tmp_path / "project" / "jars"
    jars.mkdir()
    lines = []
    for name in ("first-1.0.jar", "second-2.0.jar"):
        (jars / name).write_bytes(name.encode())
        lines.append(f"{hashlib.sha256(name.encode()).hexdigest()}  {name}\n")
    (setup / "few" / "SHA256SUMS").write_text("".join(lines))
    return tmp_path / "project"


def check_jars(project: Path) -> subprocess.CompletedProcess[str]:
    return run("bash", project / "setup/jars.sh", "--check", "few", project / "jars")


def test_jars_as_listed_are_accepted(jar_project: Path) -> None:
    assert check_jars(jar_project).returncode == 0


def test_a_changed_jar_is_refused_by_name(jar_project: Path) -> None:
    (jar_project / "jars/second-2.0.jar").write_bytes(b"something else")
    done = check_jars(jar_project)
    assert done.returncode == 1
    assert "second-2.0.jar" in done.stderr
    assert "first-1.0.jar" not in done.stderr


def test_an_unlisted_jar_is_refused_by_name(jar_project: Path) -> None:
    (jar_project / "jars/third-3.0.jar").write_bytes(b"on the class path too")
    done = check_jars(jar_project)
    assert done.returncode == 1
    assert "third-3.0.jar" in done.stderr


def test_a_missing_jar_is_refused_by_name(jar_project: Path) -> None:
    (jar_project / "jars/first-1.0.jar").unlink()
    done = check_jars(jar_project)
    assert done.returncode == 1
    assert "first-1.0.jar" in done.stderr


def test_launcher_without_java_says_what_to_get(plain_path: str) -> None:
    done = run("bash", ROOT / "setup/nextflow/launcher.sh", "-version", env={"PATH": plain_path})
    assert done.returncode == 3
    assert "Java 17" in done.stderr
    assert "openjdk-17-jre-headless" in done.stderr


def test_nextflow_of_set_up_is_new_enough() -> None:
    path = f"{ROOT / '.tools/bin'}:{os.environ['PATH']}"
    done = run("nextflow", "-version", env={**os.environ, "PATH": path})
    found = re.search(r"version (\d+)\.(\d+)\.(\d+)", done.stdout)
    assert found, done.stdout + done.stderr
    assert tuple(map(int, found.groups())) >= (24, 10, 0)


def test_set_up_without_rights_names_all_that_is_missing_and_leaves_nothing(plain_path: str) -> None:
    with tempfile.TemporaryDirectory() as text:
        project = Path(text)
        project.chmod(0o777)
        shutil.copytree(ROOT / "setup", project / "setup", ignore=shutil.ignore_patterns("__pycache__"))
        tools = project / "bin"
        shutil.copytree(plain_path, tools, symlinks=True)
        (tools / "apt-get").symlink_to("/bin/false")
        # Root may install, so the test gives its rights up.
        user = {"user": 65534, "group": 65534, "extra_groups": []} if os.getuid() == 0 else {}
        done = run(
            "/bin/bash",
            project / "setup/setup.sh",
            env={"PATH": str(tools), "HOME": str(project), "PYENV_ROOT": str(project)},
            cwd=project,
            **user,
        )
        left = {path.name for path in project.iterdir()}
    assert done.returncode == 3, done.stderr
    line = next(line for line in done.stderr.splitlines() if line.startswith("Get it:"))
    assert "sudo apt-get update && sudo apt-get install -y" in line
    for package in ("openjdk-17-jre-headless", "python3", "python3-venv", "procps", "maven"):
        assert package in line.split()
    assert left == {"setup", "bin"}


def test_a_second_set_up_changes_nothing() -> None:
    stamps = [ROOT / ".venv/.stamps/venv", ROOT / ".venv/.stamps/package"]
    assert all(path.exists() for path in stamps), "run `make setup` first"
    assert run("bash", ROOT / "setup/setup.sh").returncode == 0
    before = [path.stat().st_mtime_ns for path in stamps]
    done = run("bash", ROOT / "setup/setup.sh")
    assert done.returncode == 0, done.stderr
    assert "ready" in done.stderr
    assert "installing" not in done.stderr
    assert [path.stat().st_mtime_ns for path in stamps] == before


def test_demo_refuses_an_unknown_engine() -> None:
    done = run("bash", ROOT / "setup/demo.sh", "dcoker")
    assert done.returncode == 2
    assert "docker or venv" in done.stderr


def test_docker_stop_leaves_a_process_alone_that_is_not_ours(tmp_path: Path) -> None:
    other = subprocess.Popen(["sleep", "60"])
    try:
        (tmp_path / "dockerd.pid").write_text(str(other.pid))
        done = run("bash", ROOT / "setup/docker.sh", "stop", env={**os.environ, "SCEVAL_DOCKER_RUN": str(tmp_path)})
        assert done.returncode == 0
        assert "no daemon of ours" in done.stderr
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_docker_status_tells_that_none_answers(tmp_path: Path) -> None:
    done = run(
        "bash", ROOT / "setup/docker.sh", "status", env={**os.environ, "DOCKER_HOST": f"unix://{tmp_path}/none.sock"}
    )
    assert done.returncode == 1
    assert "no daemon answers" in done.stderr


def test_lisi_helper_of_scib_starts() -> None:
    import sysconfig

    helper = Path(sysconfig.get_path("purelib")) / "scib/knn_graph/knn_graph.o"
    assert "usage" in (done := run(helper)).stdout + done.stderr
