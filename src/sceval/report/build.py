"""Put the sections together into one HTML file."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jinja2
from markupsafe import Markup

from sceval.report import classes, downloads, figures, layouts, methods, page, parts, scatter, stress, tables, text
from sceval.report.boards import boards
from sceval.report.composite import SHOWN, sensitivities
from sceval.report.demotions import demotions
from sceval.report.fronts import fronts
from sceval.report.merge import load_all
from sceval.report.model_cards import model_cards
from sceval.report.overview import overview
from sceval.report.regimes import regimes
from sceval.report.task_pages import NEAR, in_order, task_pages
from sceval.report.verdicts import tally, verdict

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sceval.report.boards import Board
    from sceval.report.load import Results

MOST_OPEN = 6
"""Verdicts of one task that stand open in the summary; more are behind a click."""


@dataclass(frozen=True)
class Section:
    """A section of the page: id (deep link, and name of its template), title, and the tables that it is made from."""

    id: str
    title: str
    needs: tuple[str, ...]


SECTIONS = (
    Section("summary", "Summary", ("summary", "differences")),
    Section("overview", "Overview", ("summary", "runs", "datasets")),
    Section("ranking", "Tasks", ("summary", "runs")),
    Section("regimes", "Regimes", ("summary", "differences")),
    Section("parts", "All metrics", ("summary", "scores")),
    Section("redteam", "Red team", ("scores",)),
    Section("stress", "Effect strength", ("summary", "datasets")),
    Section("maps", "Maps", ("layout",)),
    Section("classes", "Classes", ("confusion", "per_class")),
    Section("cost", "Quality and cost", ("summary", "runs")),
    Section("weights", "Weights of S_final", ("summary",)),
    Section("models", "Models", ("runs", "versions")),
    Section("runs", "Runs", ("runs", "plan")),
    Section("findings", "Findings", ("findings",)),
    Section("datasets", "Datasets", ("datasets",)),
    Section("methods", "Methods", ()),
    Section("provenance", "Provenance", ("versions",)),
)


def build(results_dirs: Path | Sequence[Path], out: Path) -> None:
    """Make the report of one or several results folders: one HTML file that loads nothing else.

    Parameters
    ----------
    results_dirs
        Folder, or folders, with `scores`, `summary`, `runs`, `plan`, `differences`, `findings`, `layout`, `confusion`
        and `per_class` tables, `datasets.json` and `versions.json`. What is missing or unreadable is named in the
        report, the rest is reported.
    out
        The HTML file; it appears whole or not at all.

    Raises
    ------
    FileNotFoundError
        If a folder does not exist or holds no table to report.
    ValueError
        If a folder is of another schema version, or folders share a run id or a board.
    """
    folders = list(results_dirs) if isinstance(results_dirs, list | tuple) else [results_dirs]
    html = render(load_all(folders))
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f".{out.name}.part")
    part.write_text(html, encoding="utf-8")
    part.replace(out)


def render(results: Results) -> str:
    """Return the page as text."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(page.FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= _filters()
    environment.filters |= {"metric": methods.label, "tally": tally, "link": methods.link}
    script = page.script()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    return environment.get_template("report.html.j2").render(
        sections=SECTIONS,
        results=results,
        style=Markup(page.style()),
        script=Markup(script),
        script_hash=f"sha256-{digest}",
        **_content(results),
    )


def _content(results: Results) -> dict[str, Any]:
    planned = in_order(boards(results))
    all_boards = [board for board in planned if not board.idle]
    galleries = layouts.galleries(results, all_boards)
    rows = tables.run_rows(results)
    cards = tables.dataset_cards(results)
    heat = overview(all_boards, cards)
    all_parts, all_classes = parts.parts(results, all_boards), classes.class_pages(results, all_boards)
    plots = [(board, plot) for board in all_boards if (plot := scatter.scatter(board))]
    weighed = sensitivities(results, all_boards)
    by_regime = regimes(all_boards)
    pages = [(page.board, page.anchor) for group in by_regime for page in group.boards]
    return {
        "boards": all_boards,
        "task_pages": task_pages(
            [(board, verdict(board)) for board in all_boards], [board for board in planned if board.idle]
        ),
        "more": _more(
            {
                "metrics": [(part.board, f"parts-{part.board.anchor}") for part in all_parts],
                "regimes": pages,
                "classes": [(page.board, page.anchor) for page in all_classes],
                "cost": [(board, f"cost-{board.anchor}") for board, _ in plots],
                "bio/batch": [(one.board, one.anchor) for one in weighed],
            }
        ),
        "overview": heat,
        "regimes": by_regime,
        "demotions": demotions(results, all_boards),
        "fronts": fronts(all_boards, heat),
        "sensitivities": weighed,
        "weight_steps": SHOWN,
        "model_cards": model_cards(rows, results),
        "semi": {card["dataset"] for card in cards if card.get("semi_synthetic")},
        "near": NEAR,
        "most_open": MOST_OPEN,
        "parts": all_parts,
        "families": stress.families(results.datasets, all_boards),
        "galleries": galleries,
        "maps_json": _json({gallery.anchor: gallery.payload() for gallery in galleries}),
        "class_pages": all_classes,
        "run_rows": rows,
        "silent": tables.silent(rows, ("peak_gpu_mb", "genes_recognised", "cells_per_s")),
        "status_counts": tables.status_counts(rows),
        "weights_rows": tables.weights_rows(rows),
        "finding_rows": tables.finding_rows(results),
        "cards": cards,
        "definitions": methods.definitions(results),
        "downloads": downloads.downloads(results),
        "figures": figures,
        "plots": plots,
        "KIND_LABEL": text.KIND_LABEL,
        "STATUS_LABEL": text.STATUS_LABEL,
    }


def _more(pages: dict[str, list[tuple[Board, str]]]) -> list[tuple[str, dict[str, str]]]:
    """Return, for each kind of further page, the id of that of each board."""
    return [(name, {board.anchor: anchor for board, anchor in found}) for name, found in pages.items()]


def _filters() -> dict[str, Any]:
    names = (
        "exact",
        "number",
        "interval",
        "significant",
        "seconds",
        "megabytes",
        "share",
        "slug",
        "words",
        "listing",
        "code",
        "breakable",
    )
    return {name: getattr(text, name) for name in names}


def _json(content: Any) -> Markup:
    """Return JSON that cannot end the script element that holds it."""
    return Markup(json.dumps(content, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c"))
