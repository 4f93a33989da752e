#!/usr/bin/env python3
"""A model for sceval that shares no code with it: a random projection of log counts, with h5py and NumPy alone."""

import argparse
import json
import sys
import zlib
from pathlib import Path

import h5py
import numpy as np

INFO = {
    "name": "projection",
    "title": "Random projection",
    "version": "1.0.0",
    "verbs": ["embed-cells"],
    "regimes": {"embed-cells": ["scratch", "probe"]},
    "gene_ids": "any",
    "licence": "Apache-2.0",
    "citation": "Johnson and Lindenstrauss 1984",
    "params": {"width": {"type": "integer", "default": 32, "minimum": 1, "description": "Dimensions."}},
}


def embed(view, width, seed):
    """Return cell ids and a cells x width embedding; weights belong to gene ids, so the order of genes is free."""
    cells, genes = (view[name][view[name].attrs["_index"]].asstr()[:] for name in ("obs", "var"))
    X = view["X"]  # raw counts, CSR
    data, indices, indptr = X["data"][:], X["indices"][:], X["indptr"][:]
    rows = [np.random.default_rng([seed, zlib.crc32(gene.encode())]).standard_normal(width) for gene in genes]
    weights = np.array(rows) / np.sqrt(width)
    out = np.zeros((len(cells), width), np.float32)
    for i in range(len(cells)):
        part = slice(indptr[i], indptr[i + 1])
        counts = data[part].astype(float)
        out[i] = np.log1p(1e4 * counts / max(counts.sum(), 1)) @ weights[indices[part]]
    return cells, out


def write(path, cells, X):
    """Write `obsm/X_emb` under the cell ids as AnnData; the file appears whole or not at all."""
    with h5py.File(path + ".part", "w") as file:
        for name, ids in (("obs", cells), ("var", [])):
            frame = file.create_group(name)
            frame.attrs.update({"encoding-type": "dataframe", "encoding-version": "0.2.0", "_index": "_index"})
            frame.attrs.create("column-order", np.array([], object), dtype=h5py.string_dtype())
            index = frame.create_dataset("_index", data=np.array(ids, object), dtype=h5py.string_dtype())
            index.attrs.update({"encoding-type": "string-array", "encoding-version": "0.2.0"})
        embedding = file.create_dataset("obsm/X_emb", data=X)
        embedding.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
        file["obsm"].attrs.update({"encoding-type": "dict", "encoding-version": "0.1.0"})
        file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
    Path(path + ".part").replace(path)


def main():
    """Answer `info` and `embed-cells`."""
    if sys.argv[1:] == ["info"]:
        print(json.dumps(INFO))
        return
    parser = argparse.ArgumentParser()
    parser.add_argument("verb", choices=INFO["verbs"])
    for option in ("view", "output", "weights", "regime", "params", "seed", "device"):
        parser.add_argument(f"--{option}")
    args = parser.parse_args()
    given = args.params or "{}"  # JSON, or the path of a JSON file
    params = {"width": INFO["params"]["width"]["default"]}
    params |= json.loads(given if given.lstrip().startswith("{") else Path(given).read_text())
    with h5py.File(args.view) as view:
        if view["uns/sceval/matrix"].asstr()[()] != "counts":
            print("a random projection of log counts needs counts", file=sys.stderr)
            sys.exit(99)  # not applicable; the last line of stderr is the reason
        write(args.output, *embed(view, params["width"], int(args.seed or 0)))


if __name__ == "__main__":
    main()
