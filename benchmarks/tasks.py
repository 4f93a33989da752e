"""How scoring grows: time and memory of each task's metrics with the number of cells or of perturbations.

Each measurement is a process of its own, so that its peak is that of one metric at one size; a first call on a few
cells takes the imports out of it. Data are made by the script: a Gaussian mixture, or sparse Poisson counts.

    python benchmarks/tasks.py                                                  # small sizes, a minute
    python benchmarks/tasks.py --cells 10000 30000 100000 --perturbations 1000 5000 --limit 3600
    python benchmarks/tasks.py --only foscttm pds

`extra MiB` is the peak above what the process held before the call (data, libraries); `growth` the exponent of the
seconds and of the extra memory between this size and the one before: 1 is linear, 2 quadratic. Memory must never be
quadratic. The table goes to standard output. Nothing here is run by a test.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

FEW = 300
"""Size of the first call, which is not measured."""

DIMENSIONS, TYPES, BATCHES, REPLICATES = 20, 10, 5, 50

Work = Callable[[], Any]


def mixture(n: int, width: int = DIMENSIONS, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return an embedding (n x width) of 10 types with a shift for each of 5 batches, the types and the batches."""
    rng = np.random.default_rng(seed)
    types, batches = rng.integers(0, TYPES, n), rng.integers(0, BATCHES, n)
    centers, shifts = (
        np.random.default_rng(1).normal(size=(TYPES, width)),
        np.random.default_rng(2).normal(size=(5, width)),
    )
    return rng.normal(size=(n, width)) + 1.5 * centers[types] + 0.3 * shifts[batches], types, batches


def counts(n: int, genes: int, seed: int = 0) -> tuple[Any, np.ndarray]:
    """Return counts of n cells (CSR, one entry in ten or so above zero) and the type of each cell."""
    from scipy import sparse

    rng = np.random.default_rng(seed)
    types = rng.integers(0, TYPES, n)
    rates = np.random.default_rng(1).gamma(0.3, 0.4, (TYPES, genes))
    parts = [
        sparse.csr_matrix(rng.poisson(rates[types[low : low + 1000]]).astype(np.float32)) for low in range(0, n, 1000)
    ]
    return sparse.vstack(parts, format="csr"), types


def integration(n: int, genes: int) -> Work:
    from sceval.metrics.integration import IntegrationScorer

    X, types, batches = mixture(n)
    return lambda: IntegrationScorer(X, batches.astype(str), types.astype(str), X).values()


def structure(n: int, genes: int) -> Work:
    from sceval.metrics.structure import r_nx

    X, _, batches = mixture(n)
    raw = X + np.random.default_rng(3).normal(size=X.shape)
    return lambda: r_nx(X, raw, batches)


def foscttm(n: int, genes: int) -> Work:
    from sceval.metrics import foscttm as measure

    X = mixture(n)[0]
    Y = X + np.random.default_rng(3).normal(size=X.shape)
    return lambda: measure.foscttm(X, Y)


def label_transfer(n: int, genes: int) -> Work:
    from sceval.metrics.label_transfer import knn_predict

    X, types, _ = mixture(n)
    Y = X + np.random.default_rng(3).normal(size=X.shape)
    return lambda: knn_predict(X, types, Y)


def energy(n: int, genes: int) -> Work:
    from sceval.metrics.discrepancy import energy_distance

    X, Y = mixture(n)[0], mixture(n, seed=5)[0]
    return lambda: energy_distance(X, Y)


def energy_shares(n: int, genes: int) -> Work:
    from sceval.metrics.two_sample import energy_shares as measure

    X, Y = mixture(n)[0], mixture(n, seed=5)[0]
    return lambda: measure(X, Y)


def mmd_shares(n: int, genes: int) -> Work:
    from sceval.metrics.discrepancy import SCALES, median_squared_distance
    from sceval.metrics.two_sample import mmd_shares as measure

    X, Y = mixture(n)[0], mixture(n, seed=5)[0]
    # As the task does: the width of the kernel is that of a sample, since its median needs all pairs at once.
    width = median_squared_distance(X[:1000], X[:0])
    return lambda: measure(X, Y, tuple(scale / width for scale in SCALES))


def classifier(n: int, genes: int) -> Work:
    from sceval.metrics.two_sample import placements

    X, Y = mixture(n)[0], mixture(n, seed=5)[0]
    return lambda: placements(X, Y)


def coverage(n: int, genes: int) -> Work:
    from sceval.metrics import simulation as measure

    (X, types, _), (Y, made, _), (train, _, _) = (mixture(n, seed=seed) for seed in (0, 5, 6))
    return lambda: (measure.covered(X, Y, types, made, measure.ball_radius(X)), measure.nearness(Y, train))


def distributions(n: int, genes: int) -> Work:
    from sceval.metrics import simulation as measure

    (X, types), (Y, made) = counts(n, genes), counts(n, genes, seed=5)
    kinds = list(range(TYPES))

    def described(cells: Any, of: np.ndarray) -> list[tuple]:
        return measure.profiles(cells.log1p(), np.asarray(cells.sum(axis=1)).ravel(), of, kinds)

    return lambda: measure.distribution_distances(described(X, types), described(Y, made), [1] * TYPES)


