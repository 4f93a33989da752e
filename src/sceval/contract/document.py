"""Renders `docs/contract.md` from the schemas: `python -m sceval.contract.document docs/contract.md`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from sceval.contract.checks import CHECKS
from sceval.contract.schema import SCHEMA_VERSION, kinds, load
from sceval.contract.verbs import WRITES, output_file

OPTIONS = {
    "--view FILE": "The view to read. Required.",
    "--output FILE": "Where to write the result. Required.",
    "--weights DIR": "Folder of the weights, read-only. Absent where the regime needs none.",
    "--regime NAME": "How the weights are used, one of those that `info` lists for the verb.",
    "--params JSON": "Hyper-parameters: the path of a JSON file (what the pipeline gives), or a JSON object itself; "
    "absent ones keep their default.",
    "--seed INT": "Seed of everything random: the same seed gives the same output.",
    "--device NAME": "`auto`, `cpu` or `cuda`.",
}
"""Options of `sceval-model VERB`."""

EXIT_CODES = {
    "0": "Done: the output is there, whole.",
    "99": "Not applicable. The last line of standard error is the reason; nothing is written.",
    "other": "Failed. The last lines of standard error go into the run record.",
}

STATUS = {
    "ok": "The run has an output that passed the guard.",
    "not_applicable": "It makes no sense or cannot be done, for a reason that is no error; the reason is recorded.",
    "failed": "It broke; the reason is one of those below, with the detail.",
    "not_run": "It was planned and never started.",
}

FAILURES = {
    "out_of_memory": "It was killed for memory, after retries with more.",
    "time_limit": "It ran past its time.",
    "error": "The program ended with an error.",
    "bad_output": "It ended well and its output is absent or breaks the contract (unreadable, other ids, NaN ...).",
}


_FORMATS = {
    "anndata": (
        "AnnData files (`.h5ad`)",
        "The on-disk format of anndata 0.8 and later. Ids are index labels, never positions: a reader finds cells by "
        "id, whatever their order. Every element has one row for each id.",
    ),
    "json": ("JSON", "One object each."),
    "table": (
        "Tables",
        "Written as `.parquet` (exact) and `.csv` (the same for people). Columns beyond those listed are allowed and "
        "follow them. A missing value is empty, never 0.",
    ),
}

_TYPES = {
    "index": "unique text",
    "csr": "sparse CSR matrix",
    "dense": "dense matrix",
    "string": "text",
    "number": "number",
}


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(_cell(value) for value in line) + " |" for line in lines] + [""]


def _slot_rows(schema: dict[str, Any]) -> list[list[str]]:
    rows = []
    for slot in schema["slots"]:
        kind = " ".join([slot.get("dtype", ""), _TYPES[slot["type"]]]).strip()
        if slot.get("missing"):
            kind += ", may be missing"
        checks = ", ".join(f"`{name}`" for name in slot.get("checks", []))
        text = slot["description"] + (f" Checked: {checks}." if checks else "")
        if slot.get("columns"):
            text += f" Columns are named by `{slot['columns']}`."
        rows.append([f"`{slot['slot']}`", kind, "yes" if slot["required"] else "", text])
    return rows


def _property_type(spec: dict[str, Any]) -> str:
    if "enum" in spec:
        return "one of " + ", ".join(f"`{value}`" for value in spec["enum"])
    if spec.get("type") == "array" and "enum" in spec.get("items", {}):
        return "list of " + ", ".join(f"`{value}`" for value in spec["items"]["enum"])
    types = spec.get("type", "any")
    names = [types] if isinstance(types, str) else [name for name in types if name != "null"]
    return " or ".join(names) + ("" if isinstance(types, str) else ", may be empty")


def _property_rows(schema: dict[str, Any]) -> list[list[str]]:
    required = schema.get("required", [])
    return [
        [f"`{name}`", _property_type(spec), "yes" if name in required else "", spec.get("description", "")]
        for name, spec in schema["properties"].items()
    ]


def _anchor(kind: str) -> str:
    """Return the anchor that Markdown renderers give to the heading of a kind."""
    return f"{load(kind)['title'].lower().replace(' ', '-')}-{kind}"


def _kind(kind: str) -> list[str]:
    schema = load(kind)
    lines = [f"### {schema['title']} (`{kind}`)", "", schema["summary"], ""]
    if schema.get("key"):
        lines += ["Unique by " + ", ".join(f"`{name}`" for name in schema["key"]) + ".", ""]
    if schema["format"] == "anndata":
        return lines + _table(["slot", "type", "required", "what it holds"], _slot_rows(schema))
    head = ["column" if schema["format"] == "table" else "field", "type", "required", "what it holds"]
    return lines + _table(head, _property_rows(schema))


def _program() -> list[str]:
    rows = [[f"`{verb}`", f"[`{kind}`](#{_anchor(kind)})", f"`{output_file(kind)}`"] for verb, kind in WRITES.items()]
    return [
        "## Model program",
        "",
        "Every model image has `sceval-model` on its `PATH`, no `ENTRYPOINT`, and `bash` and `ps`. It runs as any user",
        "id, without a network, and may write below the folder of its output and in `/tmp` only.",
        "",
        "```",
        "sceval-model info",
        "sceval-model genes --weights DIR",
        "sceval-model VERB " + " ".join(f"{option}" for option in OPTIONS),
        "```",
        "",
        f"`info` prints one JSON object, see [Info](#{_anchor('info')}). `genes` prints the genes that the model",
        "knows, one a line; only programs whose `info` says `lists_genes` need it.",
        "",
        *_table(["option", "meaning"], [[f"`{name}`", text] for name, text in OPTIONS.items()]),
        *_table(["verb", "writes", "into"], rows),
        *_table(["exit code", "meaning"], [[f"`{code}`", text] for code, text in EXIT_CODES.items()]),
        f"A program may write `facts.json` beside its output, see [Facts](#{_anchor('facts')}).",
        "",
        "## Status of a run",
        "",
        *_table(["status", "meaning"], [[f"`{name}`", text] for name, text in STATUS.items()]),
        *_table(["reason of `failed`", "meaning"], [[f"`{name}`", text] for name, text in FAILURES.items()]),
    ]


def document() -> str:
    """Return the contract as a Markdown page: the model program, the status words and every file kind."""
    lines = [
        "# The contract",
        "",
        "<!-- Made by `make docs` from src/sceval/contract/schemas. Do not edit. -->",
        "",
        f"Version {SCHEMA_VERSION}. The contract is files and a command line, nothing else: a model image need not",
        "contain a line of this project's code. [Add a model](add-a-model.md) shows one that does not.",
        "",
        *_program(),
    ]
    for form, (title, text) in _FORMATS.items():
        lines += [f"## {title}", "", text, ""]
        if form == "anndata":
            rows = [[f"`{name}`", check.__doc__ or ""] for name, check in CHECKS.items()]
            lines += _table(["check", "what it asks for"], rows)
        for kind in kinds():
            if load(kind)["format"] == form:
                lines += _kind(kind)
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(document(), encoding="utf-8")
