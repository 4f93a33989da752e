"""Speed and memory of `embed-cells` for each transformer at its official size, with random weights.

Each measurement is a process of its own. `ours` is what the programs do; `plain` is the straightforward way with the
same network: the counts as a dense matrix, mini-batches in the order of the file, padded to the longest cell of all, a
dense attention mask with attention written out, one worker. Both must give the same vectors, else the script fails.

    python benchmarks/embed.py --models scgpt tgpt --cells 64
    python benchmarks/embed.py --models scgpt --cells 2000 --device cuda        # bf16
    python benchmarks/embed.py --stream 1000000                                 # flat memory, a file made by the script

Sizes: the papers and official repositories of the models. The share is that of the rate of a large matrix product,
measured on the same device, threads and number type before; operations are counted by torch's FlopCounterMode.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

_PERFORMER = {"heads": 10, "dim_head": 64, "n_features": 266}
MODELS: dict[str, tuple[str, int, dict[str, Any]]] = {
    "scgpt": (
        "scgpt",
        20_000,
        {"d_model": 512, "n_layers": 12, "n_heads": 8, "d_ff": 512, "max_length": 1200, "match_depth": False},
    ),
    "geneformer-V1-10M": (
        "geneformer",
        20_000,
        {"width": 256, "n_layers": 6, "n_heads": 4, "d_ff": 512, "max_tokens": 2048},
    ),
    "geneformer-V2-104M": (
        "geneformer",
        20_000,
        {"width": 768, "n_layers": 12, "n_heads": 12, "d_ff": 3072, "max_tokens": 4096},
    ),
    "tgpt": ("tgpt", 20_000, {"d_model": 1024, "n_layers": 8, "n_heads": 16, "max_length": 64}),
    "scbert": ("scbert", 16_906, {"dim": 200, "depth": 6, **_PERFORMER}),
    "cellm": ("cellm", 19_378, {"dim": 512, "depth": 10, **_PERFORMER, "heads": 16}),
}
"""Name -> package, genes, parameters of the official size."""

TOLERANCE = {"cpu": 1e-3, "cuda": 5e-2}
"""Largest difference of two vectors that count as equal, in standard deviations: float32, and bf16."""


def cells(n: int, genes: int, expressed: int, seed: int = 0) -> Any:
    """Return counts of n cells (CSR): the number of expressed genes is log-normal (sigma 0.4) about its median."""
    from scipy import sparse

    rng = np.random.default_rng(seed)
    sizes = np.clip(rng.lognormal(np.log(expressed), 0.4, n).astype(int), 50, genes)
    columns = np.concatenate([np.sort(rng.choice(genes, size, replace=False)) for size in sizes])
    values = 1 + rng.poisson(1.5, len(columns))
    return sparse.csr_matrix((values.astype(np.float32), columns, np.append(0, np.cumsum(sizes))), shape=(n, genes))


def session_of(name: str, counts: Any, device: str, sizes: dict[str, Any] | None = None) -> Any:
    """Return a session of `embed-cells` with random weights."""
    from sceval.data.genes import Genes
    from sceval.models.transformer.session import Session

    package, _, official = MODELS[name]
    model = import_module(f"sceval.models.{package}.program").MODEL
    genes = Genes.from_symbols([f"GENE{i}" for i in range(counts.shape[1])])
    genes.ensembl[:] = [f"ENSG{i:011d}" for i in range(counts.shape[1])]
    ids = [f"cell{i}" for i in range(counts.shape[0])]
    given = official if sizes is None else sizes
    return Session.of_arrays(model, "embed-cells", "scratch", counts, genes, ids, given=given, device=device)


def plain_attention(q, k, v, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, enable_gqa=False):
    """Attention written out, with a dense mask of cells x queries x keys."""
    import torch

    shape = (q.shape[0], 1, q.shape[2], k.shape[2])
    keep = torch.ones(shape, dtype=torch.bool, device=q.device)
    keep = keep.tril() if is_causal else keep if attn_mask is None else attn_mask.expand(shape).contiguous()
    scores = (q @ k.transpose(-2, -1)) * (scale or q.shape[-1] ** -0.5)
    return torch.softmax(scores.masked_fill(~keep, float("-inf")), dim=-1) @ v


def embed_plain(session: Any, batch_size: int) -> np.ndarray:
    """Embed in the straightforward way."""
    import torch
    from scipy import sparse

    from sceval.models.transformer.encode import to_device, unit_length
    from sceval.training.device import autocast

    session.counts = sparse.csr_matrix(session.counts.toarray())  # what reading a dense matrix costs
    network, tokens, out = session.loaded.network, session.tokenize(), []
    longest = int(np.argmax(tokens.lengths))
    torch.nn.functional.scaled_dot_product_attention = plain_attention
    with torch.no_grad(), autocast(session.place, True):
        for start in range(0, len(tokens.lengths), batch_size):
            rows = np.arange(start, min(start + batch_size, len(tokens.lengths)))
            arrays = tokens.batch(np.append(rows, longest))  # one cell more, so that all are padded to its length
            batch = to_device({key: array[:-1] for key, array in arrays.items()}, session.place)
            out.append(network.encode(batch).float().cpu().numpy())
    X = np.concatenate(out)
    return unit_length(X) if network.unit_length else X


def matmul_rate(device: str, seconds: float = 1.0) -> float:
    """Return the rate of a large square matrix product, operations/s: float32 on a CPU, bf16 on a GPU."""
    import torch

    size, kind = (8192, torch.bfloat16) if device == "cuda" else (2048, torch.float32)
    A = torch.randn(size, size, device=device, dtype=kind)
    A @ A
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    wait()
    start, times = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        A @ A
        wait()
        times += 1
    return 2 * size**3 * times / (time.perf_counter() - start)


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Measure one model in one way, in this process."""
    import torch

    from sceval.models.transformer.embed import embed_cells

    torch.set_num_threads(1 if args.way == "plain" and args.one_thread else args.threads)
    rate = matmul_rate(args.device)
    _, genes, _ = MODELS[args.one]
    counts = cells(args.cells, genes, args.expressed)
    warm = session_of(args.one, counts[: min(2, args.cells)], args.device)
    embed_cells(warm)  # the first pass prepares kernels
    del warm
    session = session_of(args.one, counts, args.device)
    session.loaded  # noqa: B018 - the network is not part of the speed
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    if args.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    start = time.perf_counter()
    X = embed_plain(session, args.plain_batch) if args.way == "plain" else embed_cells(session)
    seconds = time.perf_counter() - start
    found = {
        "seconds": seconds,
        "cells_per_s": args.cells / seconds,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10,
        "before_mb": before,
        "gpu_peak_mb": torch.cuda.max_memory_allocated() / 2**20 if args.device == "cuda" else None,
        "rate": rate,
    }
    if args.way == "ours" and not args.no_share:
        from torch.utils.flop_counter import FlopCounterMode

        with FlopCounterMode(display=False) as counter:
            embed_cells(session)
        found["share"] = counter.get_total_flops() / seconds / rate
    np.save(args.save, X)
    return found


