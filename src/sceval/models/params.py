"""Hyper-parameters declared once as data: the program's help, the planner's check and the docs come from it."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Param:
    """One hyper-parameter of a model.

    Attributes
    ----------
    name
        Its key in `--params`.
    default
        Value where the user gives none; its type is the type of the parameter.
    help
        What it does, with its unit.
    low, high
        Allowed range, inclusive; none where None.
    choices
        Allowed values; any where empty.
    """

    name: str
    default: Any
    help: str
    low: float | None = None
    high: float | None = None
    choices: tuple[Any, ...] = ()

    def schema(self) -> dict[str, Any]:
        """Return the parameter as a JSON schema property."""
        kind = {bool: "boolean", int: "integer", float: "number", str: "string"}[type(self.default)]
        out: dict[str, Any] = {"type": kind, "default": self.default, "description": self.help}
        if self.low is not None:
            out["minimum"] = self.low
        if self.high is not None:
            out["maximum"] = self.high
        if self.choices:
            out["enum"] = list(self.choices)
        return out


def check_params(given: dict[str, Any], schema: dict[str, dict[str, Any]], where: str) -> list[str]:
    """Return a sentence for each parameter that is unknown, of a wrong type or out of range.

    Parameters
    ----------
    given
        Values by name.
    schema
        JSON schema properties by name, as `sceval-model info` prints them under `params`.
    where
        Named in the sentences, for example `models.csv, row 3, column params`.
    """
    problems = []
    kinds = {"boolean": bool, "integer": int, "number": (int, float), "string": str}
    for name, value in given.items():
        if name not in schema:
            near = difflib.get_close_matches(name, schema, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            problems.append(f"{where}: unknown parameter {name!r}{hint} Known: {', '.join(sorted(schema)) or 'none'}")
            continue
        spec = schema[name]
        kind = spec.get("type", "string")
        if not isinstance(value, kinds[kind]) or (isinstance(value, bool) and kind != "boolean"):
            problems.append(f"{where}: {name} is {value!r}; expected {kind}")
        elif "enum" in spec and value not in spec["enum"]:
            problems.append(f"{where}: {name} is {value!r}; expected one of {', '.join(map(str, spec['enum']))}")
        elif "minimum" in spec and value < spec["minimum"]:
            problems.append(f"{where}: {name} is {value!r}; the smallest allowed value is {spec['minimum']}")
        elif "maximum" in spec and value > spec["maximum"]:
            problems.append(f"{where}: {name} is {value!r}; the largest allowed value is {spec['maximum']}")
    return problems
