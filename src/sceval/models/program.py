"""The command line that every model program of ours has, made from its `Info` and its verbs."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click

from sceval import contract
from sceval.contract.fingerprint import fingerprint
from sceval.contract.results import write_result
from sceval.models.genes import organism_reason
from sceval.models.groups import by_group
from sceval.models.params import check_params
from sceval.models.request import Info, NotApplicable, Request, Verb

NOT_APPLICABLE = 99
"""Exit code of a run that cannot be done for a reason that is not an error."""

STREAM_ABOVE = 50_000_000
"""Stored values (8 bytes each) above which the matrix of a view stays in its file, for verbs that read it in blocks."""


def info_json(info: Info) -> dict[str, Any]:
    """Return an `Info` as the JSON that `sceval-model info` prints."""
    out = dataclasses.asdict(info)
    out["params"] = {param.name: param.schema() for param in info.params}
    shared = sorted(f"models/{path.name}" for path in Path(__file__).parent.glob("*.py"))
    own = [f"models/{name}" for name in (info.name, *out.pop("uses_code_of"))]
    out["code"] = fingerprint("contract", "data", "assets/genes", "training", *shared, *own)
    return out


def _params(text: str, info: Info) -> dict[str, Any]:
    """Read `--params`: JSON, or the path of a JSON file; defaults filled in."""
    source = text
    if not text.lstrip().startswith(("{", "[")):
        try:
            source = Path(text).read_text()
        except OSError as error:
            msg = f"{text[:200]!r} is neither a JSON object nor a file that can be read ({error.strerror})"
            raise click.BadParameter(msg, param_hint="--params") from error
    try:
        given = json.loads(source)
    except json.JSONDecodeError as error:
        raise click.BadParameter(f"not JSON ({error}): {source[:200]}", param_hint="--params") from error
    if not isinstance(given, dict):
        raise click.BadParameter(f"a JSON {type(given).__name__}; expected an object", param_hint="--params")
    problems = check_params(given, info_json(info)["params"], "--params")
    if problems:
        raise click.BadParameter("\n".join(problems), param_hint="--params")
    return {param.name: param.default for param in info.params} | given


def _check_regime(info: Info, verb: str, regime: str, weights: Path | None) -> None:
    allowed = info.regimes[verb]
    if regime not in allowed:
        msg = f"{info.name} has no regime {regime!r} for {verb}; it has {', '.join(allowed)}"
        raise NotApplicable(msg)
    if regime in info.needs_weights and weights is None:
        msg = f"{regime} starts from pre-trained weights and none were given (--weights DIR)"
        raise NotApplicable(msg)


def _run(info: Info, verb: str, function: Verb, options: dict[str, Any], stream_above: int | None = None) -> None:
    output: Path = options["output"]
    params = _params(options["params"], info)
    _check_regime(info, verb, options["regime"], options["weights"])
    view = contract.read("view", options["view"], lazy_above=stream_above)
    matrix = view.uns["sceval"]["matrix"]
    if matrix not in info.matrix:
        msg = f"{info.name} needs a matrix of {' or '.join(info.matrix)} and this one holds {matrix}"
        raise NotApplicable(msg)
    if reason := organism_reason(info_json(info), params, view.uns["sceval"]["organism"], options["regime"]):
        raise NotApplicable(reason)
    request = Request(view, options["regime"], params, options["seed"], options["device"], options["weights"])
    request.facts.update(model=info.name, version=info.version, seed=request.seed, params=params, device="cpu")
    start = time.perf_counter()
    result = by_group(function, request) if verb == "infer-network" else function(request)
    request.facts.setdefault("cells_per_s", round(view.n_obs / max(time.perf_counter() - start, 1e-9), 2))
    write_result(output, view, result)
    facts = output.with_name("facts.json")
    facts.write_text(json.dumps(request.facts | {"warnings": request.warnings}, indent=1, default=str) + "\n")


def _command(info: Info, verb: str, function: Verb, streams: bool) -> click.Command:
    def callback(**options: Any) -> None:
        try:
            _run(info, verb, function, options, STREAM_ABOVE if streams else None)
        except NotApplicable as reason:
            click.echo(" ".join(str(reason).split()), err=True)  # the reason is the last line, so it must be one line
            sys.exit(NOT_APPLICABLE)
        except contract.ContractError as error:
            raise click.ClickException(str(error)) from error

    existing = click.Path(exists=True, dir_okay=False, path_type=Path)
    folder = click.Path(exists=True, file_okay=False, path_type=Path)
    options = [
        click.Option(["--view"], type=existing, required=True, help="View to read (.h5ad)."),
        click.Option(["--output"], type=click.Path(path_type=Path), required=True, help="File to write (.h5ad)."),
        click.Option(["--weights"], type=folder, help="Folder of the weights."),
        click.Option(["--regime"], default="scratch", show_default=True, help="How the weights are used."),
        click.Option(["--params"], default="{}", show_default=True, help="Hyper-parameters: JSON, or a JSON file."),
        click.Option(["--seed"], type=int, default=0, show_default=True, help="Seed of everything random."),
        click.Option(["--device"], type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True),
    ]
    text = (function.__doc__ or verb).strip().splitlines()[0]
    return click.Command(verb, params=options, callback=callback, help=text)


def program(
    info: Info,
    verbs: dict[str, Verb],
    genes: Callable[[Path], Iterable[str]] | None = None,
    streams: tuple[str, ...] = (),
) -> Callable[[], None]:
    """Return the entry point of a model program.

    Parameters
    ----------
    info
        What the model is; its verbs must be those of `verbs`.
    verbs
        For each verb the function that does it; it may raise `NotApplicable`.
    genes
        From the folder of the weights to the genes that the model knows, so that the plan can tell before anything
        runs whether they are enough.
    streams
        Verbs that only ask `X` of the view for rows, so that a large one may stay in its file (`contract.rows`).
    """
    if set(verbs) != set(info.verbs):
        msg = f"{info.name}: declared verbs {sorted(info.verbs)} differ from those written {sorted(verbs)}"
        raise ValueError(msg)
    group = click.Group("sceval-model", help=f"{info.title} {info.version}: {info.citation}")

    @group.command("info", help="Print what this model can do, as JSON.")
    def _info() -> None:
        click.echo(json.dumps(info_json(info) | {"lists_genes": genes is not None}, indent=1))

    if genes is not None:

        @group.command("genes", help="Print the genes that the model knows, one a line.")
        @click.option("--weights", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
        def _genes(weights: Path) -> None:
            click.echo("\n".join(genes(weights)))

    for verb, function in verbs.items():
        group.add_command(_command(info, verb, function, verb in streams))
    return group
