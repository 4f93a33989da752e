"""Make the small checkpoints of `assets/weights`: pre-train on open 10x PBMC cells, evaluate, write a card each.

    .venv/bin/python setup/tiny_weights.py DATA NAME ...

A development tool. DATA is a folder with pbmc_facs_zheng.h5ad, pbmc10k_cite.h5ad, pbmc5k_v3.h5ad (to train) and
pbmc3k.h5ad (to look at the result); `sceval data fetch` gets them by accession. NAME is a key of `RECIPES`.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path

import numpy as np

from sceval.contract import h5ad
from sceval.data import embedded
from sceval.data.dataset import read_dataset
from sceval.data.hvg import highly_variable_genes
from sceval.data.preprocess import log_cp10k, pca
from sceval.data.sheets import DATASETS
from sceval.tasks import get
from sceval.tasks.probe import probe
from sceval.training.seed import derive_seed

OUT = Path(__file__).resolve().parents[1] / "assets" / "weights"
FILES = ("pbmc_facs_zheng.h5ad", "pbmc10k_cite.h5ad", "pbmc5k_v3.h5ad")
SMALL_CORPUS = 1500

RECIPES = {
    # d_ff etc. at the models' defaults; sizes and epochs chosen for an hour of two cores at most.
    "scgpt-tiny": ("scgpt", 0, 0, {"epochs": 8}),
    "scgpt-tiny-small": ("scgpt", 0, SMALL_CORPUS, {"epochs": 16}),
    "geneformer-tiny": ("geneformer", 0, 0, {"n_layers": 3, "max_tokens": 192, "epochs": 4}),
    "tgpt-tiny": ("tgpt", 0, 0, {"d_model": 128, "n_layers": 4, "epochs": 6}),
    "scbert-tiny": ("scbert", 1000, 3000, {"epochs": 4}),
    "cellm-tiny": ("cellm", 1000, 4000, {"epochs": 4}),
}
"""Name -> model, genes (0 = all), cells (0 = all), hyper-parameters."""


def gene_list(data: Path, most: int) -> list[str]:
    """Genes of the embedded cells, then those of the 10k PBMCs, the most variable first; at most `most` where not 0."""
    names = list(map(str, embedded.pbmc68k().var_names))
    cells = h5ad.read(data / "pbmc10k_cite.h5ad")
    order = highly_variable_genes(cells.X, cells.n_vars)
    symbols = [str(cells.var["gene_symbol"][i]) for i in order]
    rest = [str(s) for s in cells.var["gene_symbol"] if str(s) not in set(symbols)]
    whole = list(dict.fromkeys([*names, *symbols, *rest]))
    return whole[:most] if most else whole


def probe_board(model: str, folder: Path, data: Path, genes, seeds: int = 3) -> list[dict]:
    """Accuracy on pbmc3k of the shared head on four embeddings, with 95 % intervals."""
    row = {c.name: c.default for c in DATASETS} | {"path": "pbmc3k", "row": 0, "label_key": "cell_type"}
    cells = read_dataset(row, data / "pbmc3k.h5ad")
    described, task = import_module(f"sceval.models.{model}.program").MODEL, get("cell_type_annotation")
    rows = []
    for name, embed in embeddings(described, folder, cells, genes).items():
        values, errors = [], []
        for seed in range(seeds):
            view, solution = task.prepare(cells, None, "pbmc3k", "intra", seed)
            result, _ = probe(view, embed(seed))
            plan = task.plan(view, solution)
            truth = solution.obs["cell_type"][result.rows]
            right = (result.classes[result.probability.argmax(1)] == truth).astype(float)
            values.append(right.mean())
            errors.append(plan.scale * np.std([right[mask].mean() for mask in plan.masks], ddof=1))
        half = 2.05 * np.sqrt(np.mean(np.square(errors)) + np.var(values, ddof=1) / seeds)
        mean = float(np.mean(values))
        rows.append({"embedding": name, "accuracy": mean, "low": mean - half, "high": mean + half, "splits": seeds})
        print(f"  {name}: {mean:.3f} ({mean - half:.3f} to {mean + half:.3f})", flush=True)
    return rows


def embeddings(described, folder: Path, cells, genes) -> dict:
    """Name -> function of the seed that embeds the cells."""
    from sceval.data.genes import Genes
    from sceval.models.transformer.embed import embed_cells
    from sceval.models.transformer.session import Session

    X = log_cp10k(cells.X)
    components = pca(X[:, highly_variable_genes(cells.X, 2000)], 50)[0]
    stored: dict[str, np.ndarray] = {}

    def session(weights: Path) -> Session:
        # Only the genes that the small vocabulary has: it knows a third of what was measured and is not judged by that.
        known = set(genes.symbols)
        keep = np.flatnonzero([str(s) in known for s in cells.var["gene_symbol"]])
        own = Genes.of(cells)
        named = Genes([own.symbols[i] for i in keep], [own.ensembl[i] for i in keep], own.organism)
        arrays = (cells.X[:, keep], named, list(map(str, cells.obs_names)))
        return Session.of_arrays(described, "embed-cells", "zero_shot", *arrays, weights=weights, seed=0)

    def trained(seed: int) -> np.ndarray:
        if "trained" not in stored:
            stored["trained"] = np.nan_to_num(embed_cells(session(folder)))
        return stored["trained"]

    def untrained(seed: int) -> np.ndarray:
        import torch

        own = session(folder)
        fresh = described.module("checkpoint").new(
            genes, json.loads((folder / "pretraining.json").read_text())["settings"]
            | {"verb": "pretrain", "regime": "scratch", "device": "cpu"}, derive_seed(seed, "untrained"),
        )  # fmt: skip
        mine = own.loaded.network
        with torch.no_grad():
            state = fresh.network.state_dict()
            mine.load_state_dict({k: state.get(k, v) for k, v in mine.state_dict().items()})
        return np.nan_to_num(embed_cells(own))

    def projected(seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        return np.asarray(X @ rng.standard_normal((cells.n_vars, 64)))

    return {
        "untrained encoder": untrained,
        "pre-trained": trained,
        "random projection of log counts (64)": projected,
        "PCA-50 of variable genes": lambda seed: components,
    }


def shared_cells(data: Path) -> dict[str, int]:
    """Cells of the corpus whose counts over the shared genes are those of one of the demo's cells."""
    demo = embedded.pbmc68k()
    found = {}
    for file in FILES:
        cells = h5ad.read(data / file)
        where = {str(s): i for i, s in enumerate(cells.var["gene_symbol"])}
        both = [(i, where[str(s)]) for i, s in enumerate(demo.var_names) if str(s) in where]
        mine = demo.X[:, [i for i, _ in both]].toarray().astype(np.int32)
        theirs = cells.X[:, [j for _, j in both]].toarray().astype(np.int32)
        known = {row.tobytes() for row in mine}
        found[file] = int(sum(row.tobytes() in known for row in theirs))
    return found


