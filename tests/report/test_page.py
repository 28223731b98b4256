"""The page in a real browser, without a network."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from kfac_cli.report.command import main
from kfac_cli.report.contents import contents
from kfac_cli.report.figures import Figure, Line, Panel, Style
from kfac_cli.report.page import page as page_of
from kfac_cli.report.runs import load_runs
from tests.report.folders import settings, write_run

CHROMIUM = next(
    (
        found
        for name in ("chromium", "chromium-browser", "google-chrome")
        if (found := shutil.which(name))
    ),
    None,
)

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="needs Chromium (apt-get install chromium) for the page of a report"
)

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

HOSTILE = '<img src=x onerror="window.hacked=1">'
SCRIPT = "</script><script>window.hacked=1</script>"

PHONE, LAPTOP = {"width": 390, "height": 844}, {"width": 1280, "height": 800}


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A report on three groups of three seeds, and on runs that went wrong or have odd names."""
    folder = tmp_path_factory.mktemp("runs")
    for seed in range(3):
        errors = [error * (1 + seed / 20) for error in (30, 9, 4, 2)]
        write_run(folder / f"k{seed}", settings(seed=seed), errors=errors)
        for rate in (0.1, 0.01):
            given = settings("adam", seed=seed, optimizer__arguments__lr=rate)
            slower = [2 * error + rate for error in errors]
            write_run(folder / f"a{seed}-{rate}", given, errors=slower)
    lost = settings("nesterov_sgd")
    write_run(folder / "lost", lost, errors=(40.0,), status="diverged", reason=HOSTILE)
    write_run(folder / "far", settings(seed=7, l2=0), device_name=f"{SCRIPT} {{{{ 7 * 7 }}}}")
    named = settings("adam", optimizer__name=f"{HOSTILE} %{{x}} $\\alpha$ {SCRIPT}")
    write_run(folder / "<b>odd & name", named, data="b" * 64)
    (write_run(folder / "damaged") / "summary.json").write_text(SCRIPT)
    output = tmp_path_factory.mktemp("output")
    assert main([str(folder), f"output={output}"]) == 0
    return output / "report.html"


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def opened(browser, report):
    """Pages by the size of the screen, and what they logged or asked of the network."""
    pages, said = {}, []
    for name, size in (("laptop", LAPTOP), ("phone", PHONE)):
        context = browser.new_context(viewport=size, offline=True)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on(
            "request",
            lambda request: said.append(request.url) if "http" in request.url[:5] else None,
        )
        page.goto(report.as_uri())
        page.wait_for_function(
            "[...document.querySelectorAll('.plot')].every(e => e.querySelector('.main-svg'))"
        )
        pages[name] = page
    return pages, said


@pytest.fixture
def laptop(opened):
    return opened[0]["laptop"]


def rows(page, table):
    """The text of each visible row of a table."""
    return page.eval_on_selector_all(
        f"#{table} tbody tr", "rows => rows.filter(r => !r.hidden).map(r => r.innerText)"
    )


def test_nothing_is_logged_and_nothing_asked_of_the_network(opened):
    assert opened[1] == []


@pytest.mark.parametrize("screen", ["laptop", "phone"])
def test_every_figure_is_drawn(opened, screen):
    """Each has lines, points or bars, inside an area of a sensible height."""
    page = opened[0][screen]
    counts = page.eval_on_selector_all(
        ".plot",
        "all => all.map(e => e.querySelectorAll('.scatterlayer path, .barlayer path').length)",
    )
    assert len(counts) >= 14
    assert min(counts) > 0
    heights = page.eval_on_selector_all(".plot", "all => all.map(e => e.clientHeight)")
    assert all(150 <= height <= 700 for height in heights)


@pytest.mark.parametrize("screen", ["laptop", "phone"])
def test_nothing_scrolls_sideways(opened, screen):
    page = opened[0][screen]
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    if screen == "phone":
        wide = page.eval_on_selector_all(
            "body *",
            "all => all.filter(e => e.getBoundingClientRect().right > innerWidth + 1"
            " && !e.closest('svg') && !e.closest('.hidden')).map(e => e.outerHTML.slice(0, 80))",
        )
        assert wide == []


