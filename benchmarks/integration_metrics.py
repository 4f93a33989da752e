"""Integration metrics side by side: ours, scib-metrics and scib, each in a fresh process, cold start included.

Run: python benchmarks/integration_metrics.py --scib-metrics-python PATH --limit 600
The table goes between the markers of this section in benchmarks/RESULTS.md. Nothing here is run by a test.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "RESULTS.md"
BEGIN, END = "<!-- begin integration metrics -->", "<!-- end integration metrics -->"
PACKAGES = {
    "sceval": ("numpy", "scipy", "igraph"),
    "scib-metrics": ("scib-metrics", "jax", "pynndescent", "numpy"),
    "scib": ("scib", "scanpy", "leidenalg", "numpy"),
}


def make_data(n: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Gaussian mixture: 64 dimensions, 10 labels, 5 batches with a shift each; `pre` has three times the shift."""
    rng = np.random.default_rng(seed)
    label, batch = rng.integers(0, 10, n), rng.integers(0, 5, n)
    shift = rng.normal(size=(5, 64))
    base = rng.normal(size=(n, 64)) + 1.5 * rng.normal(size=(10, 64))[label]
    return {
        "X": (base + 0.3 * shift[batch]).astype(np.float32),
        "pre": (base + 0.9 * shift[batch]).astype(np.float32),
        "label": np.array([f"l{code}" for code in label]),
        "batch": np.array([f"b{code}" for code in batch]),
    }


def run_sceval(data) -> dict[str, float]:
    sys.path.insert(0, str(HERE.parent / "src"))
    from sceval.metrics.integration import IntegrationScorer

    return IntegrationScorer(data["X"], data["batch"], data["label"], data["pre"]).values()


def run_scib_metrics(data) -> dict[str, float]:
    import warnings

    warnings.simplefilter("ignore")
    import scib_metrics as sm
    from scib_metrics.nearest_neighbors import pynndescent

    X, batch, label = data["X"], data["batch"], data["label"]
    near = pynndescent(X, 90, random_state=0, n_jobs=-1)
    leiden = sm.nmi_ari_cluster_labels_leiden(near.subset_neighbors(15), label, optimize_resolution=True)
    return {
        "nmi": leiden["nmi"], "ari": leiden["ari"], "asw_label": sm.silhouette_label(X, label),
        "asw_batch": sm.silhouette_batch(X, label, batch), "bras": sm.bras(X, label, batch),
        "pcr": sm.pcr_comparison(data["pre"], X, batch, categorical=True),
        "gc_knn": sm.graph_connectivity(near.subset_neighbors(15), label),
        "ilisi_knn": sm.ilisi_knn(near, batch), "clisi_knn": sm.clisi_knn(near, label),
        "kbet_label": sm.kbet_per_label(near.subset_neighbors(50), batch, label),
        "kbet50": sm.kbet(near.subset_neighbors(50), np.unique(batch, return_inverse=True)[1])[0],
        "isolated_asw": sm.isolated_labels(X, label, batch),
    }  # fmt: skip


def run_scib(data) -> dict[str, float]:
    sys.path.insert(0, str(HERE.parent / "src"))
    from sceval.metrics.backend_scib import scib_values

    return scib_values(data["X"], data["batch"], data["label"], data["pre"]).values


RUNS = {"sceval": run_sceval, "scib-metrics": run_scib_metrics, "scib": run_scib}


def child(tool: str, path: str) -> None:
    with np.load(path) as stored:
        data = {name: stored[name] for name in stored.files}
    values = {name: float(value) for name, value in RUNS[tool](data).items()}
    found = {}
    for package in PACKAGES[tool]:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "?"
    print("RESULT " + json.dumps({"values": values, "versions": found}))


def measure(tool: str, python: str, path: Path, limit: float) -> dict:
    """Run one tool in a fresh process; wall and CPU seconds, peak memory, values or why there are none."""
    environment = {**os.environ, "OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2", "NUMBA_NUM_THREADS": "2"}
    load, start = os.getloadavg()[0], time.perf_counter()
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = subprocess.Popen(
            [python, __file__, "child", tool, str(path)],
            stdout=out,
            stderr=err,
            env=environment,
            start_new_session=True,
        )
        late = False
        while True:
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            if not late and time.perf_counter() - start > limit:
                late = True
                os.killpg(process.pid, signal.SIGKILL)
            time.sleep(0.05)
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        lines = [line for line in out.read().splitlines() if line.startswith("RESULT ")]
        tail = err.read().strip().splitlines()[-1:]
    row = {"tool": tool, "wall": time.perf_counter() - start, "cpu": usage.ru_utime + usage.ru_stime, "load": load}
    row["rss"] = usage.ru_maxrss / 2**20
    if lines:
        row |= json.loads(lines[0].removeprefix("RESULT "))
    else:
        row["failed"] = f"not finished after {limit:.0f} s" if late else f"failed: {' '.join(tail)}"
    return row


