"""`sceval validate | plan | collect | report`: bad input ends with exit code 1 and every problem, one a line."""

from __future__ import annotations

import csv
import json

import pytest
from click.testing import CliRunner

from sceval.cli.files import read_json, words, write_json
from sceval.cli.infos import read_info
from sceval.cli.main import main
from sceval.contract import columns

SETTINGS = {
    "models": None, "tasks": "all", "splits": "", "regimes": None, "seeds": 1, "control_seeds": 2, "split_seeds": 1,
    "device": "cpu", "time_limit": 60, "memory_mb": 1000, "cpus": 1, "metrics_backend": "sceval", "score_batch": 0,
    "image_prefix": "sceval/", "image_tag": "1", "local_programs": True, "input": "my/datasets.csv",
    "models_sheet": "my/models.csv",
}  # fmt: skip
DATASETS = "dataset,path,batch_key,label_key\ncells,embedded:pbmc68k_lanes,batch,cell_type\n"
MODELS = "model,image,program,kind\npca,i/pca,pca-program,baseline\nrandom,i/random,random-program,negative_control\n"
INFO = {"name": "x", "version": "1", "verbs": ["embed-cells"], "regimes": {"embed-cells": ["scratch"]}}


@pytest.fixture
def run(tmp_path):
    """Return `run(step, data_sheet=..., model_sheet=..., **settings)`: the result of the command."""
    (tmp_path / "out").mkdir()
    (tmp_path / "staged.json").write_text("{}")

    def invoke(step: str, data_sheet: str = DATASETS, model_sheet: str = MODELS, catalogue=None, **settings):
        (tmp_path / "settings.json").write_text(json.dumps(SETTINGS | settings))
        if step == "validate":
            (tmp_path / "datasets.csv").write_text(data_sheet)
            (tmp_path / "models.csv").write_text(model_sheet)
            options = ["--datasets", "datasets.csv", "--models", "models.csv", "--staged", "staged.json"]
        else:
            options = ["--datasets", "out/datasets.json", "--models", "out/models.json", "--infos", "infos"]
        paths = [str(tmp_path / option) if not option.startswith("--") else option for option in options]
        paths += ["--catalogue", str(catalogue)] if catalogue else []
        given = [step, *paths, "--settings", str(tmp_path / "settings.json"), "--out", str(tmp_path / "out")]
        return CliRunner().invoke(main, given, catch_exceptions=False)

    return invoke


def _answer(folder, key: str, answer: dict | str | None, genes: str | None = None) -> None:
    target = folder / "infos" / key
    target.mkdir(parents=True)
    if answer is None:
        (target / "error.txt").write_text("Traceback\nModuleNotFoundError: no torch\n")
    else:
        (target / "info.json").write_text(answer if isinstance(answer, str) else json.dumps(answer))
    if genes:
        (target / "genes.txt").write_text(genes)


@pytest.mark.parametrize(
    ("command", "words_"),
    [
        ([], ["validate", "plan", "collect", "report"]),
        (["validate"], ["--datasets", "--models", "--staged", "--settings", "--out"]),
        (["plan"], ["--infos", "--settings"]),
        (["collect"], ["--records", "--scored", "--trace"]),
        (["report"], ["DIR...", "--out"]),
    ],
)
def test_help_names_every_step_and_option(command, words_):
    result = CliRunner().invoke(main, [*command, "--help"])
    assert result.exit_code == 0
    for word in words_:
        assert word in result.output


def test_validate_writes_cards_rows_and_programs(run, tmp_path):
    result = run("validate")
    assert result.exit_code == 0, result.output
    card = read_json(tmp_path / "out" / "datasets.json")[0]
    assert (card["dataset"], card["n_cells"], card["n_batches"], card["n_types"]) == ("cells", 700, 8, 10)
    rows = read_json(tmp_path / "out" / "models.json")
    assert [row["model"] for row in rows] == ["pca", "random"]
    programs = read_json(tmp_path / "out" / "programs.json")
    assert {program["key"] for program in programs} == {row["key"] for row in rows}


