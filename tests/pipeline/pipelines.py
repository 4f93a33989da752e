"""Runs of the real pipeline for the tests: one small dataset on disk, and a function that starts Nextflow."""

from __future__ import annotations

import csv
import os
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from sceval.contract import CellFile, h5ad
from sceval.data import embedded

ROOT = Path(__file__).resolve().parents[2]
ENV = {
    **os.environ,
    "PATH": f"{ROOT / '.tools/bin'}:{ROOT / '.venv/bin'}:{os.environ['PATH']}",
    "NXF_ANSI_LOG": "false",
}


@dataclass
class Run:
    """A finished run of Nextflow."""

    code: int
    text: str
    outdir: Path

    def table(self, name: str) -> pd.DataFrame:
        return pd.read_csv(self.outdir / f"{name}.csv", keep_default_na=False)

    def trace(self) -> list[dict[str, str]]:
        with (self.outdir / "pipeline_info" / "trace.txt").open(newline="") as handle:
            return list(csv.DictReader(handle, delimiter="\t"))

    def tasks(self) -> Counter[tuple[str, str]]:
        """Return how many tasks of each process ended in each way."""
        return Counter((row["name"].split(" ")[0].split(":")[-1], row["status"]) for row in self.trace())


class Pipeline:
    """Starts Nextflow in a folder of its own, so that tests share no history and no cache."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def command(self, *words: str, outdir: str = "results") -> list[str]:
        return ["nextflow", "run", str(ROOT), "-ansi-log", "false", "--outdir", str(self.folder / outdir), *words]

    def __call__(self, *words: str, outdir: str = "results", timeout: int = 900) -> Run:
        done = subprocess.run(
            self.command(*words, outdir=outdir),
            cwd=self.folder,
            env=ENV,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
        )
        return Run(done.returncode, done.stdout + done.stderr, self.folder / outdir)


def write_dataset(path: Path, n: int = 160, genes: int = 120) -> CellFile:
    """Write some of the embedded cells as a user's file: columns of another name, two batches, three types."""
    cells = embedded.load("pbmc68k_planted_1")
    common = ("CD14+ Monocyte", "CD19+ B", "Dendritic")
    rows = np.flatnonzero(np.isin(cells.obs["cell_type"], common) & np.isin(cells.obs["batch"], ("b1", "b2")))[:n]
    most = np.sort(np.argsort(-np.asarray(cells.X.sum(axis=0)).ravel())[:genes])
    out = CellFile(cells.obs_names[rows], cells.var_names[most], X=cells.X[rows][:, most].tocsr())
    out.obs = {"sample": cells.obs["batch"][rows], "label": cells.obs["cell_type"][rows].copy()}
    out.obs["label"][:4] = None
    h5ad.write(path, out)
    return out


def write_sheet(path: Path, rows: list[dict[str, str]]) -> Path:
    with path.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, list(dict.fromkeys(key for row in rows for key in row)))
        writer.writeheader()
        writer.writerows(rows)
    return path
