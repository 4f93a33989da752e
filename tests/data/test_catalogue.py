"""Catalogues: what they may say, and what is fetched from them."""

from __future__ import annotations

import csv
import hashlib
import io
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from loopback import Server, serving
from sceval.contract import ContractError
from sceval.data.catalogue import WEIGHTS, fetch_entry, find, read_catalogue
from sceval.data.fetch import FetchError

ROOT = Path(__file__).resolve().parents[2]
BYTES = {"/args.json": b'{"d": 4}', "/model.bin": b"tensors" * 50}


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as state:
        state.files.update(BYTES)
        yield state


def row(server_url: str, path: str, **changes: str) -> dict[str, str]:
    content = BYTES[path]
    digest, size = hashlib.sha256(content).hexdigest(), str(len(content))
    fields = {"weights": "toy", "source": "a test", "file": path[1:], "url": server_url + path, "sha256": digest}
    return fields | {"bytes": size, "licence": "MIT"} | changes


def write(path: Path, rows: list[dict[str, str]]) -> Path:
    with path.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, [column.name for column in WEIGHTS])
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_the_catalogue_of_the_project() -> None:
    entries = read_catalogue(ROOT / "assets" / "weights.csv")
    scgpt = entries["scgpt-whole-human"]
    assert scgpt.state() == "verified"
    assert [source.name for source in scgpt.files] == ["args.json", "best_model.pt", "vocab.json"]
    assert entries["geneformer-v2-316m"].state() == "verified"
    assert entries["geneformer-v2-104m-clcancer"].unverified == ["config.json"]
    assert entries["geneformer-v2-104m-clcancer"].state() == "5 of 6 verified"
    assert entries["uce-4-layers"].archives == ["protein_embeddings.tar.gz"]
    assert entries["scfoundation"].terms().endswith("(no commercial use)")
    for entry in entries.values():
        assert entry.by_hand in ([], [source.name for source in entry.files]), entry.name
        assert not entry.by_hand or "by hand" in entry.row["notes"], entry.name
        assert all(source.url.startswith("https://") for source in entry.files if source.url), entry.name


def test_an_entry_is_fetched_into_a_folder_of_its_own(server: Server, tmp_path: Path) -> None:
    sheet = write(tmp_path / "weights.csv", [row(server.url, path) for path in BYTES])
    entry = find(read_catalogue(sheet), "toy")
    assert entry.size == sum(map(len, BYTES.values()))
    found = fetch_entry(entry, tmp_path / "cache")
    assert sorted(p.name for p in (tmp_path / "cache" / "toy").iterdir()) == ["args.json", "model.bin"]
    assert all(one.verified and one.loaded for one in found)
    assert not any(one.loaded for one in fetch_entry(entry, tmp_path / "cache"))
    assert len(server.asked) == 2


def test_what_is_not_verified_is_refused_before_anything_is_loaded(server: Server, tmp_path: Path) -> None:
    sheet = write(tmp_path / "w.csv", [row(server.url, "/args.json"), row(server.url, "/model.bin", sha256="")])
    entry = read_catalogue(sheet)["toy"]
    with pytest.raises(FetchError, match=r"nobody has verified model\.bin.*--allow_unverified"):
        fetch_entry(entry, tmp_path)
    assert server.asked == []
    assert [one.verified for one in fetch_entry(entry, tmp_path, allow_unverified=True)] == [True, False]


def test_files_that_only_a_person_can_fetch(server: Server, tmp_path: Path) -> None:
    sheet = write(tmp_path / "w.csv", [row(server.url, "/args.json", url="", notes="Ask the authors.")])
    with pytest.raises(FetchError, match=r"args\.json cannot be fetched by a program\. a test\. Ask the authors\."):
        fetch_entry(read_catalogue(sheet)["toy"], tmp_path)


