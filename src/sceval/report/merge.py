"""Several results folders read as one; what would make their numbers lie side by side wrongly is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sceval.report.load import Gap, Results, load

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

MOST_NAMED = 3
BOARD = ["task", "dataset", "split"]
RUN_TABLES = ("runs", "plan", "scores")
"""Tables that name runs."""


def load_all(folders: Sequence[Path]) -> Results:
    """Read one or several results folders.

    Parameters
    ----------
    folders
        Results folders; each run id in one of them alone, and each board (task, dataset, split) too, because ranks and
        anchors are made inside a folder.

    Raises
    ------
    FileNotFoundError
        If a folder does not exist or holds no table.
    ValueError
        If a folder is of another schema version, if folders share a run id or a board, or no folder is given.
    """
    if not folders:
        msg = "no results folder was given"
        raise ValueError(msg)
    names = _names(folders)
    found = {name: load(folder) for name, folder in zip(names, folders, strict=True)}
    if len(found) == 1:
        return next(iter(found.values()))
    _refuse_shared(found)
    kinds = next(iter(found.values())).tables
    gaps = [
        Gap(gap.file, gap.state, f"in {name}: {gap.message}") for name, results in found.items() for gap in results.gaps
    ]
    cards = _cards(found, gaps)
    tables = {kind: _joined([results[kind] for results in found.values()]) for kind in kinds}
    return Results(tables, cards, _versions(found), gaps)


def _names(folders: Sequence[Path]) -> list[str]:
    """Return the shortest ends of the paths that tell the folders apart."""
    paths = [folder.resolve() for folder in folders]
    if len(set(paths)) < len(paths):
        msg = f"the same results folder is given twice: {', '.join(str(folder) for folder in folders)}"
        raise ValueError(msg)
    for depth in range(1, max(len(path.parts) for path in paths) + 1):
        names = ["/".join(path.parts[-depth:]) for path in paths]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in paths]


def _refuse_shared(found: dict[str, Results]) -> None:
    runs: dict[str, str] = {}
    boards: dict[tuple[str, ...], str] = {}
    shared: dict[tuple[str, str], list[str]] = {}
    for name, results in found.items():
        ids = dict.fromkeys(run for kind in RUN_TABLES for run in results[kind].run_id)
        for run in ids:
            if runs.setdefault(run, name) != name:
                shared.setdefault((runs[run], name), []).append(run)
    if shared:
        raise ValueError("; ".join(_clash(pair, ids, "run id") for pair, ids in shared.items()) + _ADVICE)
    for name, results in found.items():
        for key in results["summary"][BOARD].drop_duplicates().itertuples(index=False, name=None):
            if boards.setdefault(key, name) != name:
                shared.setdefault((boards[key], name), []).append("/".join(key))
    if shared:
        told = "; ".join(_clash(pair, keys, "board") for pair, keys in shared.items())
        msg = f"{told}: ranks and anchors are made inside a folder and cannot be joined{_ADVICE}"
        raise ValueError(msg)


_ADVICE = ". Report these folders apart, or run what belongs together in one pipeline run."


def _clash(pair: tuple[str, str], names: list[str], what: str) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    plural = "s" if len(names) > 1 else ""
    return f"{len(names)} {what}{plural} in both {pair[0]} and {pair[1]}: {', '.join(names[:MOST_NAMED])}{more}"


def _joined(tables: list[Any]) -> Any:
    import pandas as pd

    filled = [table for table in tables if len(table)]
    return pd.concat(filled, ignore_index=True) if filled else tables[0]


def _cards(found: dict[str, Results], gaps: list[Gap]) -> list[dict[str, Any]]:
    """Return the cards of all folders; where two folders describe a dataset differently the first one is shown."""
    cards: dict[str, tuple[str, dict[str, Any]]] = {}
    for name, results in found.items():
        for card in results.datasets:
            first, known = cards.setdefault(card["dataset"], (name, card))
            differ = [key for key in ("n_cells", "n_genes") if known.get(key) != card.get(key)]
            if differ:
                told = f"{card['dataset']} differs in {' and '.join(differ)} between {first} and {name}"
                gaps.append(Gap("datasets.json", "ambiguous", f"{told}: the card of {first} is shown"))
    return [card for _, card in cards.values()]


def _versions(found: dict[str, Results]) -> dict[str, Any]:
    """Return one set of versions: what the folders agree on, the latest end, all models, and each folder's own."""
    all_of = {name: results.versions for name, results in found.items()}
    out: dict[str, Any] = {}
    for name in ("sceval", "nextflow", "python"):
        said = list(dict.fromkeys(str(v[name]) for v in all_of.values() if v.get(name)))
        if said:
            out[name] = ", ".join(said)
    ends = [str(v["finished"]) for v in all_of.values() if v.get("finished")]
    out |= {"finished": max(ends)} if ends else {}
    models = [v["models"] for v in all_of.values() if isinstance(v.get("models"), dict)]
    out["models"] = {model: facts for said in reversed(models) for model, facts in said.items()}
    return out | {"folders": all_of}