def card(name: str, facts: dict, board: list[dict], shared: dict[str, int]) -> str:
    """Return the model card as Markdown."""
    lines = [
        f"# {name}",
        "",
        f"A small {facts['model']} checkpoint in the official layout, pre-trained by this project (`sceval pretrain`)"
        " for the demo and the tests. It is no substitute for the official weights.",
        "",
        f"- Parameters: {facts['parameters']:,}; genes: {facts['genes']:,}; seed {facts['seed']}.",
        f"- Training: {facts['cells_train']:,} cells, {facts['steps']:,} steps, {facts['seconds']:.0f} s on"
        f" {facts['device']}; {facts['cells_held']:,} held-out cells picked epoch {facts['best_epoch']}.",
        "- Licence: the weights are this project's (Apache-2.0); the cells are 10x Genomics public data, CC BY 4.0.",
        "",
        "## Corpus",
        "",
        "| file | cells | genes used | source | same counts as a demo cell |",
        "| --- | --- | --- | --- | --- |",
    ]
    sources = {
        "pbmc_facs_zheng.h5ad": "Zheng et al. 2017, purified PBMC populations (10x Genomics; subset of fastTopics "
        "`8406f5f4de37`)",
        "pbmc10k_cite.h5ad": "10x Genomics PBMC 10k v3 with TotalSeq-B (totalVI `27d65a9c4918`)",
        "pbmc5k_v3.h5ad": "10x Genomics PBMC 5k v3 with TotalSeq-B (totalVI `27d65a9c4918`)",
    }
    for one in facts["corpus"]:
        lines.append(
            f"| {one['file']} | {one['cells']:,} | {one['genes']:,} | {sources[one['file']]} | {shared[one['file']]} |"
        )
    lines += [
        "",
        "Held out: pbmc3k, pbmc_3tech_10x and the demo's own cells (`pbmc68k`). The purified populations of Zheng et"
        " al. come from the same study, laboratory and chemistry as the demo's cells: same donors are possible, the"
        " same cells are not among them (last column).",
        "",
        "## Loss",
        "",
        "| epoch | training | held out |",
        "| --- | --- | --- |",
        f"| untrained | | {facts['held_loss_untrained']:.4f} |",
        *(
            f"| {epoch} | {train:.4f} | {held:.4f} |"
            for epoch, (train, held) in enumerate(zip(facts["train_loss"], facts["held_loss"], strict=True), 1)
        ),
        "",
        "## What it is good for",
        "",
        "Accuracy of the shared head on pbmc3k (held out; 9 types, 70/30, three splits, 95 % intervals), whatever it"
        " turned out to be:",
        "",
        "| embedding | accuracy | interval |",
        "| --- | --- | --- |",
        *(f"| {r['embedding']} | {r['accuracy']:.3f} | {r['low']:.3f} to {r['high']:.3f} |" for r in board),
        "",
    ]
    return "\n".join(lines)


def make(name: str, data: Path) -> None:
    """Pre-train one checkpoint, evaluate it, write its card."""
    from sceval.models.transformer.corpus import read_corpus
    from sceval.models.transformer.pretrain import pretrain, write_checkpoint
    from sceval.training.progress import ProgressLines

    model, genes, cells, given = RECIPES[name]
    folder = OUT / name
    described = import_module(f"sceval.models.{model}.program").MODEL
    corpus = read_corpus([data / file for file in FILES], gene_list(data, genes), cells)
    print(f"{name}: {corpus.counts.shape[0]} cells x {corpus.counts.shape[1]} genes", flush=True)
    told = folder / "pretraining.json"
    if not told.is_file():  # else only the evaluation and the card are made again
        loaded, facts = pretrain(described, corpus, given, seed=0, on_progress=ProgressLines(name, every_s=20))
        write_checkpoint(described, loaded, facts, folder)
    facts = json.loads(told.read_text())
    board = probe_board(model, folder, data, corpus.genes)
    facts |= {"name": name, "probe_pbmc3k": board, "cells_shared_with_demo": shared_cells(data)}
    (folder / "pretraining.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(card(name, facts, board, facts["cells_shared_with_demo"]), encoding="utf-8")


if __name__ == "__main__":
    for which in sys.argv[2:]:
        make(which, Path(sys.argv[1]))
