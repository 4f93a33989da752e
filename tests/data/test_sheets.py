"""Every kind of bad sheet gets a message with file, row, column, what was found and what would be right."""

from __future__ import annotations

from pathlib import Path

import pytest

from sceval.data.sheets import nearest, read_datasets, read_models

ASSETS = Path(__file__).parents[2] / "assets"


@pytest.fixture
def datasets(tmp_path):
    def read(text: str):
        path = tmp_path / "sheet.csv"
        path.write_text(text)
        return read_datasets(path, "datasets.csv")

    return read


@pytest.fixture
def models(tmp_path):
    def read(text: str):
        path = tmp_path / "sheet.csv"
        path.write_text(text)
        return read_models(path, "models.csv")

    return read


def _one(sheet) -> str:
    assert len(sheet.problems) == 1, sheet.problems
    return str(sheet.problems[0])


def test_the_sheets_of_the_project_are_right():
    for sheet in (read_datasets(ASSETS / "demo" / "datasets.csv"), read_models(ASSETS / "models.csv")):
        assert sheet.problems == []
        assert sheet.rows


def test_defaults_lists_quotes_and_line_numbers(datasets):
    sheet = datasets(
        'dataset,path,tasks,title\na,a.h5ad,batch_integration; cell_type_annotation,"One, two"\n\n b ,b.h5ad,,\n'
    )
    assert sheet.problems == []
    first, second = sheet.rows
    assert first["tasks"] == ["batch_integration", "cell_type_annotation"]
    assert first["title"] == "One, two"
    assert (first["organism"], first["matrix"], first["layer"], first["semi_synthetic"]) == (
        "human",
        "counts",
        "",
        "no",
    )
    assert (second["dataset"], second["row"], second["tasks"]) == ("b", 4, [])


def test_byte_order_mark_spaces_in_the_header_and_trailing_commas_are_taken(tmp_path):
    path = tmp_path / "sheet.csv"
    path.write_bytes("\ufeffdataset, path\r\na,a.h5ad\r\n,\r\n".encode())
    sheet = read_datasets(path)
    assert sheet.problems == []
    assert [row["path"] for row in sheet.rows] == ["a.h5ad"]


@pytest.mark.parametrize(
    ("text", "where", "found", "expected"),
    [
        ("dataset,path,bacth_key\na,x,b\n", "datasets.csv, row 1", "bacth_key", "did you mean 'batch_key'?"),
        ("dataset,batch_key\na,b\n", "datasets.csv, row 1", "no column 'path'", ".h5ad"),
        ("dataset;path\na;x\n", "datasets.csv, row 1", "semicolons", "separated by commas"),
        ("dataset\tpath\na\tx\n", "datasets.csv, row 1", "tabs", "separated by commas"),
        ("dataset,path,path\na,x,y\n", "row 1", "column 'path' 2 times", "each column once"),
        ("dataset,path\na,x,more\n", "row 2", "3 fields under 2 columns", "quotes"),
        ("dataset,path\n", "datasets.csv", "no row below the header", "at least one row"),
        ("dataset,path\na b,x\n", "row 2, column dataset", "'a b'", "letters, digits"),
        ("dataset,path\nzellé,x\n", "row 2, column dataset", "'zellé'", "letters, digits"),
        ("dataset,path\na,x\nb,y\na,z\n", "row 4, column dataset", "'a', which stands in row 2", "an id of its own"),
        ("dataset,path\na.1,x\na-1,y\n", "row 3, column dataset", "'a.1' in row 2", "differ in more than"),
        ("dataset,path\n,x\n", "row 2, column dataset", "nothing", "Id: letters"),
        ("dataset,path\na,\n", "row 2, column path", "nothing", ".h5ad"),
        (
            "dataset,path,tasks\na,x,batch_integratoin\n",
            "column tasks",
            "batch_integratoin",
            "mean 'batch_integration'",
        ),
        ("dataset,path,organism\na,x,humen\n", "column organism", "'humen'", "did you mean 'human'?"),
        ("dataset,path,matrix\na,x,count\n", "column matrix", "'count'", "did you mean 'counts'?"),
        ("dataset,path,semi_synthetic\na,x,maybe\n", "column semi_synthetic", "'maybe'", "yes, no"),
        ("dataset,path,query\na,x,refs\nref,y,\n", "row 2, column query", "'refs'", "did you mean 'ref'?"),
        ("dataset,path,query\na,x,a\n", "row 2, column query", "the dataset itself", "another row"),
        ("dataset,path,strength\na,x,high\n", "row 2, column strength", "'high'", "a number"),
    ],
)
def test_a_bad_datasets_sheet_is_told(datasets, text, where, found, expected):
    message = _one(datasets(text))
    assert message.startswith("datasets.csv")
    assert where in message
    assert found in message.split("; expected ")[0]
    assert expected in message.split("; expected ")[1]


@pytest.mark.parametrize(
    ("text", "where", "found", "expected"),
    [
        ("model,image,params\nm,i,{epochs: 5}\n", "row 2, column params", "not JSON", '{"epochs": 5}'),
        ("model,image,params\nm,i,[1]\n", "row 2, column params", "[1]", "a JSON object"),
        ("model,image,kind\nm,i,basline\n", "row 2, column kind", "'basline'", "did you mean 'baseline'?"),
        ("model,image,regimes\nm,i,scratch;zeroshot\n", "column regimes", "'zeroshot'", "did you mean 'zero_shot'?"),
        ("model,image,verbs\nm,i,embed-cell\n", "column verbs", "'embed-cell'", "did you mean 'embed-cells'?"),
        ("model,image\nm,\n", "row 2, column image", "nothing", "Docker image"),
        ("model,image\noracle,i\n", "row 2, column model", "'oracle'", "positive control"),
        ("model,image\nm,i\nm,j\n", "row 3, column model", "which stands in row 2 too", "an id of its own"),
    ],
)
def test_a_bad_models_sheet_is_told(models, text, where, found, expected):
    message = _one(models(text))
    assert where in message
    assert found in message.split("; expected ")[0]
    assert expected in message.split("; expected ")[1]


def test_params_become_a_dictionary(models):
    sheet = models('model,image,params\nm,i,"{""epochs"": 5, ""name"": ""a,b""}"\n')
    assert sheet.rows[0]["params"] == {"epochs": 5, "name": "a,b"}


def test_all_problems_are_told_at_once(datasets):
    sheet = datasets("dataset,path,organism,matrix\na,x,humen,count\na,,human,counts\n")
    assert len(sheet.problems) == 4


@pytest.mark.parametrize(
    ("content", "found"),
    [(None, "no such file"), (b"dataset,path\n\xff\xfe,x\n", "cannot be read"), (b"", "no column 'dataset'")],
)
def test_a_missing_binary_or_empty_file_is_told(tmp_path, content, found):
    path = tmp_path / "sheet.csv"
    if content is not None:
        path.write_bytes(content)
    sheet = read_datasets(path, "datasets.csv")
    assert sheet.rows == []
    assert found in str(sheet.problems[0])
    assert str(sheet.problems[0]).startswith("datasets.csv")


def test_nearest_says_nothing_where_nothing_is_near():
    assert nearest("zzz", ["alpha", "beta"]) == ""