def imputation(n: int, genes: int) -> Work:
    from sceval.metrics.imputation import mean_by_total, pearson_columns, poisson_nll

    X, _ = counts(n, genes)
    truth, predicted = X.toarray(), mean_by_total(X)
    keep = np.random.default_rng(3).random((REPLICATES, n)) < 0.8

    def values() -> None:
        pearson_columns(predicted, truth, keep=keep)
        pearson_columns(predicted.T, truth.T)
        for low in range(0, n, 512):
            poisson_nll(predicted[low : low + 512], truth[low : low + 512])

    return values


def average_bio(n: int, genes: int) -> Work:
    from sceval.metrics.imputation_clusters import average_bio as measure

    X, types = counts(n, genes)
    dense = X.toarray()
    return lambda: measure(dense, types.astype(str))


def _changes(n: int, genes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    true = rng.normal(size=(n, genes))
    return true + rng.normal(0, 3, true.shape), true, rng.random((REPLICATES, n)) < 0.8


def pds(n: int, genes: int) -> Work:
    from sceval.metrics.discrimination import discrimination

    predicted, true, masks = _changes(n, genes)
    return lambda: discrimination(predicted, true, None, masks, "cosine")


def centroid_accuracy(n: int, genes: int) -> Work:
    from sceval.metrics.discrimination import discrimination

    predicted, true, masks = _changes(n, genes)
    return lambda: discrimination(predicted, true, None, masks, "euclidean")


CELLS: dict[str, tuple[str, Callable[[int, int], Work]]] = {
    "integration": ("batch and multi-omic integration", integration),
    "structure": ("batch integration", structure),
    "foscttm": ("multi-omic integration", foscttm),
    "label_transfer": ("multi-omic integration", label_transfer),
    "energy": ("perturbation", energy),
    "energy_shares": ("simulation", energy_shares),
    "mmd_shares": ("simulation", mmd_shares),
    "classifier": ("simulation", classifier),
    "coverage": ("simulation", coverage),
    "distributions": ("simulation", distributions),
    "imputation": ("imputation", imputation),
    "average_bio": ("imputation", average_bio),
}
PERTURBATIONS = {"pds": ("perturbation", pds), "centroid_accuracy": ("perturbation", centroid_accuracy)}
ALL = CELLS | PERTURBATIONS
"""Name -> task, and what makes the data and returns the call to measure."""


def _resident() -> float:
    """Return what this process holds now, MiB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def child(name: str, n: int, genes: int) -> None:
    """Measure one metric at one size in this process, and print the result as JSON."""
    make = ALL[name][1]
    make(min(n, FEW), genes)()
    work = make(n, genes)
    # Linux: brings the peak down to what is held now, so that making the data does not count.
    Path("/proc/self/clear_refs").write_text("5")
    before, used = _resident(), _cpu()
    start = time.perf_counter()
    work()
    wall = time.perf_counter() - start
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    peak = int(status["VmHWM"].split()[0]) / 2**10
    helper = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**10
    print(json.dumps({"wall": wall, "cpu": _cpu() - used, "extra": max(peak - before, 0.0), "peak": max(peak, helper)}))


def _cpu() -> float:
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in both)


def measure(name: str, n: int, genes: int, limit: float, threads: int) -> dict[str, float] | str:
    """Measure in a fresh process; a text says why there is nothing."""
    env = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    command = [sys.executable, __file__, "--child", name, str(n), "--genes", str(genes)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=limit, env=env)
    except subprocess.TimeoutExpired:
        return f"not finished after {limit:.0f} s"
    if done.returncode:
        told = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        return f"failed: {told[0]}"
    return json.loads(done.stdout.splitlines()[-1])


def exponent(now: float, before: float, ratio: float, least: float) -> str:
    """Return the exponent of growth; nothing where the smaller number is noise (under `least`)."""
    return f"{math.log(now / before) / math.log(ratio):.1f}" if min(now, before) >= least else ""


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, nargs="+", default=[1_000, 4_000], help="sizes, up to 100000 or so")
    parser.add_argument("--perturbations", type=int, nargs="+", default=[500, 2_000], help="sizes, up to 5000 or so")
    parser.add_argument("--genes", type=int, default=1_000, help="genes of counts and of perturbation profiles")
    parser.add_argument("--only", nargs="+", choices=list(ALL), default=list(ALL), metavar="NAME", help=", ".join(ALL))
    parser.add_argument("--limit", type=float, default=600.0, help="seconds for each measurement")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--child", nargs=2, metavar=("NAME", "N"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(given.child[0], int(given.child[1]), given.genes)
        return 0
    load = f"load {os.getloadavg()[0]:.1f} at the start"
    print(f"{os.cpu_count()} cores, {given.threads} threads, {load}, {given.genes} genes\n")
    print("| task | metrics | n | wall s | CPU s | extra MiB | peak MiB | growth: s | growth: MiB |")
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    failed = 0
    for name in given.only:
        before, size = None, 0
        for n in sorted(set(given.perturbations if name in PERTURBATIONS else given.cells)):
            now = measure(name, n, given.genes, given.limit, given.threads)
            head = f"| {ALL[name][0]} | `{name}` | {n:,} |"
            if isinstance(now, str):
                print(f"{head} {now} | | | | | |", flush=True)
                failed += 1
                break
            seconds = exponent(now["wall"], before["wall"], n / size, 0.01) if before else ""
            memory = exponent(now["extra"], before["extra"], n / size, 4.0) if before else ""
            told = f"{now['wall']:.2f} | {now['cpu']:.2f} | {now['extra']:.0f} | {now['peak']:.0f}"
            print(f"{head} {told} | {seconds} | {memory} |", flush=True)
            before, size = now, n
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