def test_weights_may_be_a_name_of_the_catalogue(run, tmp_path):
    catalogue = tmp_path / "weights.csv"
    catalogue.write_text(
        "weights,source,file,url,sha256,licence,commercial_use\n"
        f"big-model,somewhere,m.bin,https://host/m.bin,{'0' * 64},Research only,no\n"
    )
    head = "model,image,program,kind,weights\n"
    models = head + "a,i,p,model,big-model\nb,i,p,model,big-modle\nc,i,p,model,\n"
    result = run("validate", model_sheet=models, catalogue=catalogue)
    assert result.exit_code == 0, result.output
    rows = {row["model"]: row for row in read_json(tmp_path / "out" / "models.json")}
    assert {name: row["fetch_weights"] for name, row in rows.items()} == {"a": True, "b": False, "c": False}
    assert rows["a"]["weights_licence"] == "Research only (no commercial use)"
    assert "'big-modle' is taken for a folder" in (tmp_path / "out" / "notes.txt").read_text()
    assert "did you mean 'big-model'?" in (tmp_path / "out" / "notes.txt").read_text()
    catalogue.write_text("weights,source,file,url,sha256,licence\nx,y,m.bin,u,beef,MIT\n")
    result = run("validate", model_sheet=models, catalogue=catalogue)
    assert result.exit_code == 1
    assert "column sha256: found 'beef'" in result.output


def test_chosen_models_keep_the_controls_and_share_a_program(run, tmp_path):
    models = MODELS + "other,i/pca,pca-program,model\n"
    assert run("validate", model_sheet=models, models="other").exit_code == 0
    assert [row["model"] for row in read_json(tmp_path / "out" / "models.json")] == ["random", "other"]
    assert run("validate", model_sheet=models).exit_code == 0
    rows = {row["model"]: row["key"] for row in read_json(tmp_path / "out" / "models.json")}
    assert rows["pca"] == rows["other"] != rows["random"]
    assert len(read_json(tmp_path / "out" / "programs.json")) == 2


def test_every_problem_is_told_at_once_under_the_users_own_names(run):
    result = run(
        "validate",
        data_sheet="dataset,path,batch_key,label_key\na,embedded:pbmc68k_lane,batch,cell_type\na,b.h5ad,x,y\n",
        model_sheet="model,image,program,kind\npca,i,,basline\n",
        tasks="batch_integratoin",
        regimes="zeroshot",
        splits="interr",
    )
    assert result.exit_code == 1
    lines = result.output.strip().splitlines()
    assert lines[0] == f"Error: {len(lines) - 1} problems in the input:"
    for expected in (
        "my/datasets.csv, row 2, column path: found 'embedded:pbmc68k_lane'",
        "did you mean 'embedded:pbmc68k_lanes'?",
        "my/datasets.csv, row 3, column dataset: found 'a', which stands in row 2 too",
        "my/datasets.csv, row 3, column path: found no file b.h5ad",
        "my/models.csv, row 2, column kind: found 'basline'",
        "my/models.csv, row 2, column program: found nothing",
        "--tasks: found 'batch_integratoin'",
        "--regimes: found 'zeroshot'; expected one of",
        "did you mean 'zero_shot'?",
        "--splits: found 'interr'; expected one of all,",
        "did you mean 'inter'?",
    ):
        assert expected in result.output
    assert len(lines) == 9


def test_an_unknown_model_is_refused_with_the_nearest_and_nothing_is_written(run, tmp_path):
    result = run("validate", models="pcaa")
    assert result.exit_code == 1
    assert "Error: 1 problem in the input:" in result.output
    assert "--models: found 'pcaa'; expected one of pca, random; did you mean 'pca'?" in result.output
    assert not list((tmp_path / "out").iterdir())


def test_containers_need_no_local_program(run, tmp_path):
    assert run("validate", model_sheet="model,image\npca,i/pca\n", local_programs=False).exit_code == 0
    assert read_json(tmp_path / "out" / "models.json")[0]["program"] == "sceval-model"


