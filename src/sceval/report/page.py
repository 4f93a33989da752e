"""The files that make the page: template, style sheet and scripts, in `assets/` beside this module.

They lie inside the package, not in the `assets/` of the checkout, so that every image that has the package has them.
"""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "assets"
SCRIPTS = ("tables.js", "maps.js", "page.js")


def script() -> str:
    """Return the page's script: one strict function scope."""
    parts = [(FOLDER / name).read_text(encoding="utf-8") for name in SCRIPTS]
    return '"use strict";\n(() => {\n' + "\n".join(parts) + "})();\n"


def style() -> str:
    """Return the style sheet."""
    return (FOLDER / "report.css").read_text(encoding="utf-8")
