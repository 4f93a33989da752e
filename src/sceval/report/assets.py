"""Where the template, the style sheet and the scripts lie: in the installed package, else in the checkout."""

from __future__ import annotations

from pathlib import Path

SCRIPTS = ("tables.js", "maps.js", "page.js")


def folder() -> Path:
    """Return the folder of the report's assets.

    Raises
    ------
    FileNotFoundError
        If neither the installed package nor the checkout has it.
    """
    here = Path(__file__).resolve().parent
    places = [here / "assets", here.parents[2] / "assets" / "report"]
    for place in places:
        if (place / "report.html.j2").is_file():
            return place
    msg = f"the report's template is in none of {', '.join(map(str, places))}: is the installation complete?"
    raise FileNotFoundError(msg)


def script() -> str:
    """Return the page's script: one strict function scope."""
    parts = [(folder() / name).read_text(encoding="utf-8") for name in SCRIPTS]
    return '"use strict";\n(() => {\n' + "\n".join(parts) + "})();\n"


def style() -> str:
    """Return the style sheet."""
    return (folder() / "report.css").read_text(encoding="utf-8")