def child(*words: object) -> dict[str, Any]:
    """Run this script with these words in a process of its own and return the JSON of its last line."""
    command = [sys.executable, __file__, *map(str, words)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with exit code {done.returncode}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def compare(args: argparse.Namespace) -> None:
    """Print a row for each model: both ways, the same vectors asserted."""
    print(
        f"\n{args.cells} cells, about {args.expressed:,} expressed genes each, {args.device}, {args.threads} threads\n"
    )
    print(
        "| model | cells/s | of matrix rate | peak MB | plain: cells/s | plain: peak MB | times faster | difference |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for name in args.models:
        with tempfile.TemporaryDirectory() as folder:
            common = ["--one", name, "--cells", args.cells, "--expressed", args.expressed, "--device", args.device]
            common += ["--threads", args.threads, "--plain_batch", args.plain_batch]
            common += ["--one_thread"] if args.one_thread else []
            common += ["--no_share"] if args.no_share else []
            found = {
                way: child(*common, "--way", way, "--save", Path(folder) / f"{way}.npy")
                for way in (("ours",) if args.no_plain else ("ours", "plain"))
            }
            X = {way: np.load(Path(folder) / f"{way}.npy") for way in found}
        ours, plain = found["ours"], found.get("plain")
        memory = "gpu_peak_mb" if args.device == "cuda" else "peak_mb"
        share = f"{ours['share']:.0%}" if "share" in ours else ""
        row = f"| {name} | {ours['cells_per_s']:.2f} | {share} | {ours[memory]:,.0f} |"
        if plain is None:
            print(f"{row} | | | |", flush=True)
            continue
        difference = float(np.nanmax(np.abs(X["ours"] - X["plain"])) / np.nanstd(X["ours"]))
        if not difference <= TOLERANCE[args.device]:
            sys.exit(f"{name}: the two ways differ by {difference:.1e} standard deviations")
        faster = ours["cells_per_s"] / plain["cells_per_s"]
        row += f" {plain['cells_per_s']:.2f} | {plain[memory]:,.0f} | {faster:.1f} | {difference:.0e} |"
        print(row, flush=True)


def write_large(path: Path, n: int, genes: int, expressed: int, block: int = 10_000) -> None:
    """Write a view of n cells, a block at a time."""
    import h5py

    from sceval.contract import h5ad
    from sceval.contract.h5ad import CellFile
    from sceval.contract.schema import SCHEMA_VERSION

    names = np.array([f"GENE{i}" for i in range(genes)], object)
    ids = np.array([f"cell{i}" for i in range(n)], object)
    view = CellFile(ids, names, var={"gene_symbol": names, "ensembl_id": names})
    header = {"dataset": "large", "task": "batch_integration", "split": "all", "organism": "human", "matrix": "counts"}
    view.uns["sceval"] = {"schema": SCHEMA_VERSION, **header}
    h5ad.write(path, view)
    with h5py.File(path, "r+") as file:
        X = file.create_group("X")
        X.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0", "shape": (n, genes)})
        options = {"shape": (0,), "maxshape": (None,), "chunks": (2**18,), "compression": "gzip", "compression_opts": 1}
        data = X.create_dataset("data", dtype="f4", **options)
        indices = X.create_dataset("indices", dtype="i4", **options)
        indptr = np.zeros(n + 1, np.int64)
        some = cells(min(block, n), genes, expressed)  # repeated: what is read costs the same
        for start in range(0, n, block):
            part = some[: min(block, n - start)]
            end = int(indptr[start])
            for dataset, values in ((data, part.data), (indices, part.indices)):
                dataset.resize((end + part.nnz,))
                dataset[end:] = values
            indptr[start + 1 : start + part.shape[0] + 1] = end + part.indptr[1:]
        X.create_dataset("indptr", data=indptr)


def stream_one(args: argparse.Namespace) -> dict[str, Any]:
    """Read a view from its file, check it, embed it with a small network, and tell the peak of memory."""
    import torch

    from sceval import contract
    from sceval.models.transformer.embed import embed_cells

    torch.set_num_threads(args.threads)
    start = time.perf_counter()
    above = None if args.way == "plain" else 0
    view = contract.read("view", args.file, lazy_above=above)
    read = time.perf_counter() - start
    sizes = {"d_model": 64, "n_layers": 1, "n_heads": 4, "max_length": args.stream_length}
    session = session_of("scgpt", view.X, args.device, sizes)
    X = embed_cells(session)
    return {
        "read_s": read,
        "seconds": time.perf_counter() - start,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10,
        "vectors_mb": X.nbytes / 2**20,
    }


def stream(args: argparse.Namespace) -> None:
    """Print time and peak memory for a tenth of the cells and for all, from the file and (`plain`) read whole."""
    print("\n| cells | file MB | way | read and checked s | whole s | cells/s | peak MB | of it vectors MB |")
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        for n in (max(args.stream // 10, 1), args.stream):
            path = Path(folder) / f"{n}.h5ad"
            write_large(path, n, args.stream_genes, args.expressed)
            size = path.stat().st_size / 2**20
            for way in ("ours",) if args.no_plain else ("ours", "plain"):
                words = ["--file", path, "--way", way, "--device", args.device, "--threads", args.threads]
                found = child(*words, "--stream_length", args.stream_length)
                row = f"| {n:,} | {size:,.0f} | {way} | {found['read_s']:.1f} | {found['seconds']:.1f} |"
                row += f" {n / found['seconds']:,.0f} | {found['peak_mb']:,.0f} | {found['vectors_mb']:,.0f} |"
                print(row, flush=True)
            path.unlink()


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--cells", type=int, default=64)
    parser.add_argument("--expressed", type=int, default=1500, help="Median number of expressed genes of a cell.")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--plain_batch", type=int, default=8, help="Cells of a mini-batch of the plain way.")
    parser.add_argument("--one_thread", action="store_true", help="The plain way computes on one thread too.")
    parser.add_argument("--no_plain", action="store_true", help="Leave the plain way out.")
    parser.add_argument("--no_share", action="store_true", help="Do not count operations, which takes a second pass.")
    parser.add_argument("--stream", type=int, default=0, metavar="CELLS", help="Embed a large file instead.")
    parser.add_argument("--stream_genes", type=int, default=20_000)
    parser.add_argument("--stream_length", type=int, default=16, help="Longest cell, tokens.")
    parser.add_argument("--folder", type=Path, help="Where the large file goes.")
    parser.add_argument("--one", choices=list(MODELS), help=argparse.SUPPRESS)
    parser.add_argument("--way", choices=("ours", "plain"), default="ours", help=argparse.SUPPRESS)
    parser.add_argument("--save", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measure(args)))
    elif args.file:
        print(json.dumps(stream_one(args)))
    elif args.stream:
        stream(args)
    else:
        compare(args)


if __name__ == "__main__":
    main()
