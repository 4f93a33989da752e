"""Fabricate a small but realistic results folder: ties, clear wins, null effects, holes and hostile names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from sceval.contract import tables
from sceval.contract.tasks import TASKS
from sceval.metrics.registry import RANK_BY, for_task

HOSTILE = 'odd, "name" <b>bold</b>'
TYPES = ["CD14+ Monocyte", "CD19+ B", "CD34+", "CD4+ T", "CD56+ NK", "CD8+ Cytotoxic T", "DC", "Treg <img src=x>"]
SHARES = np.array([0.15, 0.14, 0.02, 0.1, 0.05, 0.25, 0.26, 0.03])
STRENGTHS = {"pbmc68k_planted_000": 0.0, "pbmc68k_planted_025": 0.25, "pbmc68k_planted_100": 1.0}
INTEGRATION = {
    # variant: model, regime, kind, biology kept, batch removed, CPU seconds
    "hvg_pca": ("hvg_pca", "none", "baseline", 0.66, 0.50, 1.4),
    "harmony": ("harmony", "none", "model", 0.67, 0.80, 3.1),
    "scgpt-scratch": ("scgpt", "scratch", "model", 0.52, 0.66, 160.0),
    "scgpt-finetune": ("scgpt", "finetune", "model", 0.675, 0.81, 190.0),
    "scgpt-zero_shot": ("scgpt", "zero_shot", "model", 0.40, 0.52, 11.0),
    HOSTILE: (HOSTILE, "none", "model", 0.45, 0.55, 7.0),
    "random_embedding": ("random_embedding", "none", "negative_control", 0.10, 0.9, 0.2),
    "batch_onehot": ("batch_onehot", "none", "negative_control", 0.14, 0.1, 0.2),
    "log_total": ("log_total", "none", "negative_control", 0.2, 0.7, 0.2),
    "label_oracle": ("label_oracle", "none", "positive_control", 0.93, 0.9, 0.2),
}
ANNOTATION = {
    "logistic": ("logistic", "none", "baseline", 0.68, 0.68, 4.0),
    "knn": ("knn", "none", "baseline", 0.55, 0.55, 1.0),
    "scgpt-finetune": ("scgpt", "finetune", "model", 0.61, 0.6, 170.0),
    "scgpt-probe": ("scgpt", "probe", "model", 0.44, 0.44, 14.0),
    HOSTILE: (HOSTILE, "none", "model", 0.3, 0.3, 3.0),
    "majority": ("majority", "none", "negative_control", 0.06, 0.06, 0.1),
    "stratified": ("stratified", "none", "negative_control", 0.1, 0.1, 0.1),
    "truth": ("truth", "none", "positive_control", 0.99, 0.99, 0.1),
}
OTHER = {
    "gene_expression-probe": ("gene_expression", "probe", "baseline", 0.55, 0.55, 1.0),
    "scgpt-probe": ("scgpt", "probe", "model", 0.60, 0.60, 14.0),
    "scgpt-finetune": ("scgpt", "finetune", "model", 0.72, 0.72, 170.0),
    "scgpt-scratch": ("scgpt", "scratch", "model", 0.60, 0.60, 150.0),
    "scbert-finetune": ("scbert", "finetune", "model", 0.05, 0.05, 300.0),
    "random_genes-probe": ("random_genes", "probe", "negative_control", 0.1, 0.1, 0.3),
    "oracle": ("oracle", "none", "positive_control", 0.9, 0.9, 0.1),
}
HOLES = {
    # task, variant: status, reason
    ("batch_integration", "scgpt-probe"): ("not_applicable", "a probe would not move the embedding"),
    ("batch_integration", "geneformer-zero_shot"): ("not_applicable", "12 % of the genes are known, under 20 %"),
    ("batch_integration", "scbert-finetune"): ("failed", "out_of_memory: killed at 9.1 GB of 8 GB"),
    ("batch_integration", "slowpoke"): ("failed", "time_limit: stopped after 600 s"),
    ("cell_type_annotation", "scbert-finetune"): ("failed", "bad_output: 3 cells absent <script>alert(1)</script>"),
    ("cell_type_annotation", "late"): ("not_run", "the workflow ended before it started"),
}
METRICS = {
    "batch_integration": ["s_final", "s_bio", "s_batch", "nmi", "ari", "asw_label", "pcr", "ilisi_knn", "bras"],
    "cell_type_annotation": ["macro_f1", "accuracy", "balanced_accuracy", "log_loss", "brier"],
}
HEADLINE = {"s_final", "s_bio", "s_batch", "macro_f1", "accuracy"}
LOWER = {"log_loss", "brier"}


def make(folder: Path, seed: int = 7, *, more: tuple[str, ...] = (), only: str = "") -> Path:
    """Write the folder and return it: the two tasks above, `more` others, or `only` one other.

    `harmony` and `scgpt-finetune` are tied on `pbmc68k_planted_100`, `logistic` wins on it clearly, `pbmc68k_lanes`
    has no batch effect, and on `HOSTILE` (a dataset too) no interval could be made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    book = _Book(np.random.default_rng(seed))
    for dataset in [] if only else [*STRENGTHS, "pbmc68k_lanes", HOSTILE]:
        book.group("batch_integration", dataset, "all", INTEGRATION)
    for split in () if only else ("intra", "inter"):
        book.group("cell_type_annotation", "pbmc68k_planted_100", split, ANNOTATION)
    for task in (only,) if only else more:
        book.group(task, "pbmc68k_planted_100", TASKS[task].splits[0], OTHER)
    for kind in ("scores", "summary", "runs", "plan", "differences", "findings", "layout", "confusion", "per_class"):
        tables.write(kind, folder, getattr(book, kind), csv=kind == "plan")
    (folder / "datasets.json").write_text(json.dumps(_cards()))
    (folder / "versions.json").write_text(json.dumps(VERSIONS))
    return folder


