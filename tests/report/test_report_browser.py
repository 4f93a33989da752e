"""The page in headless Chromium: no complaint, no request, sorting and filtering from the keyboard, narrow windows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import browser
import pytest

TABLE = "document.querySelector('#ranking table.rank')"
FIRST = f"[...{TABLE}.querySelectorAll('tbody.rows tr')].map(row => row.cells[1].dataset.v)"


@pytest.fixture(scope="module")
def chromium(page: Path) -> Iterator[browser.Browser]:
    executable = browser.find()
    if executable is None:
        pytest.skip("no Chromium on this machine (Debian package chromium)")
    with browser.Browser(executable) as opened:
        yield opened


@pytest.fixture
def view(chromium: browser.Browser, page: Path) -> browser.Browser:
    chromium.size(1400)
    chromium.open(page)
    return chromium


def test_no_complaint_and_no_request(view: browser.Browser, page: Path) -> None:
    view.run("document.querySelectorAll('details').forEach(d => { d.open = true })")
    view.run("scrollTo(0, document.body.scrollHeight); new Promise(done => setTimeout(done, 300))")
    assert view.complaints() == []
    assert view.requests() == [page.resolve().as_uri()]


def test_sort_from_the_keyboard(view: browser.Browser) -> None:
    before = view.run(FIRST)
    view.run(f"{TABLE}.tHead.rows[0].cells[1].querySelector('button').focus()")
    view.press("Enter")
    assert view.run(FIRST) == sorted(before, key=str.lower)
    assert view.run(f"{TABLE}.tHead.rows[0].cells[1].getAttribute('aria-sort')") == "ascending"
    view.press(" ", " ")
    assert view.run(FIRST) == sorted(before, key=str.lower, reverse=True)
    assert view.run(f"{TABLE}.tHead.rows[0].cells[1].getAttribute('aria-sort')") == "descending"
    assert view.run("document.activeElement.tagName") == "BUTTON"


def test_numbers_sort_as_numbers_and_empty_cells_stay_last(view: browser.Browser) -> None:
    for _ in range(2):
        view.run(f"{TABLE}.tHead.rows[0].cells[0].querySelector('button').click()")
        ranks = view.run(f"[...{TABLE}.querySelectorAll('tbody.rows tr')].map(row => row.cells[0].dataset.v)")
        given = [int(rank) for rank in ranks if rank]
        assert ranks[len(given) :] == [""] * (len(ranks) - len(given)) and len(given) == 6
        assert given in (sorted(given), sorted(given, reverse=True))


def test_filter_from_the_keyboard(view: browser.Browser) -> None:
    view.run("document.querySelector('#runs input[type=search]').focus()")
    for letter in "slowpoke lanes":
        view.press(letter, letter)
    shown = "[...document.querySelectorAll('#runs tbody tr:not([hidden])')].map(row => row.cells[0].dataset.v)"
    assert view.run(shown) == ["slowpoke"]
    assert view.run("document.querySelector('#runs output').textContent") == "1 of 121"
    view.run("document.querySelector('#runs .tools button.failed').click()")
    assert view.run(shown) == []


def test_one_task_alone_and_deep_links_out_of_it(view: browser.Browser) -> None:
    view.run("document.getElementById('task-picker').focus()")
    view.press("c", "c")
    assert view.run("document.getElementById('task-picker').value") == "cell_type_annotation"
    shown = "[...document.querySelectorAll('article.task')].filter(a => a.offsetHeight).map(a => a.dataset.task)"
    assert view.run(shown) == ["cell_type_annotation"]
    assert view.run("document.querySelector('#runs tbody tr').offsetHeight") > 0
    view.run("location.hash = '#task-batch_integration'; new Promise(done => setTimeout(done, 300))")
    assert view.run(shown) == ["batch_integration", "cell_type_annotation"]
    assert view.run("document.getElementById('task-picker').value") == ""


def test_the_overview_sorts_and_filters(view: browser.Browser) -> None:
    table = "document.querySelector('#overview table')"
    names = f"[...{table}.querySelectorAll('tbody.rows tr:not([hidden])')].map(r => r.cells[0].dataset.v)"
    view.run(f"{table}.tHead.rows[0].cells[1].querySelector('button').focus()")
    view.press("Enter")
    view.press("Enter")
    best = view.run(f"{table}.querySelector('tbody.rows').rows[0].cells[1].dataset.v")
    values = view.run(f"[...{table}.querySelectorAll('tbody.rows tr')].map(r => r.cells[1].dataset.v).filter(v => v)")
    assert float(best) == max(map(float, values))
    view.run("document.querySelector('#overview .tools button.baseline').click()")
    assert "logistic" not in view.run(names) and "scgpt" in view.run(names)


def test_maps_are_drawn_when_seen(view: browser.Browser) -> None:
    assert view.run("document.querySelectorAll('canvas[data-drawn]').length") < 100
    view.run("location.hash = '#maps'; new Promise(done => setTimeout(done, 800))")
    painted = """[...document.querySelectorAll('canvas[data-drawn]')].slice(0, 4).map(canvas => {
      const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
      return pixels.filter((value, n) => n % 4 === 3 && value > 0).length;
    })"""
    found = view.run(painted)
    assert len(found) == 4 and min(found) > 500


def test_legend_picks_one_entry(view: browser.Browser) -> None:
    view.run("document.querySelector('.legend button').focus()")
    view.press("Enter")
    assert view.run("document.querySelector('.legend button').getAttribute('aria-pressed')") == "true"
    view.press("Enter")
    assert view.run("document.querySelector('.legend button').getAttribute('aria-pressed')") == "false"


def test_csv_of_a_table_and_of_all_rows(view: browser.Browser) -> None:
    # What the browser would save is caught where the page makes its address.
    view.run("window.saved = []; URL.createObjectURL = blob => { window.saved.push(blob); return 'data:,' }")
    view.run("document.querySelector('#ranking details.board > .tools button.csv').click()")
    lines = view.run("window.saved[0].text()").splitlines()
    assert lines[0].startswith("Rank,Variant,") and len(lines) == 1 + 10 + 4
    assert '"odd, ""name"" <b>bold</b>"' in "\n".join(lines)
    view.run("document.querySelector('a[data-csv=\"plan.csv\"]').click(); new Promise(done => setTimeout(done, 500))")
    assert view.run("window.saved[1].text()").startswith("run_id,dataset,task,split")


def test_deep_link_opens_what_it_points_into(view: browser.Browser) -> None:
    closed = "document.querySelectorAll('#parts details')[1]"
    assert view.run(f"{closed}.open") is False
    view.run(f"location.hash = '#' + {closed}.id; new Promise(done => setTimeout(done, 300))")
    assert view.run(f"{closed}.open") is True
    assert 0 <= view.run(f"{closed}.getBoundingClientRect().top") < 100


@pytest.mark.parametrize("width", [360, 390, 1400])
@pytest.mark.parametrize("dark", [False, True])
def test_no_sideways_scrolling(view: browser.Browser, page: Path, width: int, dark: bool) -> None:
    view.size(width, dark=dark)
    view.open(page)
    view.run("document.querySelectorAll('details').forEach(d => { d.open = true })")
    assert view.run("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("dark", [False, True])
def test_contrast_of_text(view: browser.Browser, page: Path, dark: bool) -> None:
    view.size(1400, dark=dark)
    view.open(page)
    colors = view.run(
        """(() => { const style = getComputedStyle(document.documentElement);
        const names = ['ink', 'soft', 'accent', 'good', 'warn', 'bad', 'base', 'oracle', 'paper', 'panel', 'wash'];
        return Object.fromEntries(names.map(name => [name, style.getPropertyValue('--' + name).trim()])); })()"""
    )
    grounds = [luminance(colors.pop(name)) for name in ("paper", "panel", "wash")]
    for name, color in colors.items():
        for ground in grounds:
            light, deep = sorted((luminance(color), ground), reverse=True)
            assert (light + 0.05) / (deep + 0.05) >= 4.5, name


def luminance(color: str) -> float:
    """Relative luminance of `#rrggbb` (WCAG 2.1)."""
    parts = [int(color[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_print_opens_everything(view: browser.Browser) -> None:
    view.run("window.dispatchEvent(new Event('beforeprint'))")
    assert view.run("document.querySelectorAll('details:not([open])').length") == 0
    assert view.run("document.querySelectorAll('canvas[data-n]:not([data-drawn])').length") == 0
    view.run("window.dispatchEvent(new Event('afterprint'))")
    assert view.run("document.querySelectorAll('details:not([open])').length") > 0
