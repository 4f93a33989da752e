"""PLAN: every run that is made, or why it is not, and what each step of the graph gets.

Groovy stays thin: which runs are made, which are applicable and which share an embedding is decided here.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from sceval.contract.tasks import EMBEDDING_TASK, TASKS
from sceval.contract.verbs import WRITES, output_file
from sceval.data.needs import split_reason
from sceval.data.needs_annotation import other_organism
from sceval.data.sheets import FILE_COLUMNS, file_name
from sceval.data.validate import task_problems
from sceval.planning.applicability import (
    TASK_IMAGE_PROBE,
    by_labels,
    choose_verb,
    embedding_regime,
    genes_reason,
    learns_labels,
    model_reason,
    offered_regimes,
)
from sceval.planning.settings import Plan, Settings

READING_COLUMNS = (
    *("path", "batch_key", "label_key", "organism", "matrix", "layer", "gene_symbol", "ensembl_id"),
    *("perturbation_key", "control", "context_key", "proteins"),
    *FILE_COLUMNS,
)
"""Columns of the datasets sheet that decide how a dataset is read."""

RANKED = ("model", "baseline")
"""Kinds of rows whose runs are compared over views."""

TWO_CORES_FROM = 4000
"""Cells from which scoring keeps a second core busy; below, two groups side by side are faster."""


def variant_name(model: str, regime: str, params: dict[str, Any], defaults: dict[str, Any]) -> str:
    """Return the variant: model and regime, and a short digest where parameters differ from the row's."""
    name = f"{model}-{regime}"
    changed = {key: value for key, value in params.items() if defaults.get(key) != value}
    if not changed:
        return name
    digest = hashlib.sha256(json.dumps(changed, sort_keys=True).encode()).hexdigest()[:6]
    return f"{name}-{digest}"


def _run_id(*parts: str) -> str:
    return ".".join(file_name(part) for part in parts)


