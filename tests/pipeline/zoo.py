#!/usr/bin/env python3
"""Model programs that misbehave, each in its own way. Shares no code with the project: h5py and NumPy alone."""

import json
import os
import signal
import sys
import time

import h5py
import numpy as np

WAYS = (
    "good", "permuted", "crash", "hang", "killed", "memory", "not_applicable", "nothing", "garbage", "truncated", "nan",
    "some_nan", "constant", "transposed", "other_cells", "twice", "facts",
)  # fmt: skip


def names(group):
    return [name.decode() for name in group[group.attrs["_index"]][:]]


def frame(handle, name, index):
    group = handle.create_group(name)
    group.attrs.update({"encoding-type": "dataframe", "encoding-version": "0.2.0", "_index": "_index"})
    group.attrs.create("column-order", np.array([], object), dtype=h5py.string_dtype())
    ids = group.create_dataset("_index", data=np.array(index, object), dtype=h5py.string_dtype())
    ids.attrs.update({"encoding-type": "string-array", "encoding-version": "0.2.0"})


def write(path, cells, X):
    with h5py.File(path, "w") as handle:
        handle.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        frame(handle, "obs", cells)
        frame(handle, "var", [])
        group = handle.create_group("obsm")
        group.attrs.update({"encoding-type": "dict", "encoding-version": "0.1.0"})
        data = group.create_dataset("X_emb", data=X.astype(np.float32))
        data.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})


def embed(view, output, way, seed):
    with h5py.File(view, "r") as handle:
        cells, genes = names(handle["obs"]), names(handle["var"])
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(len(cells), 4))
    if way == "crash":
        sys.exit('KeyError: "gene" is missing \\ in the table')
    if way == "hang":
        time.sleep(600)
    if way == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if way == "memory":
        hog = np.ones(400_000_000)
        time.sleep(30)
        X += hog[:1]
    if way == "not_applicable":
        print("cells of a star are not supported", file=sys.stderr)
        sys.exit(99)
    if way == "nothing":
        return
    if way == "garbage":
        with open(output, "w") as handle:
            handle.write("not an HDF5 file")
        return
    if way == "nan":
        X[5, 2] = np.nan
    if way == "some_nan":
        X[:3] = np.nan
    if way == "constant":
        X[:] = 1
    if way == "permuted":
        order = rng.permutation(len(cells))
        cells, X = [cells[i] for i in order], X[order]
    if way == "transposed":
        cells, X = genes, rng.normal(size=(len(genes), len(cells)))
    if way == "other_cells":
        cells = [f"cell{i}" for i in range(len(cells))]
    if way == "twice":
        cells[1] = cells[0]
    write(output, cells, X)
    if way == "truncated":
        size = os.path.getsize(output)
        with open(output, "r+b") as handle:
            handle.truncate(size // 2)
    if way == "facts":
        with open(os.path.join(os.path.dirname(output), "facts.json"), "w") as handle:
            handle.write('{"cells_per_s": 3, broken')


def main():
    weighted = os.path.basename(sys.argv[0]) == "weighted.py"  # under that name it starts from weights
    if sys.argv[1] == "info":
        params = {"way": {"type": "string", "enum": list(WAYS), "description": "How it misbehaves."}}
        regimes = {"embed-cells": ["zero_shot" if weighted else "scratch"]}
        info = {"name": "zoo", "version": "1", "verbs": ["embed-cells"], "regimes": regimes, "params": params}
        needs = {"needs_weights": ["zero_shot"]} if weighted else {}
        print(json.dumps(info | {"memory_mb": 100, "deterministic": True} | needs))
        return
    options = dict(zip(sys.argv[2::2], sys.argv[3::2]))
    if weighted:
        with open(os.path.join(options["--weights"], "model.bin"), "rb") as handle:
            options["--seed"] = len(handle.read())
    way = json.loads(open(options["--params"]).read())["way"]
    embed(options["--view"], options["--output"], way, int(options["--seed"]))


main()
