"""Overview, regimes, weights of the composite, fronts, red team, model cards, pages of tasks, folders joined."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from make_results import make

from sceval.contract.tasks import TASKS
from sceval.metrics.registry import RANK_BY
from sceval.report import build
from sceval.report.asks import ASKS
from sceval.report.boards import Board, boards
from sceval.report.composite import leads, sensitivities
from sceval.report.demotions import demotions
from sceval.report.fronts import fronts
from sceval.report.load import Results, load
from sceval.report.merge import load_all
from sceval.report.model_cards import forbids_commerce, model_cards
from sceval.report.overview import overview
from sceval.report.regimes import regimes
from sceval.report.tables import dataset_cards, run_rows
from sceval.report.task_pages import in_order, task_pages
from sceval.report.verdicts import verdict

OTHERS = tuple(task for task in TASKS if task not in ("batch_integration", "cell_type_annotation"))


@pytest.fixture(scope="module")
def eight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with all eight tasks."""
    return make(tmp_path_factory.mktemp("eight"), more=OTHERS)


@pytest.fixture(scope="module")
def found(eight: Path) -> Results:
    return load(eight)


@pytest.fixture(scope="module")
def made(found: Results) -> list[Board]:
    return in_order(boards(found))


def test_a_page_with_eight_tasks_is_whole(eight: Path, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    build(eight, out)
    html = out.read_text()
    for task in TASKS:
        assert f'id="task-{task}"' in html and f'<option value="{task}">' in html
        assert ASKS[task].question in html.replace("&#39;", "'")
    assert out.stat().st_size < 4e6
    ranking = html[html.index('<section id="ranking"') : html.index('<section id="regimes"')]
    assert ranking.count(" open>") == 1, "all boards but the first are closed"


def test_every_task_and_split_of_the_contract_has_words() -> None:
    assert {task: set(card.splits) for task, card in TASKS.items()} == {t: set(a.splits) for t, a in ASKS.items()}
    assert all(a.question and a.hidden and all(a.splits.values()) for a in ASKS.values())


def test_the_heat_map_takes_the_best_regime_and_says_so(found: Results, made: list[Board]) -> None:
    heat = overview(made, dataset_cards(found))
    assert heat.tasks == list(TASKS)
    rows = {row.model: row for row in heat.rows}
    cell = rows["scgpt"].cells["gene_function"]
    entries = {e.variant: e for board in made if board.task == "gene_function" for e in board.entries}
    assert cell.entry.regime == "finetune" and cell.n_variants == 3
    assert cell.scaled == entries["scgpt-finetune"].scaled
    assert cell.scaled == max(e.scaled for e in entries.values() if e.model == "scgpt")
    assert (cell.low, cell.high) == (entries["scgpt-finetune"].low, entries["scgpt-finetune"].high)
    assert cell.rank_low == 1 and cell.n_ranked == 5 and cell.semi == "all"
    assert rows["scgpt"].cells["batch_integration"].semi == "some"
    assert rows["scbert"].cells["batch_integration"].scaled is None
    assert rows["scbert"].cells["batch_integration"].holes[0]["status"] == "failed"
    assert len(rows["scgpt"].scored) == 8
    controls = {name: means for _, name, means in heat.controls}
    assert abs(controls["best blind control"]["imputation"]) < 0.1 < 0.9 < controls["oracle"]["imputation"]


def test_a_mean_over_boards_counts_what_was_planned(found: Results) -> None:
    shorter = Results(dict(found.tables), found.datasets)
    summary = shorter.tables["summary"]
    gone = (summary.variant == "harmony") & (summary.dataset == "pbmc68k_lanes")
    shorter.tables["summary"] = summary[~gone]
    runs = shorter.tables["runs"].copy()
    lost = (runs.variant == "harmony") & (runs.dataset == "pbmc68k_lanes")
    runs.loc[lost, "status"] = "failed"
    shorter.tables["runs"] = runs
    heat = overview(boards(shorter), dataset_cards(shorter))
    cell = next(row for row in heat.rows if row.model == "harmony").cells["batch_integration"]
    assert cell.coverage == pytest.approx(4 / 5) and len(cell.boards) == 4


def test_gain_over_scratch_is_the_paired_difference(found: Results, made: list[Board]) -> None:
    group = next(group for group in regimes(made) if group.task == "gene_function")
    assert group.regimes == ["probe", "finetune", "scratch"]
    (block,) = group.boards[0].blocks
    lines = {line.entry.regime: line for line in block.lines}
    pairs = found["differences"]
    pairs = pairs[(pairs.task == "gene_function") & (pairs.metric == RANK_BY["gene_function"])]
    (row,) = pairs[(pairs.a == "scgpt-finetune") & (pairs.b == "scgpt-scratch")].to_dict("records")
    gain = lines["finetune"].gain
    assert (gain.value, gain.low, gain.high) == pytest.approx((row["difference"], row["low"], row["high"]))
    assert lines["finetune"].outcome == "better" and lines["probe"].outcome == "same"
    assert lines["scratch"].gain is None
    ((model, means),) = group.rows
    assert model == "scgpt" and means["finetune"].outcomes == {"better": 1, "same": 0, "worse": 0}
    assert "perturbation" in {g.task for g in regimes(made)} and "gene_expression" not in dict(group.rows)


def test_gain_without_an_interval_claims_nothing(found: Results) -> None:
    bare = Results(dict(found.tables), found.datasets)
    bare.tables["differences"] = found["differences"].iloc[:0]
    group = next(group for group in regimes(boards(bare)) if group.task == "gene_function")
    lines = {line.entry.regime: line for line in group.boards[0].blocks[0].lines}
    assert lines["finetune"].outcome == "" and not lines["finetune"].gain.paired


@pytest.mark.parametrize(
    ("points", "wanted"),
    [
        # a leads on batch, c on biology, b on neither end but between 0.25 and 0.75
        ([("a", 0.0, 1.0), ("b", 0.75, 0.75), ("c", 1.0, 0.0)], [(0, 0.25, "a"), (0.25, 0.75, "b"), (0.75, 1, "c")]),
        ([("a", 0.9, 0.9), ("b", 0.5, 0.8)], [(0, 1, "a")]),
        ([("a", 0.5, 0.9), ("b", 0.7, 0.9)], [(0, 1, "b")]),
    ],
)
def test_who_leads_over_the_weight(points: list, wanted: list) -> None:
    told = leads(points)
    assert [name for *_, name in told] == [name for *_, name in wanted]
    assert [x for row in told for x in row[:2]] == pytest.approx([x for row in wanted for x in row[:2]])
    for low, high, name in told:
        middle = (low + high) / 2
        assert name == max(points, key=lambda p: middle * p[1] + (1 - middle) * p[2])[0]


def test_ranks_at_the_weight_of_the_study_are_those_of_s_final(found: Results, made: list[Board]) -> None:
    weighed = {s.board.anchor: s for s in sensitivities(found, made)}
    assert {s.board.task for s in weighed.values()} == {"batch_integration", "multiomic_integration"}
    board = next(b for b in made if b.dataset == "pbmc68k_planted_100" and b.task == "batch_integration")
    shown = weighed[board.anchor]
    assert len(shown.parts) == len(board.ranked)
    part = next(part for part in shown.parts if part.entry.variant == "hvg_pca")
    summary = found["summary"]
    mine = summary[(summary.dataset == board.dataset) & (summary.variant == "hvg_pca") & (summary.metric == "s_bio")]
    assert part.bio == mine.value.iloc[0]


def test_demotions_name_the_cheat_and_the_board(found: Results, made: list[Board]) -> None:
    (row,) = [row for row in demotions(found, made) if row.task == "batch_integration"]
    assert row.metric == "asw_label" and len(row.places) == row.n_boards == 5
    told = Results(dict(found.tables), found.datasets)
    scores = found["scores"].copy()
    here = (scores.task == "gene_network") & (scores.metric == "network_auroc")
    assert here.any()
    scores.loc[here, "note"] = "x is capped; demoted: the blind control random_genes-probe scores 0.9, the best 0.8"
    told.tables["scores"] = scores
    (row,) = [row for row in demotions(told, made) if row.task == "gene_network"]
    assert row.fooled_by == ["random_genes-probe"] and row.blind_spots
    assert row.places[0][1].startswith("demoted: the blind control")


def test_fronts_hold_models_of_the_same_tasks(found: Results, made: list[Board]) -> None:
    told = fronts(made, overview(made, dataset_cards(found)))
    shares = {share.model: share for share in told.shares}
    assert shares["scgpt"].n_boards == len(made)
    assert shares["gene_expression"].n_front == shares["gene_expression"].n_boards == len(OTHERS)
    assert shares["scbert"].n_front == 0, "worse and dearer than all others"
    assert told.n_tasks == 8 and "harmony" in told.left_out


def test_model_cards(found: Results) -> None:
    cards = {card.model: card for card in model_cards(run_rows(found), found)}
    scgpt = cards["scgpt"]
    assert scgpt.facts["title"] == "scGPT" and scgpt.genes == (0.97, 0.97)
    assert "non-commercial" in scgpt.commercial and not scgpt.in_use
    assert not cards["harmony"].commercial
    assert cards["geneformer"].statuses == {"not_applicable": 5} and cards["geneformer"].reasons[0][2] == 5
    cost = {(row["task"], row["regime"]): row for row in scgpt.costs}
    assert cost["batch_integration", "finetune"]["cpu_s"] == 190.0
    rows = run_rows(found)
    for row in rows:
        if row["model"] == "harmony":
            row |= {"weights": "w", "weights_licence": "CC BY-NC 4.0", "weights_sha256": "ab"}
    assert next(card for card in model_cards(rows, found) if card.model == "harmony").in_use


@pytest.mark.parametrize(
    ("licence", "forbidden"),
    [("MIT", False), ("CC BY-NC-SA 4.0", True), ("x (no commercial use)", True), ("Apache-2.0", False), ("", False)],
)
def test_licences_that_forbid_commerce(licence: str, forbidden: bool) -> None:
    assert forbids_commerce(licence) is forbidden


def test_controls_that_are_off_are_marked(made: list[Board]) -> None:
    pages = {page.task: page for page in task_pages([(board, verdict(board)) for board in made], [])}
    assert list(pages) == list(TASKS)
    controls = {c.variant: c for c in pages["gene_function"].controls}
    assert not controls["oracle"].off and not controls["random_genes-probe"].off
    assert {c.variant for c in pages["batch_integration"].controls if c.off} == {"random_embedding", "log_total"}
    assert pages["perturbation"].splits == [("unseen_perturbation", "perturbed genes are held out")]


def test_boards_on_which_nothing_is_applicable_are_told_in_one_line(results: Path, tmp_path: Path) -> None:
    folder = tmp_path / "idle"
    shutil.copytree(results, folder)
    for kind in ("plan", "runs"):
        table = pd.read_parquet(folder / f"{kind}.parquet")
        more = table[table.task == "cell_type_annotation"].copy()
        more["run_id"] += ".none"
        more = more.assign(
            task="perturbation", split="unseen_context", status="not_applicable", reason="no control <x>"
        )
        pd.concat([table, more]).to_parquet(folder / f"{kind}.parquet")
    made = boards(load(folder))
    (idle,) = [board for board in made if board.idle]
    assert idle.task == "perturbation"
    (page,) = [page for page in task_pages([], made) if page.task == "perturbation"]
    assert page.idle == [("pbmc68k_planted_100", ["unseen_context"], ["no control <x>"])]
    build(folder, tmp_path / "report.html")
    html = (tmp_path / "report.html").read_text()
    assert "Not applicable to 1 dataset<" in html and "no control &lt;x&gt;" in html
    assert f'id="{idle.anchor}"' not in html


def test_runs_that_only_feed_others_are_no_variants(found: Results) -> None:
    fed = Results(dict(found.tables), found.datasets)
    plan, runs = found["plan"], found["runs"]
    probe = plan[(plan.task == "gene_function") & (plan.variant == "scgpt-probe")].iloc[:1]
    feeder = probe.assign(run_id="fed.genes", variant="scgpt-genes", regime="scratch")
    needy = plan.assign(needs=plan.needs.where(~plan.run_id.isin(probe.run_id), "fed.genes"))
    fed.tables["plan"] = pd.concat([needy, feeder])
    made_it = runs[runs.run_id.isin(probe.run_id)].assign(run_id="fed.genes", variant="scgpt-genes")
    fed.tables["runs"] = pd.concat([runs, made_it])
    board = next(board for board in boards(fed) if board.task == "gene_function")
    assert "scgpt-genes" not in {entry.variant for entry in board.entries + board.absent}
    fed.tables["plan"] = pd.concat([plan, feeder])
    board = next(board for board in boards(fed) if board.task == "gene_function")
    assert "scgpt-genes" in {entry.variant for entry in board.absent}, "nobody reads it: its hole is shown"


def test_folders_are_joined(results: Path, tmp_path: Path) -> None:
    other = make(tmp_path / "other", only="gene_function")
    joined = load_all([results, other])
    assert set(joined["runs"].task) == {"batch_integration", "cell_type_annotation", "gene_function"}
    assert len(joined["runs"]) == len(load(results)["runs"]) + len(load(other)["runs"])
    assert len(joined.datasets) == 5 and set(joined.versions["folders"]) == {results.name, "other"}
    build([results, other], tmp_path / "report.html")
    html = (tmp_path / "report.html").read_text()
    assert 'id="task-gene_function"' in html and "other" in html


def test_folders_that_share_runs_are_refused_by_name(results: Path, tmp_path: Path) -> None:
    twin = tmp_path / "twin"
    shutil.copytree(results, twin)
    with pytest.raises(ValueError, match=rf"121 run ids in both {results.name} and twin: pbmc68k_planted_000\."):
        load_all([results, twin])
    for kind in ("runs", "plan", "scores"):
        path = twin / f"{kind}.parquet"
        table = pd.read_parquet(path)
        table["run_id"] += ".again"
        table.to_parquet(path)
    with pytest.raises(ValueError, match=r"boards in both .* and twin: .*ranks and anchors are made inside a folder"):
        load_all([results, twin])
    with pytest.raises(ValueError, match="given twice"):
        load_all([results, results])


def test_a_folder_of_another_schema_is_refused_by_name(results: Path, tmp_path: Path) -> None:
    later = tmp_path / "later"
    shutil.copytree(results, later)
    versions = json.loads((later / "versions.json").read_text())
    (later / "versions.json").write_text(json.dumps(versions | {"schema": 99, "sceval": "9.0"}))
    with pytest.raises(ValueError, match=r"later is of schema version 99 .* reads 1: .*9\.0"):
        load(later)
    del versions["schema"]
    (later / "versions.json").write_text(json.dumps(versions))
    assert len(load(later)["runs"]) == 121, "folders from before the version was written are read"


def test_a_corrupt_table_is_named_with_its_folder(results: Path, tmp_path: Path) -> None:
    other = make(tmp_path / "other", only="gene_function")
    (other / "differences.parquet").write_bytes(b"PAR1 not really")
    joined = load_all([results, other])
    (gap,) = joined.gaps
    assert gap.file == "differences.parquet" and gap.message.startswith("in other: ")
    build([results, other], tmp_path / "report.html")
    assert "in other: " in (tmp_path / "report.html").read_text()