def cpu_name() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def report(rows: list[dict], limit: float) -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    lines = [
        "## Integration metrics",
        "",
        "Gaussian mixture, 64 dimensions, 10 labels, 5 batches. Each tool in a fresh process, imports and compilation "
        f"included, at most 2 threads, one after the other, time limit {limit:.0f} s. sceval computes all its metrics "
        "(graph LISI and kBET per label too, exact neighbours); scib-metrics its own set (approximate "
        "neighbours, Leiden at its ten resolutions); scib what `--metrics_backend scib` computes.",
        "",
        f"Machine: {cpu_name()}, {os.cpu_count()} cores, {memory:.0f} GiB, Python {platform.python_version()}, "
        f"{time.strftime('%Y-%m-%d')}. `load`: load average of the minute before the start; above 0.5 other programs "
        "were running, and wall time says less than CPU time.",
        "",
        "| cells | tool | wall s | CPU s | peak GiB (largest process) | load | metrics |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        count = row.get("failed") or f"{sum(np.isfinite(list(row['values'].values())))}"
        wall = f"> {limit:.0f}" if str(row.get("failed", "")).startswith("not finished") else f"{row['wall']:.1f}"
        used = f"{wall} | {row['cpu']:.1f} | {row['rss']:.2f} | {row['load']:.1f}"
        lines.append(f"| {row['n']:,} | {row['tool']} | {used} | {count} |")
    versions = {row["tool"]: row["versions"] for row in rows if "versions" in row}
    lines += [
        "",
        "Versions: " + "; ".join(f"{t}: " + ", ".join(f"{p} {v}" for p, v in d.items()) for t, d in versions.items()),
    ]
    lines += ["", "### Values side by side", ""]
    for n in dict.fromkeys(row["n"] for row in rows):
        done = [row for row in rows if row["n"] == n and "values" in row]
        if not done:
            continue
        lines += [f"| {n:,} cells | " + " | ".join(row["tool"] for row in done) + " |", "|---|" + "---|" * len(done)]
        for name in done[0]["values"]:
            cells = [row["values"].get(name, float("nan")) for row in done]
            lines.append(f"| `{name}` | " + " | ".join("" if np.isnan(v) else f"{v:.4f}" for v in cells) + " |")
        lines.append("")
    lines += [
        "Where all labels are in all batches, scib-metrics scores *all* labels as isolated; scib and sceval none.",
        "",
        "### Quoted, not measured in this run",
        "",
        "scFoundry 0.2.1's own script (13 metrics, 30 Leiden resolutions) on the same kind of data, 2 cores, cold: "
        "112.7 and 104.1 s at 5,000 cells, 181.2 and 164.5 s at 20,000 (peak 1.9 GiB); its second pass, warm: "
        "14.9 and 78.9 s.",
    ]
    return "\n".join(lines)


def main() -> None:
    if len(sys.argv) > 1 and sys.argv[1] == "child":
        child(sys.argv[2], sys.argv[3])
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[5_000, 20_000])
    parser.add_argument("--tools", nargs="+", choices=list(RUNS), default=list(RUNS))
    parser.add_argument("--limit", type=float, default=600.0, help="seconds for each run")
    parser.add_argument(
        "--scib-metrics-python", default=sys.executable, help="Python of an environment with scib-metrics"
    )
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for n in arguments.sizes:
            path = Path(folder) / f"{n}.npz"
            np.savez(path, **make_data(n))
            for tool in arguments.tools:
                python = arguments.scib_metrics_python if tool == "scib-metrics" else sys.executable
                row = measure(tool, python, path, arguments.limit) | {"n": n}
                rows.append(row)
                print(n, tool, f"{row['wall']:.1f} s wall, {row['cpu']:.1f} s CPU", row.get("failed", ""), flush=True)
    text = RESULTS.read_text(encoding="utf-8") if RESULTS.exists() else f"# Benchmarks\n\n{BEGIN}\n{END}\n"
    if BEGIN not in text:
        text += f"\n{BEGIN}\n{END}\n"
    head, _, rest = text.partition(BEGIN)
    tail = rest.partition(END)[2]
    RESULTS.write_text(f"{head}{BEGIN}\n{report(rows, arguments.limit)}\n{END}{tail}", encoding="utf-8")


if __name__ == "__main__":
    main()