def test_the_axes_switch(laptop):
    figure = laptop.locator("[data-figure=curves]")
    plot = figure.locator(".plot").first
    title = "e => e.layout.xaxis.title.text"
    assert plot.evaluate(title) == "iterations"
    last = "e => Math.max(...e.data.find(t => t.name === 'adam lr=0.1').x)"
    assert plot.evaluate(last) == 100
    figure.get_by_label("cases", exact=True).check()
    assert plot.evaluate(title) == "cases"
    assert plot.evaluate(last) == 10_000
    assert plot.evaluate("e => e.layout.yaxis.type") == "log"
    figure.locator("[data-log=y]").uncheck()
    figure.locator("[data-log=x]").check()
    assert plot.evaluate("e => [e.layout.xaxis.type, e.layout.yaxis.type]") == ["log", "linear"]


def test_a_group_can_be_hidden(laptop):
    figure = laptop.locator("[data-figure=inside]")
    plot = figure.locator(".plot").first
    before = plot.evaluate("e => e.data.length")
    figure.locator("label", has_text="kfac_tridiag").first.click()
    assert plot.evaluate("e => e.data.length") < before
    figure.locator("label", has_text="kfac_tridiag").first.click()
    assert plot.evaluate("e => e.data.length") == before


def test_tables_sort_by_numbers(laptop):
    button = laptop.locator("#runs th button", has_text="training error")
    values = "all => all.map(e => Number(e.dataset.value))"
    cells = "#runs td[data-label='training error']"
    button.click()
    rising = laptop.eval_on_selector_all(cells, values)
    assert rising == sorted(rising)
    button.click()
    assert laptop.eval_on_selector_all(cells, values) == sorted(rising, reverse=True)
    assert len(rising) == 12


def test_tables_filter_by_words(laptop):
    place = laptop.locator(".table", has=laptop.locator("#runs"))
    place.get_by_role("searchbox").fill("adam 0.01")
    assert len(rows(laptop, "runs")) == 3
    assert place.locator("[data-count]").inner_text() == "3 of 12"
    place.get_by_role("searchbox").fill("")
    assert len(rows(laptop, "runs")) == 12


def test_long_tables_are_shown_on_demand(browser, tmp_path):
    for number in range(45):
        write_run(tmp_path / f"runs/{number}", settings(seed=number), errors=(9.0,), every=5)
    assert main([str(tmp_path / "runs"), f"output={tmp_path / 'out'}"]) == 0
    page = browser.new_page()
    page.goto((tmp_path / "out" / "report.html").as_uri())
    assert len(rows(page, "runs")) == 40
    page.get_by_role("button", name="Show all 45 rows").click()
    assert len(rows(page, "runs")) == 45
    page.close()


def test_names_from_elsewhere_are_text(opened):
    for page in opened[0].values():
        assert page.evaluate("window.hacked") is None
        assert page.locator("img[src=x]").count() == 0
        text = page.locator("body").inner_text()
        assert HOSTILE in text and "{{ 7 * 7 }}" in text
        assert "<b>odd & name" in text
    titles = opened[0]["laptop"].eval_on_selector_all(
        "[data-figure=time] .ytick text", "all => all.map(e => e.textContent)"
    )
    assert any(title.startswith("<img src=x") for title in titles)


def test_runs_are_shown_as_what_they_are(laptop):
    shown = "\n".join(rows(laptop, "runs"))
    assert "diverged: <img" in shown
    assert "other machine" in shown and "other data" in shown
    assert "summary.json: is damaged" in laptop.locator(".complaints").inner_text()


def test_a_line_of_very_many_points_is_drawn(browser, tmp_path):
    write_run(tmp_path / "run")
    compared = contents(load_runs([tmp_path])[0])
    many = np.arange(1.0, 300_001)
    panel = Panel("p", "p", {"iterations": (Line("k", Style("#222222"), many, many),)}, y_log=True)
    figure = Figure("curves", "Curves", (panel,), ("iterations",))
    part = replace(compared.parts[0], curves=figure)
    (tmp_path / "page.html").write_text(page_of(replace(compared, parts=(part,)), []))
    page = browser.new_page()
    page.goto((tmp_path / "page.html").as_uri())
    assert page.locator("[data-figure=curves] .main-svg").count() > 0
    page.close()


def test_a_figure_that_cannot_be_drawn_leaves_the_rest(browser, report, tmp_path):
    text = report.read_text()
    assert text.count('"name": "curves"') == 1
    (tmp_path / "page.html").write_text(text.replace('"name": "curves"', '"name": "absent"'))
    page = browser.new_page()
    page.goto((tmp_path / "page.html").as_uri())
    assert page.locator("[data-figure=curves] .main-svg").count() == 0
    assert page.locator("[data-figure=inside] .main-svg").count() > 0
    place = page.locator(".table", has=page.locator("#runs"))
    place.get_by_role("searchbox").fill("adam 0.01")
    assert len(rows(page, "runs")) == 3
    page.close()