def test_plan_writes_the_table_and_what_each_step_gets(run, tmp_path):
    assert run("validate").exit_code == 0
    keys = {row["model"]: row["key"] for row in read_json(tmp_path / "out" / "models.json")}
    _answer(tmp_path, keys["random"], INFO)
    _answer(tmp_path, keys["pca"], None)
    result = run("plan")
    assert result.exit_code == 0, result.output
    assert "note: pca: error: the program does not answer `info`: ModuleNotFoundError: no torch" in result.output
    with (tmp_path / "out" / "plan.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    assert list(rows[0]) == columns("plan")
    mine = ("batch_integration", "cell_type_annotation")  # the dataset cannot carry all of the others
    pca = [
        row
        for row in rows
        if row["model"] == "pca" and row["task"] in mine and row["split"] in ("all", "intra", "inter")
    ]
    assert {row["status"] for row in pca} == {"failed"}
    runs = read_json(tmp_path / "out" / "runs.json")
    assert {run["run_id"] for run in runs} == {row["run_id"] for row in rows if row["status"] == "planned"}
    views = {view["view_id"]: view for view in read_json(tmp_path / "out" / "views.json")}
    groups = read_json(tmp_path / "out" / "groups.json")
    assert {group["view_id"] for group in groups} <= set(views)
    assert views["cells.batch_integration.all0"]["image"] == "sceval/batch_integration:1"
    assert f"{len(runs)} runs planned" in result.output


def test_collect_and_report_show_the_hole_where_nothing_ran(run, tmp_path):
    assert run("validate").exit_code == 0
    for row in read_json(tmp_path / "out" / "models.json"):
        _answer(tmp_path, row["key"], INFO | {"licence": "MIT (x)"} if row["model"] == "random" else None)
    assert run("plan").exit_code == 0
    assert read_json(tmp_path / "out" / "model_facts.json") == {"random": {"version": "1", "licence": "MIT (x)"}}
    for name in ("records", "scored"):
        (tmp_path / name).mkdir()
    (tmp_path / "versions.json").write_text("{}")
    given = {name: tmp_path / name for name in ("records", "scored")}
    given |= {"plan": tmp_path / "out" / "plan.csv", "datasets": tmp_path / "out" / "datasets.json"}
    given |= {"models": tmp_path / "out" / "model_facts.json"}
    given |= {"versions": tmp_path / "versions.json", "out": tmp_path / "tables", "trace": tmp_path / "absent.txt"}
    options = [str(item) for name, path in given.items() for item in (f"--{name}", path)]
    result = CliRunner().invoke(main, ["collect", *options], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "not_run" in result.output
    assert " failed" in result.output  # pca, in every split that it could do
    result = CliRunner().invoke(main, ["report", str(tmp_path / "tables")], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    page = (tmp_path / "tables" / "report.html").read_text()
    assert result.output.strip() == str(tmp_path / "tables" / "report.html")
    assert "no torch" in page
    assert "MIT (x)" in page
    assert read_json(tmp_path / "tables" / "versions.json")["schema"] == 1
    (tmp_path / "tables" / "versions.json").write_text('{"schema": 2}')
    result = CliRunner().invoke(main, ["report", str(tmp_path / "tables")], catch_exceptions=False)
    assert result.exit_code == 1
    assert "is of schema version 2" in result.output
    assert "the pipeline ended before it started" in page


def test_plan_refuses_parameters_that_a_program_does_not_know(run, tmp_path):
    models = 'model,image,program,params\npca,i,p,"{""componnents"": 5}"\n'
    assert run("validate", model_sheet=models).exit_code == 0
    key = read_json(tmp_path / "out" / "models.json")[0]["key"]
    _answer(tmp_path, key, INFO | {"params": {"components": {"type": "integer", "default": 50}}})
    result = run("plan")
    assert result.exit_code == 1
    assert (
        "my/models.csv, row 2, column params: unknown parameter 'componnents'; did you mean 'components'?"
        in result.output
    )


def test_plan_refuses_to_make_nothing(run, tmp_path):
    datasets = "dataset,path,batch_key,label_key\ncells,embedded:pbmc68k_lanes,,\n"
    assert run("validate", data_sheet=datasets).exit_code == 0
    for row in read_json(tmp_path / "out" / "models.json"):
        _answer(tmp_path, row["key"], INFO)
    result = run("plan", tasks="batch_integration,cell_type_annotation")
    assert result.exit_code == 1
    assert "no run can be made: found no batch_key, expected at least two batches" in result.output


def test_answers_of_programs_are_checked(tmp_path):
    _answer(tmp_path, "good", INFO, genes="A\nB\n")
    assert read_info(tmp_path / "infos" / "good") == {"info": INFO, "genes": {"A", "B"}}
    assert read_info(tmp_path / "infos" / "absent") == {"error": "its image could not be started"}
    _answer(tmp_path, "crash", None)
    assert read_info(tmp_path / "infos" / "crash") == {"error": "ModuleNotFoundError: no torch"}
    _answer(tmp_path, "text", "hello")
    assert "not JSON" in read_info(tmp_path / "infos" / "text")["error"]
    _answer(tmp_path, "wrong", INFO | {"verbs": ["fly"]})
    assert "breaks the contract at verbs/0" in read_info(tmp_path / "infos" / "wrong")["error"]
    (tmp_path / "infos" / "silent").mkdir()
    assert read_info(tmp_path / "infos" / "silent") == {"error": "it printed nothing"}


def test_lists_of_words_and_files_that_appear_whole(tmp_path):
    assert words(None) == words("") == words("all") == []
    assert words(" a, b ,,c") == ["a", "b", "c"]
    assert words("all,b") == ["all", "b"]
    write_json(tmp_path / "x.json", {"a": 1})
    assert read_json(tmp_path / "x.json") == {"a": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]
    with pytest.raises(TypeError):
        write_json(tmp_path / "y.json", {"a": object()})
    assert not (tmp_path / "y.json").exists()
