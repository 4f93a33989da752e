"""How well our ResPAN integrates the fixture's cells, beside what the official code got: 60 epochs at official size.

Run: python benchmarks/respan_quality.py ../shared/parity/respan --seeds 999
Minutes on a quiet machine of two cores. The table goes to standard output; the exit code is 1 where a value lies
outside its tolerance. Nothing here is run by a test.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

TOLERANCE = {"batch_asw": 0.05, "label_asw": 0.05, "ilisi": 0.12, "clisi": 0.05, "graph_connectivity": 0.05}
OURS = {
    "batch_asw": "asw_batch",
    "label_asw": "asw_label",
    "ilisi": "ilisi_graph",
    "clisi": "clisi_graph",
    "graph_connectivity": "gc_scib",
}


def measure(X: np.ndarray, batch: np.ndarray, label: np.ndarray) -> dict[str, float]:
    from sceval.metrics.integration import IntegrationScorer
    from sceval.models.respan.reduction import principal_axes, standardize

    scores = principal_axes(standardize(X.astype(np.float64)), 20)[0]
    values = IntegrationScorer(scores, batch, label, cluster_rule="fixed").values()
    return {name: values[own] for name, own in OURS.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("fixture", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[999])
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--corrected", type=Path, help="Expression that is there already (.npy), instead of training.")
    given = parser.parse_args()
    from sceval.contract import h5ad
    from sceval.models.respan.correct import Settings, correct
    from sceval.models.respan.gan import GanSettings

    cells = h5ad.read(given.fixture / "input.h5ad")
    batch, label = cells.obs["batch"], cells.obs["celltype"]
    quality = json.loads((given.fixture / "quality.json").read_text())
    wanted = {name: [run[name] for run in quality["after"].values()] for name in TOLERANCE}
    before = measure(cells.X, batch, label)
    print("| metric | before: official | before: ours | after: official, two seeds | after: ours | tolerance | |")
    print("|---|---|---|---|---|---|---|")
    bad = 0
    for seed in given.seeds:
        start = time.perf_counter()
        if given.corrected:
            X = np.load(given.corrected, allow_pickle=False)
        else:
            X = correct(cells.X, batch, Settings(training=GanSettings(epochs=given.epochs)), seed=seed).X
        seconds = time.perf_counter() - start
        for name, value in measure(X, batch, label).items():
            low, high = min(wanted[name]) - TOLERANCE[name], max(wanted[name]) + TOLERANCE[name]
            well = low <= value <= high
            bad += not well
            told = ", ".join(f"{number:.3f}" for number in wanted[name])
            print(
                f"| {name} | {quality['before'][name]:.3f} | {before[name]:.3f} | {told} | {value:.3f} "
                f"| {TOLERANCE[name]} | {'ok' if well else 'OUTSIDE'} |"
            )
        shift = np.abs(X[batch == "qry"].mean(axis=0) - X[batch == "ref"].mean(axis=0)).mean()
        expected = [run["mean_shift_after"] for run in quality["after"].values()]
        print(f"\nseed {seed}: {seconds:.0f} s, mean shift {shift:.3f} (official {expected[0]:.3f}, {expected[1]:.3f})")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
