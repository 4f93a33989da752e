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
from sceval.report.load import load
from sceval.report.verdicts import tally, verdict

if TYPE_CHECKING:
    from pathlib import Path

    from sceval.report.load import Results


@dataclass(frozen=True)
class Section:
    """A section of the page: id (deep link, and name of its template), title, and the tables that it is made from."""

    id: str
    title: str
    needs: tuple[str, ...]


SECTIONS = (
    Section("summary", "Summary", ("summary", "differences")),
    Section("ranking", "Ranking", ("summary", "runs")),
    Section("parts", "All metrics", ("summary", "scores")),
    Section("stress", "Effect strength", ("summary", "datasets")),
    Section("maps", "Maps", ("layout",)),
    Section("classes", "Classes", ("confusion", "per_class")),
    Section("cost", "Quality and cost", ("summary", "runs")),
    Section("runs", "Runs", ("runs", "plan")),
    Section("findings", "Findings", ("findings",)),
    Section("datasets", "Datasets", ("datasets",)),
    Section("methods", "Methods", ()),
    Section("provenance", "Provenance", ("versions",)),
)


def build(results_dir: Path, out: Path) -> None:
    """Make the report of a results folder: one HTML file that loads nothing else.

    Parameters
    ----------
    results_dir
        Folder with `scores`, `summary`, `runs`, `plan`, `differences`, `findings`, `layout`, `confusion` and
        `per_class` tables, `datasets.json` and `versions.json`. What is missing or unreadable is named in the report,
        the rest is reported.
    out
        The HTML file; it appears whole or not at all.

    Raises
    ------
    FileNotFoundError
        If the folder does not exist or holds no table to report.
    """
    html = render(load(results_dir))
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
    environment.filters |= {"metric": methods.label, "tally": tally}
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
    all_boards = boards(results)
    galleries = layouts.galleries(results, all_boards)
    rows = tables.run_rows(results)
    return {
        "boards": all_boards,
        "verdicts": [(board, verdict(board)) for board in all_boards],
        "parts": parts.parts(results, all_boards),
        "families": stress.families(results.datasets, all_boards),
        "galleries": galleries,
        "maps_json": _json({gallery.anchor: gallery.payload() for gallery in galleries}),
        "class_pages": classes.class_pages(results, all_boards),
        "run_rows": rows,
        "silent": tables.silent(rows, ("peak_gpu_mb", "genes_recognised", "cells_per_s")),
        "status_counts": tables.status_counts(rows),
        "weights_rows": tables.weights_rows(rows),
        "finding_rows": tables.finding_rows(results),
        "cards": tables.dataset_cards(results),
        "definitions": methods.definitions(results),
        "downloads": downloads.downloads(results),
        "figures": figures,
        "plots": [(board, plot) for board in all_boards if (plot := scatter.scatter(board))],
        "KIND_LABEL": text.KIND_LABEL,
        "STATUS_LABEL": text.STATUS_LABEL,
    }


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
