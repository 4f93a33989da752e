"""Downloads against a server that cuts, stalls for time, lies, and answers with web pages."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from loopback import Server, serving
from sceval.data.download import retry_after
from sceval.data.fetch import FetchError, Source, fetch

CONTENT = bytes(range(256)) * 1200  # 307,200 bytes
SHA = hashlib.sha256(CONTENT).hexdigest()
PAGE = b"<!DOCTYPE html><html><head><title>Sign in\n to continue</title></head></html>"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with serving() as state:
        state.files["/model.bin"] = CONTENT
        yield state


class Waits(list):
    """Stands for sleep: notes the seconds."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


def source(server: Server, **changes) -> Source:
    fields = {"name": "model.bin", "url": f"{server.url}/model.bin", "sha256": SHA, "size": len(CONTENT)}
    return Source(**fields | changes)


def leftovers(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.rglob("*") if p.is_file() and p.suffix not in (".lock", ".json"))


def test_a_file_is_fetched_once(server: Server, tmp_path: Path) -> None:
    first = fetch(source(server), tmp_path)
    assert first.path.read_bytes() == CONTENT
    assert (first.sha256, first.verified, first.loaded) == (SHA, True, True)
    again = fetch(source(server), tmp_path)
    assert (again.loaded, again.sha256) == (False, SHA)
    assert len(server.asked) == 1
    assert leftovers(tmp_path) == ["model.bin"]


def test_a_cut_connection_goes_on_where_it_stopped(server: Server, tmp_path: Path) -> None:
    server.cuts["/model.bin"] = [100_000, 100_000]
    waits, lines = Waits(), []
    fetch(source(server), tmp_path, say=lines.append, sleep=waits)
    assert (tmp_path / "model.bin").read_bytes() == CONTENT
    assert [asked for _, asked in server.asked] == ["", "bytes=100000-", "bytes=200000-"]
    assert waits == [1.0, 1.0], "it got further each time"
    assert "broke off after 100,000 of 307,200 bytes; again in 1 s" in lines[0]


def test_a_load_that_was_given_up_goes_on_in_the_next_run(server: Server, tmp_path: Path) -> None:
    server.cuts["/model.bin"] = [100_000]
    with pytest.raises(FetchError, match="given up after 1 tries"):
        fetch(source(server), tmp_path, tries=1, sleep=Waits())
    assert not (tmp_path / "model.bin").exists()
    fetch(source(server), tmp_path)
    assert server.asked[1][1] == "bytes=100000-"
    assert (tmp_path / "model.bin").read_bytes() == CONTENT


def test_a_server_that_ignores_ranges(server: Server, tmp_path: Path) -> None:
    server.ranges = False
    server.cuts["/model.bin"] = [100_000]
    fetch(source(server), tmp_path, sleep=Waits())
    assert (tmp_path / "model.bin").read_bytes() == CONTENT
    server.cuts["/model.bin"] = [100_000] * 9
    with pytest.raises(FetchError, match="given up after 3 tries"):  # it begins anew each time and gets no further
        fetch(source(server, sha256="", name="b.bin"), tmp_path, tries=3, sleep=Waits(), allow_unverified=True)


def test_too_many_requests_waits_as_long_as_asked(server: Server, tmp_path: Path) -> None:
    server.answers["/model.bin"] = [(429, {"Retry-After": "7"}, b""), (503, {}, b""), (503, {}, b"")]
    waits = Waits()
    fetch(source(server), tmp_path, sleep=waits)
    assert waits == [7.0, 2.0, 4.0]
    assert (tmp_path / "model.bin").read_bytes() == CONTENT


def test_who_asks_for_too_long_a_wait_or_never_answers_is_given_up(server: Server, tmp_path: Path) -> None:
    server.answers["/model.bin"] = [(429, {"Retry-After": "86400"}, b"")]
    with pytest.raises(FetchError, match=r"429 .*asks to come back in 86,400 s"):
        fetch(source(server), tmp_path, sleep=Waits())
    server.answers["/model.bin"] = [(503, {}, b"")] * 9
    with pytest.raises(FetchError, match=r"given up after 3 tries: .* answered 503"):
        fetch(source(server), tmp_path, tries=3, sleep=Waits())
    assert leftovers(tmp_path) == []


def test_wrong_bytes_are_never_used(server: Server, tmp_path: Path) -> None:
    server.files["/model.bin"] = CONTENT[::-1]
    with pytest.raises(FetchError, match=f"SHA-256 [0-9a-f]{{64}}; expected {SHA}"):
        fetch(source(server), tmp_path)
    assert leftovers(tmp_path) == []
    assert len(server.asked) == 1


