"""The trial of a model program: its info, then each verb on a small view, called twice and compared."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sceval.contract import CellFile, h5ad
from sceval.contract.sample import sample_view, take
from sceval.contract.schema import load
from sceval.contract.verbs import WRITES, output_file
from sceval.trial import checks
from sceval.trial.checks import FAIL, PASS, SKIP, Check, result_of
from sceval.trial.genes import real_genes
from sceval.trial.outputs import Unfit, Values, problems_of, read_values
from sceval.trial.programs import Call, Image, Program, write_params

CELLS, GENES = 200, 300

VIEWS = {
    "embed-cells": ("batch_integration",),
    "embed-genes": ("gene_function",),
    "integrate": ("batch_integration", "multiomic_integration"),
    "annotate": ("cell_type_annotation",),
    "classify-genes": ("gene_function",),
    "perturb": ("perturbation",),
    "perturb-insilico": ("cell_type_annotation",),
    "infer-network": ("gene_network",),
    "impute": ("imputation",),
    "simulate": ("simulation",),
}
"""Tasks whose views a verb is tried on."""

_NOT_APPLICABLE = 99
_INFERENCE = ("embed-cells", "embed-genes", "infer-network", "perturb-insilico")
"""Verbs that train nothing, so that the size of a mini-batch must not show."""

_BATCH = 7
_FEW_EPOCHS = ("epochs", "max_epochs", "scanvi_epochs")
"""Parameters that are set to 1 where a program declares them: a trial looks at the form, not at the quality."""


@dataclass(frozen=True)
class Trial:
    """What is tried, and how.

    Attributes
    ----------
    program
        How the program is called.
    folder
        Empty folder for views and outputs.
    weights
        Folder of pre-trained weights, or None.
    params
        Parameters of every call.
    verbs
        Verbs to try; all that it declares where empty.
    device
        As of `--device`.
    may_be_constant
        Whether one answer for every cell is what the model is for (a negative control).
    jobs
        Verbs that are tried at the same time.
    """

    program: Program | Image
    folder: Path
    weights: Path | None = None
    params: dict[str, Any] = field(default_factory=dict)
    verbs: tuple[str, ...] = ()
    device: str = "cpu"
    may_be_constant: bool = False
    jobs: int = 1

    def info(self) -> dict[str, Any]:
        """Return what `info` prints.

        Raises
        ------
        Unfit
            If it fails, is no JSON, or breaks the info schema.
        """
        import jsonschema

        done = self.program.call(["info"], self.folder / "info")
        if done.code:
            msg = f"exit code {done.code}: {done.last_line}"
            raise Unfit(msg)
        if done.code is None:
            raise Unfit("it did not end within the time limit")
        try:
            info = json.loads(done.out)
        except json.JSONDecodeError as error:
            msg = f"it printed text that is not JSON ({error})"
            raise Unfit(msg) from error
        problems = list(jsonschema.Draft202012Validator(load("info")).iter_errors(info))
        if problems:
            raise Unfit("; ".join(f"{'/'.join(map(str, item.path))}: {item.message}" for item in problems))
        return info

    def known_genes(self, info: dict[str, Any]) -> list[str]:
        """Return the genes that the model says it knows; none where it does not say."""
        if not info.get("lists_genes") or self.weights is None:
            return []
        words = ["genes", "--weights", str(self.weights)]
        return self.program.call(words, self.folder / "genes", self.weights).out.split()

    def run(self) -> Iterator[Check]:
        """Yield every check, verb by verb in the order of `info`."""
        try:
            info = self.info()
        except Unfit as error:
            yield Check("info", "runs", FAIL, str(error))
            return
        yield Check("info", "runs", PASS, f"{info['name']} {info['version']}, verbs {', '.join(info['verbs'])}")
        names = real_genes(GENES, self.known_genes(info))
        wanted = [verb for verb in info["verbs"] if not self.verbs or verb in self.verbs]
        for verb in sorted(set(self.verbs) - set(info["verbs"])):
            yield Check(verb, "runs", FAIL, "info does not declare it")
        tasks = [(verb, task) for verb in wanted for task in VIEWS[verb]]
        with ThreadPoolExecutor(self.jobs) as pool:
            for found in pool.map(lambda pair: self._try(info, *pair, names), tasks):
                yield from found

    def _regime(self, info: dict[str, Any], verb: str) -> str | None:
        """Return the regime to try: the first, or without weights the first that needs none; None: there is none."""
        regimes = info["regimes"].get(verb, [])
        needs = info.get("needs_weights", [])
        return next((regime for regime in regimes if self.weights or regime not in needs), None)

    def _try(self, info: dict[str, Any], verb: str, task: str, names: tuple[list[str], list[str]]) -> list[Check]:
        label = verb if task == VIEWS[verb][0] else f"{verb} ({task.split('_')[0]})"
        regime = self._regime(info, verb)
        if regime is None:
            if not info["regimes"].get(verb):
                return [Check(label, "runs", FAIL, "info lists no regime for it")]
            return [Check(label, "runs", SKIP, "not tried: every regime starts from weights (--weights DIR)")]
        place = self.folder / f"{verb}-{task}"
        place.mkdir()
        place.chmod(0o755)
        view = sample_view(n=CELLS, g=GENES, task=task, genes=names)
        return VerbTrial(self, info, verb, label, regime, view, place).run()


@dataclass
class VerbTrial:
    """The calls of one verb on one view."""

    trial: Trial
    info: dict[str, Any]
    verb: str
    label: str
    regime: str
    view: CellFile
    place: Path
    calls: list[Call] = field(default_factory=list)

    def _params(self) -> dict[str, Any]:
        declared = self.info.get("params", {})
        return {name: 1 for name in _FEW_EPOCHS if name in declared} | self.trial.params

    def _other_batch(self) -> dict[str, int]:
        """Return another size of mini-batch, where the program declares one and trains nothing."""
        declared = self.info.get("params", {}).get("batch_size")
        if declared is None or not (self.verb in _INFERENCE or self.regime == "zero_shot"):
            return {}
        size = max(_BATCH, int(declared.get("minimum", 1)))
        return {"batch_size": size if declared.get("default") != size else size + 1}

    def _call(self, name: str, view: CellFile, more: dict[str, Any]) -> Call:
        """Call the verb; paths are relative to the working folder, as the pipeline gives them."""
        place = self.place / name
        inputs = place / "work" / "in"
        inputs.mkdir(parents=True)
        h5ad.write(inputs / "view.h5ad", view)
        write_params(place / "work", self._params() | more)
        output = f"out/{output_file(WRITES[self.verb])}"
        words = [self.verb, "--view", "in/view.h5ad", "--output", output, "--regime", self.regime]
        words += ["--params", "in/params.json", "--seed", "1", "--device", self.trial.device]
        words += ["--weights", str(self.trial.weights)] if self.trial.weights else []
        call = self.trial.program.call(words, place, self.trial.weights)
        self.calls.append(call)
        return call

    def _values(self, name: str, view: CellFile, more: dict[str, Any]) -> Values:
        """Return the numbers of a further call.

        Raises
        ------
        Unfit
            If it fails or breaks the contract.
        """
        call = self._call(name, view, more)
        if call.code != 0:
            msg = "no end within the time limit" if call.code is None else f"exit code {call.code}: {call.last_line}"
            raise Unfit(msg)
        problems = problems_of(self.verb, call.output)
        if problems:
            raise Unfit("; ".join(problems[:3]))
        return read_values(self.verb, call.output, view)

    def run(self) -> list[Check]:
        """Return the checks of the first call, those of repetitions, and what all calls did beside their output."""
        out, first = self._first()
        if first is not None:
            out += self._repeated(first)
        return out + checks.watched(self.label, self.calls)

    def _first(self) -> tuple[list[Check], Values | None]:
        call = self._call("first", self.view, {})
        if call.code == _NOT_APPLICABLE:
            return [Check(self.label, "runs", SKIP, f"{self.regime}: not applicable (exit 99): {call.last_line}")], None
        if call.code != 0:
            why = f"no end within {self.trial.program.limit_s:g} s" if call.code is None else f"exit code {call.code}"
            return [Check(self.label, "runs", FAIL, f"{self.regime}: {why}: {call.last_line}")], None
        out = [Check(self.label, "runs", PASS, f"regime {self.regime}")]
        problems = problems_of(self.verb, call.output)
        told = "; ".join(problems[:3]) or f"{output_file(WRITES[self.verb])} is a {WRITES[self.verb]}"
        out.append(Check(self.label, "contract", result_of(not problems), told))
        if problems:
            return out, None
        try:
            values = read_values(self.verb, call.output, self.view)
        except Unfit as error:
            return [*out, Check(self.label, "complete", FAIL, str(error))], None
        found = {
            "complete": checks.complete(self.verb, values, self.view),
            "finite": checks.finite(self.verb, values),
            "varies": checks.varies(self.verb, values),
        }
        if self.trial.may_be_constant and not found["varies"][0]:
            found["varies"] = (True, f"{found['varies'][1]} (the row is a negative control)")
        return out + [Check(self.label, name, result_of(well), text) for name, (well, text) in found.items()], values

    def _repeated(self, first: Values) -> list[Check]:
        """Return whether nothing depends on chance, order or mini-batch.

        One call changes all of it at a time; only where that differs, one call for each tells by which.
        """
        rng = np.random.default_rng(1)
        mixed = take(self.view, rng.permutation(self.view.n_obs), rng.permutation(self.view.n_vars))
        other = self._other_batch()
        ways: dict[str, tuple[CellFile, dict[str, Any]]] = {
            "same seed": (self.view, {}),
            "order of cells": (mixed, {}),
            "batch size": (self.view, other),
        }
        if not other:
            del ways["batch size"]
        together = self._compare("together", first, mixed, other)
        if together.result == PASS:
            out = [Check(self.label, name, PASS, together.detail) for name in ways]
        else:
            out = [self._compare(name, first, *how) for name, how in ways.items()]
            if all(check.result == PASS for check in out):
                out.append(Check(self.label, "order and batch size", FAIL, together.detail))
        if not other:
            declared = "batch_size" in self.info.get("params", {})
            why = "training depends on it" if declared else "info declares no parameter batch_size"
            out.append(Check(self.label, "batch size", SKIP, f"not checked: {why}"))
        return out

    def _compare(self, name: str, first: Values, view: CellFile, more: dict[str, Any]) -> Check:
        try:
            well, told = checks.agree(first, self._values(name.replace(" ", "-"), view, more))
        except Unfit as error:
            well, told = False, str(error)
        return Check(self.label, name, result_of(well), told)
