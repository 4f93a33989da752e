"""Copy a models sheet with each image named by its content instead of by a tag (`make images DIGESTS=FILE`).

    python3 setup/digests.py models.local.csv [--sheet assets/models.csv]

`sceval/pca:0.1.0` becomes `sceval/pca@sha256:...` where Docker knows a repository digest of it (it was pushed or
pulled, or the daemon keeps such digests of its own), else the image id `sha256:...`, good on this machine alone.
Images of others that are not here keep their name, and are named; one of ours that is missing is an error.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OURS = "sceval/"
BY_CONTENT = re.compile(r"(^|@)sha256:[0-9a-f]{64}$")


def repository(image: str) -> str:
    """Return the name without its tag; a colon before the last slash is the port of a registry."""
    head, slash, last = image.rpartition("/")
    return head + slash + last.split(":")[0]


def by_content(image: str) -> str | None:
    """Return the image by its digest or its id; None where it is not here."""
    command = ["docker", "image", "inspect", "-f", "{{json .RepoDigests}} {{.Id}}", image]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        if "no such image" in done.stderr.lower():
            return None
        raise SystemExit(f"docker image inspect {image}: {done.stderr.strip() or f'exit code {done.returncode}'}")
    digests, _, own = done.stdout.strip().rpartition(" ")
    of_name = [name for name in json.loads(digests) or [] if name.split("@")[0] == repository(image)]
    return of_name[0] if of_name else own


def main() -> None:
    """Write the copy, whole or not at all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="the copy")
    parser.add_argument("--sheet", type=Path, default=ROOT / "assets/models.csv")
    given = parser.parse_args()
    if given.out.resolve() == given.sheet.resolve():
        raise SystemExit(f"{given.out} is the sheet itself; give the copy another name")
    with given.sheet.open(newline="", encoding="utf-8-sig") as handle:
        rows = list(csv.reader(handle))
    if not rows or "image" not in rows[0]:
        raise SystemExit(
            f"{given.sheet} has no column 'image'; its first line is {','.join(rows[0]) if rows else 'missing'}"
        )
    at = rows[0].index("image")
    tagged = {row[at] for row in rows[1:] if len(row) > at and row[at] and not BY_CONTENT.search(row[at])}
    found = {image: by_content(image) for image in sorted(tagged)}
    absent = [image for image, content in found.items() if content is None]
    ours = [image for image in absent if image.startswith(OURS)]
    if ours:
        names = " ".join(repository(image).removeprefix(OURS) for image in ours)
        raise SystemExit(f"not built: {', '.join(ours)}\nGet them: make images NAMES='{names}'")
    for row in rows[1:]:
        if len(row) > at:
            row[at] = found.get(row[at]) or row[at]
    part = given.out.with_name(given.out.name + ".part")
    with part.open("w", newline="", encoding="utf-8") as handle:
        csv.writer(handle, lineterminator="\n").writerows(rows)
    part.replace(given.out)
    ids = sum(1 for content in found.values() if content and "@" not in content)
    print(f"{given.out}: {len(found) - len(absent)} images by content, {ids} of them by an id of this machine alone")
    for image in absent:
        print(f"{image} is not here and keeps its name", file=sys.stderr)


if __name__ == "__main__":
    try:
        main()
    except FileNotFoundError as error:
        raise SystemExit(f"not found: {error.filename}") from None