def packed(names: list[str]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = 3
            archive.addfile(member, io.BytesIO(b"abc"))
    return out.getvalue()


def test_an_archive_is_unpacked_once(server: Server, tmp_path: Path) -> None:
    server.files["/p.tar.gz"] = packed(["proteins/human.pt", "proteins/mouse.pt"])
    digest = hashlib.sha256(server.files["/p.tar.gz"]).hexdigest()
    changes = {"file": "p.tar.gz", "url": f"{server.url}/p.tar.gz", "sha256": digest, "bytes": "", "unpack": "yes"}
    entry = read_catalogue(write(tmp_path / "w.csv", [row(server.url, "/args.json", **changes)]))["toy"]
    lines: list[str] = []
    fetch_entry(entry, tmp_path / "c", say=lines.append)
    place = tmp_path / "c" / "toy" / "proteins"
    assert sorted(p.name for p in place.iterdir()) == ["human.pt", "mouse.pt"]
    assert lines[-1] == "p.tar.gz: unpacked proteins"
    fetch_entry(entry, tmp_path / "c", say=lines.append)
    assert len(lines) == 2, "neither loaded nor unpacked again"
    shutil.rmtree(place)
    fetch_entry(entry, tmp_path / "c")
    assert (place / "human.pt").read_bytes() == b"abc"


@pytest.mark.parametrize("content", [b"no archive", packed(["../../outside"])])
def test_archives_that_must_not_be_unpacked(server: Server, tmp_path: Path, content: bytes) -> None:
    server.files["/p.tar.gz"] = content
    digest = hashlib.sha256(content).hexdigest()
    changes = {"file": "p.tar.gz", "url": f"{server.url}/p.tar.gz", "sha256": digest, "bytes": "", "unpack": "yes"}
    entry = read_catalogue(write(tmp_path / "w.csv", [row(server.url, "/args.json", **changes)]))["toy"]
    with pytest.raises(FetchError, match=r"p\.tar\.gz cannot be unpacked"):
        fetch_entry(entry, tmp_path / "c")
    assert [p.name for p in (tmp_path / "c" / "toy").iterdir()] == ["p.tar.gz"]
    assert not list(tmp_path.rglob("outside"))


def test_one_file_alone(server: Server, tmp_path: Path) -> None:
    entry = read_catalogue(write(tmp_path / "w.csv", [row(server.url, path) for path in BYTES]))["toy"]
    fetch_entry(entry, tmp_path, ["args.json"])
    assert [p.name for p in (tmp_path / "toy").iterdir()] == ["args.json"]
    with pytest.raises(FetchError, match=r"toy has no file 'x'; it has args\.json, model\.bin"):
        fetch_entry(entry, tmp_path, ["x"])


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"sha256": "ABC"}, "row 2, column sha256: found 'ABC'; expected 64 hex digits"),
        ({"bytes": "1 MB"}, "column bytes: found '1 MB'; expected a whole number"),
        ({"weights": "a b"}, "column weights: found 'a b'"),
        ({"commercial_use": "maybe"}, "column commercial_use: found 'maybe'; expected one of yes, no, unknown"),
        ({"licence": ""}, "column licence: found nothing"),
    ],
)
def test_bad_rows_are_told(tmp_path: Path, changes: dict[str, str], told: str) -> None:
    sheet = write(tmp_path / "w.csv", [row("http://h", "/args.json", **changes)])
    with pytest.raises(ContractError) as error:
        read_catalogue(sheet)
    assert told in str(error.value)


def test_a_file_twice_and_an_unknown_name(tmp_path: Path) -> None:
    sheet = write(tmp_path / "w.csv", [row("http://h", "/args.json")] * 2)
    with pytest.raises(ContractError, match=r"row 3, column file: found 'args\.json' a second time"):
        read_catalogue(sheet)
    entries = read_catalogue(write(sheet, [row("http://h", "/args.json")]))
    with pytest.raises(FetchError, match="no entry 'toi'; there are toy; did you mean 'toy'"):
        find(entries, "toi")
