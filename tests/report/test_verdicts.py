"""Verdict sentences, ties and order of a board."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from make_results import HOSTILE, make

from sceval.report.boards import Board, boards
from sceval.report.load import load
from sceval.report.verdicts import Verdict, tally, verdict


@pytest.fixture(scope="module")
def judged(results: Path) -> dict[tuple[str, str, str], tuple[Board, Verdict]]:
    return {(b.task, b.dataset, b.split): (b, verdict(b)) for b in boards(load(results))}


def sentences(told: Verdict) -> str:
    return " ".join(sentence.striptags() for sentence in told.sentences)


def test_clear_win(judged: dict) -> None:
    _, told = judged["cell_type_annotation", "pbmc68k_planted_100", "intra"]
    assert told.outcome == "win" and told.use == "logistic"
    assert sentences(told) == (
        "Use logistic on pbmc68k_planted_100: Macro F1 0.68 [0.66, 0.70]. It is 0.07 [0.04, 0.10] better than the next "
        "that can be told apart, scgpt-finetune, at 1/42 of the cost."
    )


def test_among_tied_the_cheap_one_is_recommended(judged: dict) -> None:
    board, told = judged["batch_integration", "pbmc68k_planted_100", "all"]
    assert told.outcome == "tie" and told.use == "harmony"
    assert [entry.variant for entry in board.entries if entry.tied] == ["scgpt-finetune", "harmony"]
    assert "The top of the table, scgpt-finetune, adds 0.02 [−0.01, 0.05] at 55 times the cost" in sentences(told)


def test_boards_say_what_was_resampled(judged: dict) -> None:
    said = judged["batch_integration", "pbmc68k_planted_100", "all"][0].sampling
    assert said == "intervals over 700 cells: sampling of these cells only"
    assert judged["batch_integration", HOSTILE, "all"][0].sampling == "no intervals"


def test_tally(judged: dict) -> None:
    integration = [pair for key, pair in judged.items() if key[0] == "batch_integration"]
    assert tally(integration).striptags() == (
        "Of 5 cases: the choice is harmony in 3, scgpt-finetune in 1; there is nothing to remove in 1."
    )


def test_nothing_to_remove(judged: dict) -> None:
    board, told = judged["batch_integration", "pbmc68k_lanes", "all"]
    assert told.outcome == "nothing_to_remove" and told.use is None
    assert sentences(told).startswith("Nothing to remove on pbmc68k_lanes")
    assert "Leave the cells as they are (hvg_pca" in sentences(told)
    assert "nothing to remove" in board.nothing_to_remove


def test_without_intervals_no_difference_is_claimed(judged: dict) -> None:
    _, told = judged["batch_integration", HOSTILE, "all"]
    assert told.use == "scgpt-finetune"
    assert "no interval" in sentences(told) and "no difference" in sentences(told)
    assert str(told.sentences[0]).count("&lt;b&gt;") == 1


def changed(tmp_path: Path, kind: str, change) -> dict[tuple[str, str, str], tuple[Board, Verdict]]:
    folder = make(tmp_path / "results")
    table = change(pd.read_parquet(folder / f"{kind}.parquet"))
    table.to_parquet(folder / f"{kind}.parquet")
    return {(b.task, b.dataset, b.split): (b, verdict(b)) for b in boards(load(folder))}


def test_reversed_pairs_say_the_same(judged: dict, tmp_path: Path) -> None:
    def reverse(table: pd.DataFrame) -> pd.DataFrame:
        out = table.rename(columns={"a": "b", "b": "a"})
        out["difference"], out["low"], out["high"] = -table.difference, -table.high, -table.low
        return out.assign(cost_ratio=1 / table.cost_ratio)[table.columns]

    key = ("batch_integration", "pbmc68k_planted_100", "all")
    assert sentences(changed(tmp_path, "differences", reverse)[key][1]) == sentences(judged[key][1])


def test_without_pairs_overlapping_intervals_tie(tmp_path: Path) -> None:
    board, told = changed(tmp_path, "differences", lambda table: table.iloc[:0])[
        "batch_integration", "pbmc68k_planted_100", "all"
    ]
    assert [entry.variant for entry in board.entries if entry.tied] == ["scgpt-finetune", "harmony"]
    assert "(not paired)" in sentences(told)


def test_lower_is_better_turns_everything_round(tmp_path: Path) -> None:
    def negate(table: pd.DataFrame) -> pd.DataFrame:
        value, low, high = 1 - table.value, 1 - table.value_high, 1 - table.value_low
        return table.assign(direction=-1, value=value, value_low=low, value_high=high)

    board, told = changed(tmp_path, "summary", negate)["cell_type_annotation", "pbmc68k_planted_100", "intra"]
    assert board.direction == -1
    assert [entry.variant for entry in board.entries[:2]] == ["truth", "logistic"]
    # The paired differences still say a minus b, so the clear winner of the fixture now loses them.
    gain = board.pairs.gain(board.ranked[0], board.ranked[1])
    assert gain.high < 0
    assert told.use == "logistic"


def test_not_above_a_blind_control(tmp_path: Path) -> None:
    def sink(table: pd.DataFrame) -> pd.DataFrame:
        ranked = table.kind.isin(["model", "baseline"])
        table.loc[ranked, ["scaled", "low", "high"]] = [0.01, -0.02, 0.04]
        return table

    _, told = changed(tmp_path, "summary", sink)["cell_type_annotation", "pbmc68k_planted_100", "intra"]
    assert told.outcome == "none_better" and told.use is None
    assert sentences(told).startswith("No method is shown to beat a blind control")


def test_one_alone_is_no_clear_win(tmp_path: Path) -> None:
    def alone(table: pd.DataFrame) -> pd.DataFrame:
        return table[~table.kind.isin(["model", "baseline"]) | (table.variant == "knn")]

    _, told = changed(tmp_path, "summary", alone)["cell_type_annotation", "pbmc68k_planted_100", "intra"]
    assert told.outcome == "only" and told.use == "knn"
    assert sentences(told).endswith("No other model or baseline has a score here.")


def test_no_score_counts_what_became_of_the_runs(tmp_path: Path) -> None:
    def nobody(table: pd.DataFrame) -> pd.DataFrame:
        return table[~table.kind.isin(["model", "baseline"]) | (table.split != "intra")]

    board, told = changed(tmp_path, "summary", nobody)["cell_type_annotation", "pbmc68k_planted_100", "intra"]
    assert told.outcome == "no_score"
    assert sentences(told).endswith("(1 failed and 1 not run).")
    assert {entry.variant for entry in board.absent} >= {"late", "logistic"}


def test_uninformative_metric_is_said(tmp_path: Path) -> None:
    def dull(table: pd.DataFrame) -> pd.DataFrame:
        return table.assign(informative=False)

    board, told = changed(tmp_path, "summary", dull)["cell_type_annotation", "pbmc68k_planted_100", "intra"]
    assert board.caution and "says little here" in sentences(told)


def test_runs_that_saw_labels_stand_apart(tmp_path: Path) -> None:
    def see(table: pd.DataFrame) -> pd.DataFrame:
        return table.assign(uses_labels=table.variant == "scgpt-finetune")

    board, told = changed(tmp_path, "runs", see)["batch_integration", "pbmc68k_planted_100", "all"]
    assert told.use == "harmony" and "scgpt-finetune" not in sentences(told)
    assert "scgpt-finetune" in [entry.variant for entry in board.entries]
