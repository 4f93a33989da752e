from __future__ import annotations

import pandas as pd
import pytest

from sceval.contract import ContractError, columns, kinds, load, tables

TABLES = [kind for kind in kinds() if load(kind)["format"] == "table"]


def _value(spec, full):
    types = spec["type"] if isinstance(spec["type"], list) else [spec["type"]]
    if not full and "null" in types:
        return None
    if "enum" in spec:
        return spec["enum"][0]
    return {"string": "text", "integer": 3, "number": 0.1 + 0.2, "boolean": True}[types[0]]


def _rows(kind):
    return [{name: _value(spec, full) for name, spec in load(kind)["properties"].items()} for full in (True, False)]


@pytest.mark.parametrize("kind", TABLES)
@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_tables_come_back_as_they_were_written(tmp_path, kind, suffix):
    written = tables.write(kind, tmp_path, _rows(kind))
    back = tables.read(kind, tmp_path / f"{kind}.{suffix}")
    assert list(back) == columns(kind)
    pd.testing.assert_frame_equal(back, written)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{kind}.csv", f"{kind}.parquet"]


def test_a_table_of_an_earlier_version_lacks_later_columns(tmp_path):
    row = {name: value for name, value in _rows("runs")[0].items() if name in load("runs")["required"]}
    written = tables.write("runs", tmp_path, [row])
    assert list(written) == columns("runs")
    assert written["weights"].isna().all()


@pytest.mark.parametrize("kind", TABLES)
def test_a_table_without_rows_keeps_its_columns_and_types(tmp_path, kind):
    written = tables.write(kind, tmp_path, [])
    assert list(written) == columns(kind)
    back = tables.read(kind, tmp_path / f"{kind}.parquet")
    assert len(back) == 0
    assert back.dtypes.tolist() == written.dtypes.tolist()


def test_missing_values_stay_missing_and_are_never_zero(tmp_path):
    row = _rows("scores")[1]
    tables.write("scores", tmp_path, [row])
    for suffix in ("parquet", "csv"):
        back = tables.read("scores", tmp_path / f"scores.{suffix}").iloc[0]
        assert pd.isna(back["value"])
        assert pd.isna(back["n_units"])
        assert pd.isna(back["note"])


def test_a_label_may_be_called_na(tmp_path):
    row = _rows("confusion")[0] | {"truth": "NA", "prediction": "nan"}
    tables.write("confusion", tmp_path, [row])
    back = tables.read("confusion", tmp_path / "confusion.csv").iloc[0]
    assert (back["truth"], back["prediction"]) == ("NA", "nan")


def test_extra_columns_follow_and_are_kept(tmp_path):
    rows = [row | {"mine": 1} for row in _rows("units")]
    tables.write("units", tmp_path, rows, csv=False)
    assert list(tables.read("units", tmp_path / "units.parquet")) == [*columns("units"), "mine"]
    assert not (tmp_path / "units.csv").exists()


def test_an_absent_column_is_named_with_what_it_holds():
    rows = _rows("scores")
    for row in rows:
        del row["direction"]
    with pytest.raises(ContractError, match="scores: column direction: found nothing; expected 1: higher is better"):
        tables.frame("scores", rows)


def test_a_value_of_another_type_is_named_with_its_column():
    rows = _rows("scores")
    rows[1]["seed"] = "one"
    with pytest.raises(ContractError, match=r"scores: column seed: found .*one.*; expected integer"):
        tables.frame("scores", rows)


def test_an_unknown_word_is_named_with_its_row():
    rows = _rows("runs")
    rows[1]["status"] = "done"
    expected = "runs: column status, row 1: found 'done'; expected ok or not_applicable or failed or not_run"
    with pytest.raises(ContractError, match=expected):
        tables.frame("runs", rows)


def test_files_that_are_no_tables(tmp_path):
    with pytest.raises(ContractError, match="no such file"):
        tables.read("runs", tmp_path / "runs.parquet")
    (tmp_path / "runs.parquet").write_text("not Parquet")
    with pytest.raises(ContractError, match="a file that cannot be read"):
        tables.read("runs", tmp_path / "runs.parquet")
    (tmp_path / "runs.csv").write_text("")
    with pytest.raises(ContractError, match="a file that cannot be read"):
        tables.read("runs", tmp_path / "runs.csv")


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch):
    def full(self, path, **options):
        path.write_text("half")
        raise OSError("no space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_csv", full)
    with pytest.raises(OSError, match="no space"):
        tables.write("units", tmp_path, _rows("units"))
    assert [path.name for path in tmp_path.iterdir()] == ["units.parquet"]