VERSIONS = {
    "schema": 1,
    "sceval": "0.1.0",
    "nextflow": "24.10.0",
    "python": "3.11.2",
    "packages": {"numpy": "2.4.0", "torch": "2.15.0", "scanpy": "1.11.5"},
    "profile": "demo,venv",
    "started": "2026-01-02T03:04:05Z",
    "finished": "2026-01-02T03:09:41Z",
    "command": "nextflow run . -profile demo,venv --outdir results/demo",
    "models": {
        "scgpt": {
            "title": "scGPT",
            "version": "1.2.0",
            "licence": "Apache-2.0 (this code); official weights: non-commercial use only",
            "citation": "Cui et al. 2024, 10.1038/s41592-024-02201-0",
            "needs_weights": ["zero_shot", "finetune"],
            "organisms": ["human"],
            "min_genes_recognised": 0.2,
        },
        "harmony": {"title": "Harmony", "version": "1.0.0", "licence": "GPL-3.0-or-later (harmonypy)"},
    },
    "params": {"models": "all", "metrics_backend": "sceval", "score_batch": None},
}


def _cards() -> list[dict[str, Any]]:
    cards = []
    for dataset in [*STRENGTHS, "pbmc68k_lanes", HOSTILE]:
        card = {
            "dataset": dataset,
            "title": "PBMC 68k, " + ("real lanes" if dataset.endswith("lanes") else "planted batches"),
            "n_cells": 700,
            "n_genes": 765,
            "n_batches": 4,
            "n_types": len(TYPES),
            "cells_per_batch": {f"batch {n}": int(280 * 0.6**n) for n in range(4)},
            "cells_per_type": dict(zip(TYPES, (SHARES * 700).astype(int).tolist(), strict=True)),
            "organism": "human",
            "source": "https://example.org/pbmc68k",
            "licence": "CC BY 4.0",
            "semi_synthetic": dataset in STRENGTHS,
            "unlabelled": 0 if dataset in STRENGTHS else 12,
            "notes": "Counts recovered from log1p values.",
        }
        if dataset in STRENGTHS:
            card |= {"family": "pbmc68k_planted", "strength": STRENGTHS[dataset]}
        cards.append(card)
    return cards


