"""The page in a real browser: headless Chromium from the system's packages, driven by Selenium."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sciml.report import gather
from sciml.report.page import page

from .runs import write_run

if TYPE_CHECKING:
    from selenium.webdriver.chrome.webdriver import WebDriver

CHROMIUM, DRIVER = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="needs Chromium and its driver (Debian: apt install chromium chromium-driver)"
)

SET = "((input, value) => { input.value = value; input.dispatchEvent(new Event('input')); })"
TABLE: dict[str, Any] = {
    "name": "doe2020x/main",
    "title": "A <title>",
    "above": [
        "budget desk: x",
        "this is not the paper's budget: obtained numbers are not comparable with reported ones",
    ],
    "below": ["order in the paper: A < B: holds"],
    "comparable": False,
    "overview": {"there": 2, "cells": 3, "verdicts": "2 better", "order": "holds in 1 of 1"},
    "columns": [
        {
            "name": "",
            "metric": "error [%], lower is better",
            "better": "lower",
            "head": ["method", "reported [%]", "obtained [%]", "seeds", "s/run", "verdict"],
            "lines": [
                {
                    "kind": kind,
                    "verdict": "better",
                    "cells": [{"text": str(v), "sort": v} for v in (name, 9.0, obtained, 2, 1.5, "better")],
                }
                for name, kind, obtained in (("floor", "floor", 100), ("A", "method", 20), ("B", "method", 3))
            ],
        }
    ],
    "costs": [
        {
            "title": "A <title>",
            "column": "",
            "metric": "error [%]",
            "better": "lower",
            "axes": ["steps", "wall seconds"],
            "points": [
                {"method": m, "seed": s, "value": v, "cost": {"steps": 10 * s + 10, "wall seconds": v}}
                for m, v in (("A", 20.0), ("B", 1.5), ("exact", 0.0))
                for s in (0, 1)
            ],
        }
    ],
}


@pytest.fixture(scope="module")
def browser() -> Iterator[WebDriver]:
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM or ""
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1200,900"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER or ""))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def shown(browser: WebDriver, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], WebDriver]:
    """Loads a page of one table and three runs afresh."""
    outputs = tmp_path_factory.mktemp("outputs")
    folders = [
        write_run(outputs, seed=0, figure=True, err=0.5),
        write_run(outputs, seed=1, option="bad", err=0.03),
        write_run(outputs, "doe2020x/other", seed=2, done=False),
    ]
    runs = [run for f in folders if (run := gather.run_data(f, f.path.relative_to(outputs).as_posix(), []))]
    file = outputs / "page.html"
    other = {**TABLE, "name": "roe2021y/main", "title": "Another", "costs": []}
    file.write_text(page([TABLE, other], runs, ["left out: <x>"], title="A & B"))

    def load() -> WebDriver:
        browser.get(file.as_uri())
        return browser

    return load


def script(browser: WebDriver, code: str, *arguments: Any) -> Any:
    return browser.execute_script(f"return {code}", *arguments)


def until(condition: Callable[[], Any], seconds: float = 20) -> Any:
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)
    return found


def draw(browser: WebDriver) -> None:
    """Charts are drawn when they come into view."""
    script(browser, "document.querySelector('.chart').scrollIntoView({behavior: 'instant'})")
    until(lambda: script(browser, "document.querySelectorAll('.js-plotly-plot').length"))


def names(browser: WebDriver, table: str) -> list[str]:
    return script(
        browser,
        f"[...document.querySelectorAll('{table} tbody tr')].filter(r => !r.hidden).map(r => r.cells[0].innerText)",
    )


def click_head(browser: WebDriver, table: str, column: int) -> str:
    script(browser, f"document.querySelectorAll('{table} thead button')[{column}].click()")
    return script(browser, f"document.querySelectorAll('{table} thead th')[{column}].getAttribute('aria-sort')")


def test_it_opens_without_an_error_and_needs_no_network(shown: Callable[[], WebDriver]) -> None:
    browser = shown()
    draw(browser)
    assert browser.title == "A & B"
    assert browser.get_log("browser") == []
    outside = script(
        browser, "performance.getEntriesByType('resource').map(e => e.name).filter(n => !/^(file|data|blob):/.test(n))"
    )
    assert outside == []
    html = Path(browser.current_url.removeprefix("file://")).read_text()
    assert '<link rel="stylesheet"' not in html
    assert "<script src" not in html


def test_what_a_run_says_is_text_and_not_markup(shown: Callable[[], WebDriver]) -> None:
    browser = shown()
    text = script(browser, "document.body.textContent")
    assert "RunError: <b>it broke</b>" in text
    assert "left out: <x>" in text
    assert "PROPAGATION FAILURE <LIKELY>" in text
    assert script(browser, "document.querySelectorAll('main b').length") == 0


def test_tables_sort_by_number_in_both_directions(shown: Callable[[], WebDriver]) -> None:
    browser = shown()
    table = "#table-1 table"
    assert click_head(browser, table, 2) == "ascending"
    assert [name.split()[0] for name in names(browser, table)] == ["B", "A", "floor"]  # 3, 20, 100: not as words
    assert click_head(browser, table, 2) == "descending"
    assert [name.split()[0] for name in names(browser, table)] == ["floor", "A", "B"]
    click_head(browser, table, 0)
    assert [name.split()[0] for name in names(browser, table)] == ["A", "B", "floor"]


def test_runs_without_a_value_sort_last(shown: Callable[[], WebDriver]) -> None:
    browser = shown()
    column = script(
        browser, "[...document.querySelectorAll('#runs-table thead button')].findIndex(b => b.innerText === 'err')"
    )
    for order in ("ascending", "descending"):
        assert click_head(browser, "#runs-table", column) == order
        assert names(browser, "#runs-table")[-1].startswith("doe2020x/other")


def test_runs_are_filtered_by_words_and_state(shown: Callable[[], WebDriver]) -> None:
    browser = shown()
    write = f"(([id, value]) => {{ {SET}(document.getElementById(id), value) }})(arguments)"
    script(browser, write, "search", "POINTS=bad case")
    assert len(names(browser, "#runs-table")) == 1
    assert script(browser, "document.getElementById('count').innerText") == "1 of 3"
    assert script(browser, "[...document.querySelectorAll('details.run')].filter(d => !d.hidden).length") == 1
    script(browser, write, "search", "")
    script(browser, write, "state", "failed")
    assert [name.split("/")[1] for name in names(browser, "#runs-table")] == ["other"]
    script(browser, write, "state", "")
    assert len(names(browser, "#runs-table")) == 3


def test_tables_are_found_by_their_words(shown: Callable[[], WebDriver]) -> None:
    browser = shown()
    assert names(browser, "#tables-table") == ["doe2020x/main", "roe2021y/main"]
    script(browser, f"{SET}(document.getElementById('search-tables'), 'another FLOOR')")
    assert names(browser, "#tables-table") == ["roe2021y/main"]
    assert script(browser, "document.getElementById('count-tables').innerText") == "1 of 2"
    assert script(browser, "[1, 2].map(i => document.getElementById(`table-${i}`).hidden)") == [True, False]


def test_the_theme_can_be_switched_and_reaches_the_charts(shown: Callable[[], WebDriver]) -> None:
    browser = shown()
    draw(browser)

    def look() -> tuple[str, str]:
        back = script(browser, "getComputedStyle(document.body).backgroundColor")
        font = script(browser, "document.querySelector('.js-plotly-plot').layout.font.color.trim()")
        return back, font

    light = look()
    script(browser, "document.getElementById('theme').click()")
    dark = look()
    assert light[0] != dark[0]
    assert light[1] != dark[1]
    assert script(browser, "document.getElementById('theme').getAttribute('aria-pressed')") == "true"


def test_the_cost_axis_can_be_chosen(shown: Callable[[], WebDriver]) -> None:
    browser = shown()
    draw(browser)
    first = "[...document.querySelector('.chart[data-cost]').data[0].x]"
    assert script(browser, first) == [10, 20]
    script(
        browser,
        f"{SET}(document.querySelector('select.axis'), 'wall seconds')",
    )
    assert script(browser, first) == [20, 20]
    note = "document.querySelector('figcaption').innerText"
    assert script(browser, note).endswith("Not on these axes: exact (error 0)"), "a logarithm has no place for 0"


def test_values_of_both_signs_and_of_one_size_have_a_linear_axis(shown: Callable[[], WebDriver]) -> None:
    browser = shown()
    draw(browser)
    assert script(browser, "document.querySelector('.chart[data-cost]').layout.yaxis.type") == "log"
    assert script(browser, "document.querySelector('.chart[data-cost]').layout.xaxis.type") == "linear", "10 and 20"


def test_a_run_opens_from_its_link_and_draws_a_curve_per_term(shown: Callable[[], WebDriver]) -> None:
    browser = shown()
    script(browser, "document.querySelector('#runs-table tbody a').click()")
    until(lambda: script(browser, "document.querySelector('#run-1').open"))
    until(lambda: script(browser, "document.querySelectorAll('#run-1 .js-plotly-plot').length"))
    terms = script(browser, "document.querySelector('#run-1 .chart').data.map(t => t.name)")
    assert terms == ["train/loss", "train/boundary"]


def test_it_can_be_used_by_keyboard_and_by_screen_reader(shown: Callable[[], WebDriver]) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    browser = shown()
    assert script(browser, "[...document.images].every(i => i.alt.trim().length > 5)")
    assert script(browser, "document.images.length") == 1
    assert script(
        browser, "[...document.querySelectorAll('.chart')].every(c => c.getAttribute('role') === 'img' && c.ariaLabel)"
    )
    # As a name that does not change with the state that is told beside it.
    assert script(browser, "document.getElementById('theme').innerText") == "Dark theme"
    assert script(browser, "[...document.querySelectorAll('table')].every(t => t.caption && t.caption.textContent)")
    assert script(browser, "[...document.querySelectorAll('input, select')].every(i => i.labels.length === 1)")
    assert script(browser, "document.documentElement.lang") == "en"
    ActionChains(browser).send_keys(Keys.TAB).perform()
    assert script(browser, "document.activeElement.className") == "skip"
    script(browser, "document.querySelector('#table-1 thead button').focus()")
    ActionChains(browser).send_keys(Keys.ENTER).perform()
    assert script(browser, "document.querySelector('#table-1 thead th').ariaSort") == "ascending"


def test_a_phone_scrolls_tables_and_not_the_page(shown: Callable[[], WebDriver]) -> None:
    browser = shown()
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    )
    try:
        shown()
        assert script(browser, "document.documentElement.scrollWidth") <= 390
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
