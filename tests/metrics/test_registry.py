from __future__ import annotations

from pathlib import Path

import pytest

from sceval.metrics import registry


def test_the_page_is_up_to_date():
    page = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"
    assert page.read_text(encoding="utf-8") == registry.document(), (
        "run: python -m sceval.metrics.document docs/metrics.md"
    )


def test_every_declaration_is_complete():
    for entry in registry.METRICS.values():
        assert entry.direction in (1, -1)
        assert entry.range[0] < entry.range[1]
        assert entry.anchors in registry.ANCHOR_RULES
        assert set(entry.headline) <= set(entry.tasks)
        assert len(entry.version.split(".")) == 3
        for text in (entry.name, entry.formula, entry.blind_spots, entry.reference, entry.unit, entry.group):
            assert text.strip()
        assert entry.needs


def test_headline_and_rank():
    assert [m.id for m in registry.headline("batch_integration")] == ["s_bio", "s_batch", "s_final"]
    assert {m.id for m in registry.headline("cell_type_annotation")} == {
        "accuracy",
        "macro_f1",
        "unseen_auroc",
    }
    for task, name in registry.RANK_BY.items():
        assert name in {m.id for m in registry.headline(task)}


def test_unknown_metric_names_the_nearest():
    with pytest.raises(KeyError, match="macro_f1"):
        registry.metric("macrof1")