def _reading_row(card: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a sheet row that decides how its file is read: all else must not change the task's hash."""
    if "sheet_row" not in card:
        return {}
    return {key: card["sheet_row"].get(key, "") for key in READING_COLUMNS} | {"row": 0}


class _Planner:
    def __init__(self, cards: list[dict], models: list[dict], infos: dict[str, dict], settings: Settings) -> None:
        self.cards = {card["dataset"]: card for card in cards}
        self.models, self.infos, self.settings = models, infos, settings
        self.plan = Plan()

    def query_of(self, card: dict, split: str) -> dict | None:
        """Return the card of the dataset that is the test part of a split; None where there is no such dataset."""
        joined = split == "spatial" or split == ("cross_species" if other_organism(card) else "inter")
        return self.cards.get(card["query"]) if joined else None

    def seen_by_models(self, card: dict, split: str) -> dict:
        """Return a card with the genes and the organism of the view: across organisms those of the human dataset."""
        query = self.query_of(card, split)
        if query is None or query["organism"] == card["organism"] or card["organism"] == "human":
            return card
        return card | {key: query[key] for key in ("organism", "gene_symbols", "ensembl_ids")}

    def view(self, card: dict, task: str, split: str, split_seed: int) -> str:
        """Register the view and return its id."""
        view_id = _run_id(card["dataset"], task, f"{split}{split_seed}")
        query = self.query_of(card, split)
        self.plan.views.setdefault(
            view_id,
            {
                "view_id": view_id,
                "dataset": card["dataset"],
                "path": card["path"],
                "query": query["dataset"] if query else "",
                "query_path": query["path"] if query else "",
                "more_paths": [
                    path
                    for path in map(_reading_row(card).get, FILE_COLUMNS)
                    if path and not path.startswith("embedded:")
                ],
                "row": _reading_row(card),
                "query_row": _reading_row(query) if query else {},
                "task": task,
                "split": split,
                "split_seed": split_seed,
                "image": self.settings.task_images.get(task, ""),
                "program": self.settings.task_program,
                "code": self.settings.prepare_code,
            },
        )
        return view_id

    def executed(
        self, row: dict, view_id: str, verb: str, model: dict, info: dict, regime: str, seed: int, **more: Any
    ) -> None:
        """Register a run that RUN executes."""
        own = verb not in (TASK_IMAGE_PROBE, "oracle")
        task_image = self.settings.task_images.get(row["task"], "")
        self.plan.runs[row["run_id"]] = {
            "run_id": row["run_id"],
            "view_id": view_id,
            "image": model["image"] if own else task_image,
            "program": (model["program"] or "sceval-model") if own else self.settings.task_program,
            "verb": verb,
            "regime": regime,
            "params": model["params"] if own else {},
            "seed": seed,
            "device": self.settings.device,
            "weights": model["weights"] if own and regime in info.get("needs_weights", []) else "",
            "fetch": False,
            "needs": "",
            "needs_solution": False,
            "file": output_file(WRITES[verb] if own else WRITES[TASKS[row["task"]].verbs[0]]),
            "shared": verb in ("embed-cells", "embed-genes"),
            "cpus": self.settings.cpus,
            "memory_mb": max(self.settings.memory_mb, int(info.get("memory_mb", 0))),
            "time_s": self.settings.time_s,
            "gpu": 1
            if info.get("gpu") == "required" or (info.get("gpu") == "optional" and self.settings.device == "cuda")
            else 0,
            "code": info.get("code", "") if own else self.settings.task_code,
        } | more
        run = self.plan.runs[row["run_id"]]
        run["fetch"] = bool(run["weights"]) and model.get("fetch_weights", False)
        row.update(
            weights=run["weights"],
            weights_licence=model.get("weights_licence", "") if run["weights"] else "",
            program=f"{run['program']} {verb}",
            image=run["image"],
            verb=verb,
            needs=run["needs"],
            output_of=row["run_id"],
        )

    def row(
        self, card: dict, task: str, split: str, split_seed: int, model: dict, regime: str, seed: int
    ) -> dict[str, Any]:
        """Return a new row of the plan; it counts as planned until a reason is written into it."""
        variant = variant_name(model["model"], regime, model["params"], model.get("defaults", model["params"]))
        row = {
            "run_id": _run_id(card["dataset"], task, f"{split}{split_seed}", variant, f"s{seed}"),
            "dataset": card["dataset"],
            "task": task,
            "split": split,
            "split_seed": split_seed,
            "model": model["model"],
            "regime": regime,
            "variant": variant,
            "seed": seed,
            "kind": model["kind"],
            "status": "planned",
            "reason": "",
            "verb": "",
            "program": model["program"],
            "image": model["image"],
            "needs": "",
            "output_of": "",
            "params": json.dumps(model["params"], sort_keys=True),
            "weights": "",
            "weights_licence": "",
        }
        self.plan.rows.append(row)
        return row

    def not_applicable(self, reason: str, *where: Any) -> None:
        """Register a run that is not made, with its reason."""
        self.row(*where).update(status="not_applicable", reason=reason)

    def seeds_of(self, model: dict, info: dict) -> range:
        """Return the seeds of a model: one where the seed changes nothing."""
        if info.get("deterministic") or model.get("deterministic") == "yes":
            return range(1)
        controls = model["kind"] in ("negative_control", "positive_control")
        return range(self.settings.control_seeds if controls else self.settings.seeds)

    def embedding(self, card: dict, model: dict, info: dict, seed: int, verb: str, place: tuple[str, str, int]) -> str:
        """Return the id of the run that embeds the cells (or genes) of a view (task, split, split seed); made once."""
        regime = embedding_regime(info, verb)
        wanted = (card["dataset"], *place, model["model"], seed, regime, verb)
        keys = ("dataset", "task", "split", "split_seed", "model", "seed", "regime", "verb")
        existing = [row for row in self.plan.rows if tuple(row[key] for key in keys) == wanted]
        if existing:
            return existing[0]["run_id"]
        view_id = self.view(card, *place)
        row = self.row(card, *place, model, regime, seed)
        # The model may have a run of the same name that integrates, or is not applicable.
        row["run_id"] += ".embedding" if verb == "embed-cells" else ".genes"
        self.executed(row, view_id, verb, model, info, regime, seed)
        row["output_of"] = ""  # made for another task; not scored for its own
        return row["run_id"]

    def model_runs(self, card: dict, task: str, split: str, split_seed: int, model: dict) -> None:
        """Plan every regime and seed of one row of the models sheet for one dataset, task and split."""
        entry = self.infos[model["key"]]
        where = (card, task, split, split_seed, model)
        if "error" in entry:
            row = self.row(*where, (model["regimes"] or ["scratch"])[0], 0)
            row.update(status="failed", reason=f"error: the program does not answer `info`: {entry['error']}")
            return
        info = entry["info"]
        verbs = model["verbs"] or info["verbs"]
        wanted = () if model["kind"] == "negative_control" else self.settings.regimes  # anchors are always made
        regimes = [r for r in (model["regimes"] or offered_regimes(info, verbs)) if not wanted or r in wanted]
        outcomes = [(regime, *choose_verb(info, verbs, task, regime)) for regime in regimes]
        if TASKS[task].labelled and model["kind"] != "negative_control":
            outcomes = by_labels(outcomes, info, model["params"], task, split)
        if outcomes and not any(verb for _, verb, _ in outcomes):
            if model["kind"] != "negative_control":  # a control of another task is not missed here
                self.not_applicable("; ".join(dict.fromkeys(reason for *_, reason in outcomes)), *where, regimes[0], 0)
            return
        seen = self.seen_by_models(card, split)
        for regime, verb, reason in outcomes:
            source = embedding_regime(info, TASKS[task].probes) if verb == TASK_IMAGE_PROBE else regime
            reason = (
                reason
                or model_reason(info, model, seen, regime)
                or model_reason(info, model, seen, source)
                or genes_reason(info, entry.get("genes"), seen, source, model["params"])
            )
            if reason:
                self.not_applicable(reason, *where, regime, 0)
                continue
            for seed in self.seeds_of(model, info):
                self.one_run(*where, info, regime, verb, seed)

    def one_run(
        self,
        card: dict,
        task: str,
        split: str,
        split_seed: int,
        model: dict,
        info: dict,
        regime: str,
        verb: str,
        seed: int,
    ) -> None:
        """Plan one run that is applicable."""
        # A query dataset brings cells of its own, embedded with the joined view; all others once for all tasks.
        own = self.query_of(card, split) is not None or not TASKS[task].shares_embedding
        place = (task, split, split_seed) if own else (EMBEDDING_TASK, "all", 0)
        probed = TASKS[task].probes
        needs = self.embedding(card, model, info, seed, probed, place) if verb == TASK_IMAGE_PROBE else ""
        view_id = self.view(card, task, split, split_seed)
        row = self.row(card, task, split, split_seed, model, regime, seed)
        self.executed(row, view_id, verb, model, info, regime, seed, needs=needs)
        for other in TASKS[task].compared.get(split, ()) if model["kind"] in RANKED else ():
            self.compared_run((card, task, split, split_seed), other, model, info, regime, verb, seed)

    def compared_run(
        self, place: tuple, other: str, model: dict, info: dict, regime: str, verb: str, seed: int
    ) -> None:
        """Plan the same run on another view of the same cells, scored beside it as a variant of its own."""
        card, task, _split, split_seed = place
        row = self.row(*place, model, regime, seed)
        row["variant"] += f"-{other}"
        row["run_id"] = _run_id(card["dataset"], task, f"{row['split']}{split_seed}", row["variant"], f"s{seed}")
        self.executed(row, self.view(card, task, other, split_seed), verb, model, info, regime, seed)

    def oracle(self, card: dict, task: str, split: str, split_seed: int) -> None:
        """Plan the positive control: it reads the solution, in the image of the task."""
        model = {"model": "oracle", "kind": "positive_control", "params": {}, "program": "", "image": "", "weights": ""}
        view_id = self.view(card, task, split, split_seed)
        for seed in range(self.settings.control_seeds):
            row = self.row(card, task, split, split_seed, model, "scratch", seed)
            self.executed(row, view_id, "oracle", model, {}, "scratch", seed, needs_solution=True)

    def learns(self, model: dict, task: str) -> bool:
        """Return whether a model uses labels in a task."""
        info = self.infos[model["key"]].get("info")
        verbs = (model["verbs"] or info["verbs"]) if info else []
        return any(verb in verbs and learns_labels(info, model["params"], verb) for verb in TASKS[task].verbs)

    def task(self, card: dict, task: str) -> None:
        """Plan one task on one dataset."""
        lacking = task_problems(card, task, "datasets sheet")
        splits, labelled = TASKS[task].splits, TASKS[task].labelled
        named = [split for split in splits if split in self.settings.splits]
        only = len(splits) - len(labelled) == 1
        for split in splits:
            # A task's only split stays where the restriction is about other tasks.
            stays = only and not named and split not in labelled
            if self.settings.splits and split not in self.settings.splits and not stays:
                continue
            reason = "; ".join(f"found {p.found}, expected {p.expected}" for p in lacking)
            if split in labelled and not any(self.learns(model, task) for model in self.models):
                if split not in named:
                    continue
                reason = reason or "no model of the sheet learns from labels in this task"
            reason = reason or split_reason(card, task, split)
            seeds = range(1 if split == "all" else self.settings.split_seeds)
            for split_seed in seeds:
                for model in self.models:
                    if reason:
                        self.not_applicable(
                            reason, card, task, split, split_seed, model, (model["regimes"] or ["scratch"])[0], 0
                        )
                    else:
                        self.model_runs(card, task, split, split_seed, model)
                if not reason:
                    self.oracle(card, task, split, split_seed)

    def make_groups(self) -> None:
        """Collect the runs that are scored together: all of a dataset, task and split."""
        groups: dict[str, list[dict]] = {}
        for row in self.plan.rows:
            if row["status"] == "planned" and row["output_of"]:
                key = _run_id(row["dataset"], row["task"], f"{row['split']}{row['split_seed']}")
                groups.setdefault(key, []).append(row)
        for key, rows in groups.items():
            size = self.settings.score_batch or len(rows)
            for start in range(0, len(rows), size):
                chunk = rows[start : start + size]
                self.plan.groups.append(
                    {
                        "group_id": f"{key}.{start // size}" if size < len(rows) else key,
                        "view_id": key,
                        "task": chunk[0]["task"],
                        "image": self.settings.task_images.get(chunk[0]["task"], ""),
                        "program": self.settings.task_program,
                        "runs": [
                            {"run_id": row["run_id"], "output_of": row["output_of"], "picture": row["seed"] == 0}
                            for row in chunk
                        ],
                        "cpus": 2 if self.cards[chunk[0]["dataset"]]["n_cells"] >= TWO_CORES_FROM else 1,
                        "metrics_backend": self.settings.metrics_backend,
                        "code": self.settings.score_code,
                    }
                )


def make_plan(cards: list[dict], models: list[dict], infos: dict[str, dict], settings: Settings) -> Plan:
    """Return the plan.

    Parameters
    ----------
    cards
        Dataset cards of VALIDATE.
    models
        Rows of the models sheet, each with `key`, the key of its info.
    infos
        By key: `{"info": ..., "genes": set or None}`, or `{"error": why the program does not start}`.
    settings
        Everything else.
    """
    planner = _Planner(cards, models, infos, settings)
    for card in cards:
        for task in TASKS:
            asked = (not settings.tasks or task in settings.tasks) and (not card["tasks"] or task in card["tasks"])
            if asked:
                planner.task(card, task)
    planner.make_groups()
    return planner.plan
