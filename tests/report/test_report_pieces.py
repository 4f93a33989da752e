"""Numbers, names, figures and packed coordinates."""

from __future__ import annotations

import base64
from zlib import crc32

import numpy as np
import pandas as pd
import pytest

from sceval.report import figures, scatter, text
from sceval.report.entries import Entry
from sceval.report.layouts import STEPS, _coordinates
from sceval.report.methods import link


@pytest.mark.parametrize(
    ("made", "wanted"),
    [
        (text.number(-0.0004), "0.000"),
        (text.number(-0.25, 2), "−0.25"),
        (text.number(pd.NA), "–"),
        (text.difference(0.004), "0.004"),
        (text.difference(0.0149), "0.01"),
        (text.interval(0.1, float("nan")), ""),
        (text.significant(12345), "12,000"),
        (text.significant(0.000123), "0.00012"),
        (text.significant(99.6), "100"),
        (text.seconds(200), "3.3 min"),
        (text.megabytes(2500), "2.5 GB"),
        (text.cost(40), "at 40 times the cost"),
        (text.cost(0.025), "at 1/40 of the cost"),
        (text.cost(1.1), "at about the same cost"),
        (text.cost(None), ""),
        (text.listing(["a", "b", "c", "d", "e"]), "a, b, c and 2 more"),
        (text.listing(["a", "b"]), "a and b"),
        (text.slug('odd, "n" <b>'), "odd-n-b-" + format(crc32(b'odd, "n" <b>'), "08x")),
        (text.slug("a.b", "c_d"), "a.b-c_d"),
        (str(text.breakable("CD4+/CD25 <T>")), "CD4+/<wbr>CD25 &lt;T&gt;"),
        (str(text.code("a `b<c` & d")), "a <code>b&lt;c</code> &amp; d"),
    ],
)
def test_text(made: str, wanted: str) -> None:
    assert made == wanted


def test_links_of_references() -> None:
    assert (
        link("Rautenstrauch and Ohler 2025 (10.1038/s41587-025-02743-4)")
        == "https://doi.org/10.1038/s41587-025-02743-4"
    )
    assert link("Guo et al. 2017 (arXiv 1706.04599)") == "https://arxiv.org/abs/1706.04599"
    assert link("Brier 1950") == ""


def entry(name: str, value: float, cpu: float, kind: str = "model") -> Entry:
    return Entry(name, name, "none", kind, value=value, scaled=value, cpu_s=cpu)


def test_pareto_front_in_both_directions() -> None:
    entries = [entry("a", 0.5, 1), entry("b", 0.4, 2), entry("c", 0.7, 3), entry("d", 0.7, 4)]
    assert [e.variant for e in scatter.pareto(entries, 1)] == ["a", "c"]
    assert [e.variant for e in scatter.pareto(entries, -1)] == ["a", "b"]


def test_bars_share_a_scale_and_mark_what_lies_beyond() -> None:
    entries = [entry("wild", 25.0, 1), entry("good", 0.9, 1)]
    scale = figures.anchor_scale(entries)
    assert scale.low < 0 < 1 < scale.high <= figures.LIMITS[1]
    assert "beyond" in figures.bar(entries[0], scale)
    assert "beyond" not in figures.bar(entries[1], scale)
    assert "whisker" not in figures.bar(entries[1], scale)


@pytest.mark.parametrize(("low", "high"), [(0.13, 0.91), (-3.0, 250.0), (0.5001, 0.5009)])
def test_ticks_are_few_and_inside(low: float, high: float) -> None:
    found = figures.ticks(low, high)
    assert 3 <= len(found) <= 8
    assert all(low <= tick <= high for tick in found)


def test_coordinates_keep_the_shape_and_mark_absent_cells() -> None:
    cells = pd.Index(["a", "b", "c", "d"])
    table = pd.DataFrame({"x": [0.0, 10.0, 5.0], "y": [0.0, 0.0, 2.0]}, index=["a", "b", "c"])
    steps = np.frombuffer(base64.b64decode(_coordinates(table, cells)), dtype="<u2").reshape(4, 2).astype(int)
    assert steps[3].tolist() == [0, 0]
    assert steps[1, 0] - steps[0, 0] == STEPS - 1
    assert steps[2, 1] - steps[0, 1] == pytest.approx((STEPS - 1) / 5, abs=1)
