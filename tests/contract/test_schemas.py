from __future__ import annotations

from pathlib import Path

import click
import jsonschema
import pytest

from sceval import contract
from sceval.contract import document
from sceval.contract.checks import CHECKS
from sceval.models.controls.program import main

PAGE = Path(__file__).parents[2] / "docs" / "contract.md"


@pytest.mark.parametrize("kind", contract.kinds())
def test_every_schema_is_valid_and_says_what_it_is_for(kind):
    schema = contract.load(kind)
    assert schema["kind"] == kind
    assert schema["title"]
    assert schema["summary"].endswith(".")
    if schema["format"] == "anndata":
        for slot in schema["slots"]:
            assert {"slot", "type", "required", "description"} <= set(slot)
            assert slot["type"] in document._TYPES
            assert set(slot.get("checks", [])) <= set(CHECKS)
        return
    assert schema["format"] in ("json", "table")
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"].endswith("2020-12/schema")
    assert set(schema.get("required", [])) <= set(schema["properties"])
    assert all(spec["description"] for spec in schema["properties"].values())
    if schema["format"] == "table":
        # What is not required was added later, so it comes last: tables of before are read too.
        assert schema["required"] == list(schema["properties"])[: len(schema["required"])]
        assert set(schema["key"]) <= set(schema["properties"])


def test_an_unknown_kind_is_refused_with_those_that_exist():
    with pytest.raises(KeyError, match=r"no file kind 'vieww'; there are annotation, .*view"):
        contract.load("vieww")


def test_the_page_is_current():
    assert PAGE.read_text() == document.document(), "docs/contract.md is out of date: run `make docs`"


def test_the_page_names_every_kind_column_and_slot():
    page = document.document()
    for kind in contract.kinds():
        schema = contract.load(kind)
        names = [slot["slot"] for slot in schema["slots"]] if "slots" in schema else list(schema["properties"])
        section = page.split(f"(`{kind}`)\n", 1)[1].split("\n#", 1)[0]
        assert all(f"| `{name}` |" in section for name in names)


def test_the_page_knows_every_option_of_the_programs():
    options = {p.opts[0] for p in main.commands["annotate"].params if isinstance(p, click.Option)}
    assert options == {option.split()[0] for option in document.OPTIONS}


def test_the_page_knows_every_status_and_reason():
    runs = contract.load("runs")["properties"]
    assert list(document.STATUS) == runs["status"]["enum"]
    assert all(reason in runs["reason"]["description"] for reason in document.FAILURES)


def test_verbs_write_kinds_that_exist():
    verbs = contract.load("info")["properties"]["verbs"]["items"]["enum"]
    assert set(document.WRITES) <= set(verbs)
    assert set(document.WRITES.values()) <= set(contract.kinds())