class _Book:
    """Rows of every table, filled group by group."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.scores: list[dict[str, Any]] = []
        self.summary: list[dict[str, Any]] = []
        self.runs: list[dict[str, Any]] = []
        self.plan: list[dict[str, Any]] = []
        self.differences: list[dict[str, Any]] = []
        self.findings: list[dict[str, Any]] = []
        self.layout: list[dict[str, Any]] = []
        self.confusion: list[dict[str, Any]] = []
        self.per_class: list[dict[str, Any]] = []

    def group(self, task: str, dataset: str, split: str, variants: dict[str, tuple]) -> None:
        start = len(self.summary)
        strength = STRENGTHS.get(dataset, 0.5)
        for variant, (model, regime, kind, bio, batch, cpu) in variants.items():
            seeds = 2 if kind == "model" else 1
            who = {"dataset": dataset, "task": task, "split": split, "model": model, "regime": regime}
            who |= {"variant": variant, "kind": kind}
            lost = batch - strength * 0.45 if variant in ("hvg_pca", "scgpt-zero_shot", HOSTILE) else batch
            for number in range(seeds):
                self._run(who, number, cpu, task)
            for metric in METRICS.get(task) or [m.id for m in for_task(task)]:
                base = {"s_bio": bio, "s_batch": lost, "s_final": 0.6 * bio + 0.4 * lost}.get(metric, bio)
                self._score(who, metric, base + self.rng.normal(0, 0.005), seeds)
        self._rank(start)
        self._holes(task, dataset, split)
        null = dataset == "pbmc68k_lanes"
        note = "R2 before is under its permutations" if null else "ASW is near its blind control"
        level = "info" if null else "warning"
        self.findings.append({"run_id": "", "dataset": dataset, "task": task, "level": level, "finding": note})

    def _run(self, who: dict[str, Any], seed: int, cpu: float, task: str) -> None:
        run_id = f"{who['dataset']}.{task}.{who['split']}.{who['variant']}.{seed}"
        head = {"run_id": run_id, **who, "split_seed": 0, "seed": seed}
        gpt = who["model"] == "scgpt"
        cost = {"wall_s": cpu * 0.6, "cpu_s": cpu, "peak_rss_mb": 300 + cpu * 5, "peak_gpu_mb": None}
        cost |= {"cells_per_s": 700 / cpu, "genes_recognised": 0.97 if gpt else None}
        extra = dict.fromkeys(["image", "program", "gpu", "joules", "weights_sha256"])
        extra |= {"version": "0.1.0", "device": "cpu", "attempts": 1, "output": f"{who['variant']}/output.h5ad"}
        warnings = "21 genes are not in the vocabulary | 2 cells were capped at 256 genes" if gpt else None
        self.runs.append({**head, "status": "ok", "reason": None, **cost, **extra, "warnings": warnings})
        self._plan(head, "planned", None)
        if seed:
            return
        if task == "batch_integration":
            self._layout(run_id, who)
        elif task == "cell_type_annotation":
            self._confusion(run_id, who)

    def _plan(self, head: dict[str, Any], status: str, reason: str | None) -> None:
        rest = {"verb": "embed-cells", "program": None, "image": None, "needs": None, "output_of": None, "params": "{}"}
        self.plan.append({**head, "status": status, "reason": reason, **rest})

    def _score(self, who: dict[str, Any], metric: str, value: float, seeds: int) -> None:
        null = who["dataset"] == "pbmc68k_lanes" and metric in ("pcr", "s_final", "s_batch")
        undefined = null and metric == "pcr"
        lower = metric in LOWER
        value = None if undefined else (1 - value if lower else value)
        half = None if undefined or who["dataset"] == HOSTILE else 0.02
        anchors = (0.9, 0.05) if lower else (0.1, 0.9)
        low, high = (None, None) if half is None else (value - half, value + half)
        numbers = {"value": value, "value_low": low, "value_high": high, "direction": -1 if lower else 1}
        scaled = [None if x is None else (x - anchors[0]) / (anchors[1] - anchors[0]) for x in (value, low, high)]
        scaled[1:] = sorted(scaled[1:]) if scaled[1] is not None else scaled[1:]
        numbers |= {"scaled": scaled[0], "low": scaled[1], "high": scaled[2]}
        first = RANK_BY[who["task"]] if who["task"] not in METRICS else ""
        marks = {"headline": metric in HEADLINE or metric == first, "informative": metric != "asw_label"}
        note = "PCR undefined: there is nothing to remove; s_batch and s_final are partial" if null else None
        note = "demoted: a constant embedding scores above hvg_pca" if metric == "asw_label" else note
        more = {"unit": "cell", "n_units": 700, "mdd": 0.05, "note": note, "anchor0": anchors[0], "anchor1": anchors[1]}
        for seed in range(seeds):
            run_id = f"{who['dataset']}.{who['task']}.{who['split']}.{who['variant']}.{seed}"
            head = {"run_id": run_id, **who, "split_seed": 0, "seed": seed, "metric": metric}
            self.scores.append({**head, **numbers, **marks, **more})
        pooled = {"n_runs": seeds, "value_sd": 0.004 if seeds > 1 else None, "coverage": 1.0}
        self.summary.append({**who, "metric": metric, **numbers, **marks, **pooled, **dict.fromkeys(RANKS)})

    def _rank(self, start: int) -> None:
        rows = self.summary[start:]
        for metric in {row["metric"] for row in rows}:
            mine = [r for r in rows if r["metric"] == metric and r["value"] is not None]
            mine = [r for r in mine if r["kind"] in ("model", "baseline")]
            mine.sort(key=lambda r: -r["direction"] * r["value"])
            for place, row in enumerate(mine, 1):
                near = [n for n, other in enumerate(mine, 1) if abs(other["value"] - row["value"]) < 0.03]
                row |= {"rank": place, "rank_low": min(near), "rank_high": max(near)}
            for place, a in enumerate(mine if mine and mine[0]["headline"] else [], 1):
                if a["value_low"] is not None:
                    self.differences += [self._difference(a, b) for b in mine[place:]]

    def _difference(self, a: dict[str, Any], b: dict[str, Any]) -> dict[str, Any]:
        gap = a["value"] - b["value"]
        cpu = {name: row[5] for name, row in (INTEGRATION | ANNOTATION | OTHER).items()}
        keys = {name: a[name] for name in ("dataset", "task", "split", "metric")}
        keys |= {"a": a["variant"], "b": b["variant"]}
        ends = {"low": gap - 0.03, "high": gap + 0.03}
        return keys | {"difference": gap, **ends, "cost_ratio": cpu[a["variant"]] / cpu[b["variant"]]}

    def _holes(self, task: str, dataset: str, split: str) -> None:
        for (where, variant), (status, reason) in HOLES.items():
            if where != task:
                continue
            head = {"run_id": f"{dataset}.{task}.{split}.{variant}.0", "dataset": dataset, "task": task, "split": split}
            head |= {"model": variant.split("-")[0], "regime": "finetune", "variant": variant, "kind": "model"}
            head |= {"split_seed": 0, "seed": 0}
            rest = dict.fromkeys(c for c in tables.columns("runs") if c not in head)
            self.runs.append({**head, **rest, "status": status, "reason": reason})
            self._plan(head, "not_applicable" if status == "not_applicable" else "planned", reason)
            if status == "failed":
                head = {"run_id": head["run_id"], "dataset": dataset, "task": task}
                self.findings.append({**head, "level": "error", "finding": f"{variant}: {reason}"})

    def _layout(self, run_id: str, who: dict[str, Any]) -> None:
        n = 300
        types = np.random.default_rng(1).choice(len(TYPES), n, p=SHARES / SHARES.sum())
        batches = np.random.default_rng(2).choice(4, n, p=[0.4, 0.3, 0.2, 0.1])
        spread = {"random_embedding": 0.0, "label_oracle": 2.0}.get(who["variant"], 1.0)
        centers = 5 * np.c_[np.cos(np.arange(8) * 0.8), np.sin(np.arange(8) * 0.8)] * spread
        points = centers[types] + self.rng.normal(0, 1, (n, 2)) + 0.9 * batches[:, None]
        for cell in range(n):
            x, y = points[cell].tolist()
            names = {"batch": f"batch {batches[cell]}", "cell_type": TYPES[types[cell]]}
            self.layout.append({"run_id": run_id, "cell": f"cell{cell}", "x": x, "y": y, **names})

    def _confusion(self, run_id: str, who: dict[str, Any]) -> None:
        skill = ANNOTATION[who["variant"]][3]
        n_test = (SHARES * 210).astype(int)
        table = np.zeros((len(TYPES), len(TYPES)), dtype=int)
        for row, n in enumerate(n_test):
            odds = np.full(len(TYPES), (1 - skill) / (len(TYPES) - 1))
            odds[row] = skill
            table[row] = self.rng.multinomial(n, odds)
        for row, truth in enumerate(TYPES):
            hits = int(table[row, row])
            recall = hits / max(n_test[row], 1)
            precision = hits / max(table[:, row].sum(), 1)
            f1 = 2 * precision * recall / max(precision + recall, 1e-9)
            counts = {"n_test": int(n_test[row]), "n_train": int(n_test[row]) * 2}
            rates = {"precision": precision, "recall": recall, "f1": f1, "in_macro": bool(n_test[row] >= 20)}
            self.per_class.append({"run_id": run_id, "cell_type": truth, **counts, **rates})
            for column, label in enumerate(TYPES):
                head = {"run_id": run_id, "truth": truth, "prediction": label}
                self.confusion.append({**head, "n": int(table[row, column])})


RANKS = ("rank", "rank_low", "rank_high")

if __name__ == "__main__":
    import sys

    print(make(Path(sys.argv[1]), more=tuple(sys.argv[2:])))
