"""The tables as compressed CSV inside the page, so that every number can be taken along."""

from __future__ import annotations

import base64
import gzip
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sceval.report.load import Results

NOT_EMBEDDED = "layout"
"""The coordinates of the maps are the only table that would weigh more than the rest of the page together."""


@dataclass(frozen=True)
class Download:
    """One table: file name, number of rows, and its gzipped CSV in base64."""

    name: str
    n_rows: int
    data: str


def downloads(results: Results) -> list[Download]:
    """Pack every table that has rows; the bytes do not depend on the time of day."""
    packed = []
    for kind, table in results.tables.items():
        if len(table) and kind != NOT_EMBEDDED:
            csv = table.to_csv(index=False).encode()
            data = base64.b64encode(gzip.compress(csv, compresslevel=9, mtime=0)).decode("ascii")
            packed.append(Download(f"{kind}.csv", len(table), data))
    return packed