def test_a_file_that_changed_between_two_parts_is_loaded_again(server: Server, tmp_path: Path) -> None:
    server.files["/model.bin"] = CONTENT[::-1]
    server.cuts["/model.bin"] = [100_000]
    with pytest.raises(FetchError):
        fetch(source(server), tmp_path, tries=1, sleep=Waits())
    server.files["/model.bin"] = CONTENT
    lines: list[str] = []
    fetch(source(server), tmp_path, say=lines.append)
    assert (tmp_path / "model.bin").read_bytes() == CONTENT
    assert any("thrown away" in line for line in lines)


def test_another_size_is_refused_before_it_is_loaded(server: Server, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="offers 307,200 bytes; expected 5"):
        fetch(source(server, size=5), tmp_path)
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("kind", ["text/html", "application/octet-stream"])
def test_a_web_page_with_status_200(server: Server, tmp_path: Path, kind: str) -> None:
    server.answers["/model.bin"] = [(200, {"Content-Type": kind}, PAGE)]
    with pytest.raises(FetchError, match="web page titled 'Sign in to continue' instead of the file"):
        fetch(source(server, sha256="", size=None), tmp_path, allow_unverified=True)
    assert leftovers(tmp_path) == []


def test_addresses_that_lead_nowhere(server: Server, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="answered 404"):
        fetch(source(server, url=f"{server.url}/nothing"), tmp_path)
    server.answers["/model.bin"] = [(403, {}, b"")]
    with pytest.raises(FetchError, match=r"answered 403 .*asks for a login"):
        fetch(source(server), tmp_path)
    assert len(server.asked) == 2, "neither is tried again"
    with pytest.raises(FetchError, match=r"given up after 2 tries: .*refused"):
        fetch(source(server, url="http://127.0.0.1:9/x"), tmp_path, tries=2, sleep=Waits())


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"sha256": ""}, "SHA-256 is not known.*--allow_unverified"),
        ({"url": "ftp://host/file"}, "cannot be fetched from ftp://host/file; expected http or https"),
        ({"url": ""}, "an empty address"),
        ({"name": "../x"}, "expected a path below the folder"),
        ({"name": "/x"}, "expected a path below the folder"),
    ],
)
def test_bad_entries_are_refused_without_a_request(server: Server, tmp_path: Path, changes: dict, told: str) -> None:
    with pytest.raises(FetchError, match=told):
        fetch(source(server, **changes), tmp_path)
    assert server.asked == []


def test_an_unverified_file_is_taken_where_that_is_allowed(server: Server, tmp_path: Path) -> None:
    found = fetch(source(server, sha256=""), tmp_path, allow_unverified=True)
    assert (found.verified, found.sha256) == (False, SHA)
    assert not fetch(source(server, sha256=""), tmp_path, allow_unverified=True).loaded


def test_a_damaged_file_is_replaced(server: Server, tmp_path: Path) -> None:
    fetch(source(server), tmp_path)
    (tmp_path / "model.bin").write_bytes(CONTENT[:-1])
    lines: list[str] = []
    assert fetch(source(server), tmp_path, say=lines.append).loaded
    assert (tmp_path / "model.bin").read_bytes() == CONTENT
    assert "it is fetched again" in lines[0]


def test_a_file_in_a_sub_folder_and_state_elsewhere(server: Server, tmp_path: Path) -> None:
    fetch(source(server, name="a/b.bin"), tmp_path / "w", state=tmp_path / "state")
    assert [p.name for p in (tmp_path / "w").rglob("*")] == ["a", "b.bin"]
    assert (tmp_path / "state" / "a" / "b.bin.json").is_file()


def test_an_unwritable_folder_is_told(server: Server, tmp_path: Path) -> None:
    (tmp_path / "model.bin").mkdir()  # a folder stands where the file should
    with pytest.raises(FetchError, match="cannot be written"):
        fetch(source(server), tmp_path)


def test_two_processes_fetch_it_once(server: Server, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from sceval.data.fetch import Source, fetch; "
        "found = fetch(Source('model.bin', sys.argv[1], sys.argv[2]), Path(sys.argv[3])); print(found.sha256)"
    )
    command = [sys.executable, "-c", code, f"{server.url}/model.bin", SHA, str(tmp_path)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ) for _ in range(3)]
    assert [process.communicate(timeout=60)[0].strip() for process in running] == [SHA] * 3
    assert len(server.asked) == 1
    assert leftovers(tmp_path) == ["model.bin"]


def test_retry_after() -> None:
    assert retry_after("12") == 12.0
    assert retry_after("Thu, 01 Jan 1970 00:01:00 GMT", now=lambda: 20.0) == 40.0
    assert retry_after("Thu, 01 Jan 1970 00:01:00 GMT", now=lambda: 90.0) == 0.0
    assert retry_after(None) is None
    assert retry_after("soon") is None
