"""Numbers and names as a reader wants to see them."""

from __future__ import annotations

import math
import re
from typing import Any
from zlib import crc32

from markupsafe import Markup, escape

MINUS = "−"
KIND_LABEL = {
    "model": "model",
    "baseline": "baseline",
    "negative_control": "blind control",
    "positive_control": "oracle",
}
STATUS_LABEL = {"ok": "ok", "not_applicable": "not applicable", "failed": "failed", "not_run": "not run"}


def missing(value: Any) -> bool:
    """Return whether a table cell is empty (None, NaN or pandas' NA)."""
    if value is None or type(value).__name__ in {"NAType", "NaTType"}:
        return True
    return isinstance(value, float) and math.isnan(value)


def number(value: Any, digits: int = 3) -> str:
    """Format with a fixed number of digits and a true minus sign; an empty value is an en dash."""
    if missing(value):
        return "–"
    value = float(value)
    if math.isinf(value):
        return "∞" if value > 0 else f"{MINUS}∞"
    text = f"{value:.{digits}f}"
    if float(text) == 0:
        text = text.lstrip("-")
    return text.replace("-", MINUS)


def exact(value: Any) -> str:
    """Format for sorting and for CSV: six digits that matter, empty where there is no value."""
    return "" if missing(value) else f"{float(value):.6g}"


def difference(value: Any) -> str:
    """Format a difference with two digits, or three where two would print a zero that is none."""
    if missing(value):
        return "–"
    return number(value, 2 if abs(float(value)) >= 0.005 or float(value) == 0 else 3)


def interval(low: Any, high: Any, digits: int = 3) -> str:
    """Format an interval; empty text where an end is missing."""
    if missing(low) or missing(high):
        return ""
    return f"[{number(low, digits)}, {number(high, digits)}]"


def significant(value: Any, digits: int = 2) -> str:
    """Format with significant digits and without an exponent: costs, rates, ratios."""
    if missing(value):
        return "–"
    value = float(value)
    if value == 0 or math.isinf(value):
        return number(value, 0)
    places = digits - 1 - math.floor(math.log10(abs(value)))
    text = f"{round(value, places):,.{max(places, 0)}f}"
    return text.replace("-", MINUS)


def seconds(value: Any) -> str:
    """Format a duration in the unit that fits."""
    if missing(value):
        return "–"
    value = float(value)
    if value < 120:
        return f"{significant(value)} s"
    if value < 7200:
        return f"{significant(value / 60)} min"
    return f"{significant(value / 3600)} h"


def megabytes(value: Any) -> str:
    """Format memory given in MB."""
    if missing(value):
        return "–"
    return f"{significant(value, 3)} MB" if float(value) < 1000 else f"{significant(float(value) / 1000)} GB"


def share(value: Any) -> str:
    """Format a share as a percentage."""
    return "–" if missing(value) else f"{100 * float(value):.0f} %"


def cost(ratio: Any) -> str:
    """Say how the cost of the first compares with that of the second; empty where it is not known."""
    if missing(ratio) or float(ratio) <= 0:
        return ""
    ratio = float(ratio)
    if 0.8 <= ratio <= 1.25:
        return "at about the same cost"
    if ratio > 1:
        return f"at {significant(ratio)} times the cost"
    return f"at 1/{significant(1 / ratio)} of the cost"


def listing(names: list[str], most: int = 4) -> str:
    """Join names: `a`, `a and b`, `a, b and 3 more`."""
    if len(names) > most:
        return f"{', '.join(names[: most - 1])} and {len(names) - most + 1} more"
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def slug(*parts: str) -> str:
    """Return an id for a deep link made of letters, digits, `.`, `-` and `_`.

    Where other characters had to go, a checksum keeps different names apart.
    """
    text = "-".join(parts)
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-")
    return plain if plain == text else f"{plain}-{crc32(text.encode()):08x}"


def code(prose: str) -> Markup:
    """Return prose as HTML, escaped, with what stands between backticks as code."""
    parts = re.split(r"`([^`]+)`", prose)
    return Markup("").join(Markup("<code>{}</code>").format(p) if n % 2 else escape(p) for n, p in enumerate(parts))


def breakable(name: str) -> Markup:
    """Return a name as HTML, escaped, that may break behind a slash or an underscore."""
    return Markup("<wbr>").join(escape(part) for part in re.split(r"(?<=[/_])", name))


def words(identifier: str) -> str:
    """Return an id as words: `batch_integration` becomes `Batch integration`."""
    text = identifier.replace("_", " ")
    return text[:1].upper() + text[1:]
