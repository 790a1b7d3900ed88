"""The report as an HTML page: what it says, and how Chromium shows it."""

import dataclasses
import html
import json
import math
import re

import pytest
from small_search import small_search

from zeus_ray.records.window_usage import WindowUsage, windows_from_json, windows_to_json
from zeus_ray.reporting.page.html_page import write_page
from zeus_ray.reporting.page.search_page import search_page
from zeus_ray.reporting.saving_sentences import changes_against_baseline
from zeus_ray.reporting.show import SearchReport

pytestmark = pytest.mark.browser

SECTIONS = [
    "The answer",
    "What to do now",
    "What was asked",
    "What the search took",
    "Details of the answer",
    "Pictures",
    "Trials",
    "Carbon or price",
    "How it was measured",
    "Hardware and software",
]


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    pytest.importorskip("plotly", reason="Plotly is not installed: pip install zeus-ray[report]")
    return small_search(tmp_path_factory.mktemp("log"))


@pytest.fixture(scope="module")
def path(report, tmp_path_factory):
    return write_page(tmp_path_factory.mktemp("page") / "new" / "report.html", search_page(report))


def opened(browser, path, **options):
    """A tab with the report, drawn; and what its console has said."""
    context = browser.new_context(offline=True, **options)
    tab, said = context.new_page(), []
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.goto(path.as_uri())
    tab.wait_for_selector(f"html[data-drawn={options.get('color_scheme', 'light')}]")
    return tab, said


def test_named_windows_have_a_section_of_their_own(report, browser, tmp_path):
    used = windows_from_json(
        windows_to_json({"forward": WindowUsage(energy_j=3.0, time_s=1.0, count=2)}, 4.0)
    )
    windowed = dataclasses.replace(
        report, trials=tuple(dataclasses.replace(trial, windows=used) for trial in report.trials)
    )
    page = write_page(tmp_path / "windows.html", search_page(windowed))
    tab, said = opened(browser, page, viewport={"width": 390, "height": 900})
    assert said == []
    section = tab.get_by_role("region", name="Table of named windows")
    assert "75.0 %" in section.inner_text()
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    tab.context.close()


def text_of(page):
    """The visible words of the page's source, without scripts."""
    body = re.sub(r"<(script|style)\b.*?</\1>", " ", page, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())


def test_it_says_the_same_sentences_as_the_terminal(report, path):
    text = text_of(path.read_text())
    for sentence in report.sentences:
        assert " ".join(sentence.split()) in text
    assert "580.95.05" in text
    assert "had no signal of carbon intensity or price" in text


def test_each_change_has_its_interval_and_the_experiment_is_named(report):
    named = dataclasses.replace(report, folder="/results/train_resnet_2026-01-01")
    text = text_of(search_page(named))
    for change in changes_against_baseline(report.savings):
        assert f"{change.short} {change.ends} 90 %: {change.interval}" in text
    for row in ("experiment train_resnet_2026-01-01", "default batch size 32", "seed 0"):
        assert row in text


def test_a_narrow_page_keeps_what_is_expected_apart_and_says_that_a_table_scrolls(browser, path):
    tab, _said = opened(browser, path, viewport={"width": 390, "height": 900})
    cells = tab.locator("figure[data-picture=picture-cost] .textpoint").all_text_contents()
    assert any(text.startswith("≈") for text in cells)
    assert not all(text.startswith("≈") for text in cells)
    assert tab.get_by_text("The table scrolls sideways.").is_visible()
    wide, _said = opened(browser, path, viewport={"width": 1200, "height": 900})
    assert not wide.get_by_text("The table scrolls sideways.").is_visible()
    tab.context.close()
    wide.context.close()


def test_it_is_one_file_that_loads_nothing(path):
    page = path.read_text()
    own = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    assert not re.search(r"""(?:src|href)=["'](?!#|data:)|@import|url\(""", own)
    assert "default-src 'none'" in page


def test_names_of_metrics_and_parameters_are_no_code(report):
    strange = dataclasses.replace(
        report,
        trials=tuple(
            dataclasses.replace(trial, metric_name="</script><b>", gpu="<img src=x>")
            for trial in report.trials
        ),
    )
    page = search_page(strange)
    assert "<img src=x>" not in page
    assert "</script><b>" not in page
    for data in re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', page):
        assert json.loads(data).keys() == {"light", "dark"}


ODD = {
    "nothing reached the target": {"target_reached": False, "cost_to_target": math.nan},
    "no GPU was measured": {"energy_j": math.nan, "measured_by": "none", "gpu": ""},
    "the limits are not known": {"power_limit_w": math.nan},
    "nothing is known": {
        **dict.fromkeys(("energy_j", "time_s", "cost", "cost_to_target", "metric", "epochs"), math.nan),
        "target_reached": False,
    },
}


@pytest.mark.parametrize("stored", [True, False])
@pytest.mark.parametrize("name", ODD)
def test_what_is_missing_is_said_and_the_rest_is_shown(report, name, stored, browser, tmp_path):
    trials = tuple(dataclasses.replace(trial, **ODD[name]) for trial in report.trials)
    odd = SearchReport(trials, best=report.best, found=report.found if stored else None)
    page = search_page(odd)
    text = text_of(page)
    assert all(" ".join(sentence.split()) in text for sentence in [*odd.sentences, *odd.not_drawn])
    tab, said = opened(browser, write_page(tmp_path / "odd.html", page))
    assert said == []
    tab.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 390])
def test_chromium_draws_it_at_every_width_and_in_both_schemes(browser, path, scheme, width, tmp_path):
    tab, said = opened(browser, path, color_scheme=scheme, viewport={"width": width, "height": 900})
    assert said == []
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    for figure in tab.query_selector_all("figure"):
        box = figure.query_selector(".plot .main-svg").bounding_box()
        assert box["width"] > 250
        assert box["height"] > 250
        assert figure.query_selector_all(".plot .scatterlayer path, .plot .heatmaplayer image")
    red, green, blue = map(
        int, re.findall(r"\d+", tab.evaluate("getComputedStyle(document.body).backgroundColor"))[:3]
    )
    assert (red + green + blue > 600) == (scheme == "light")
    shot = tab.screenshot(path=tmp_path / "page.png", full_page=True)
    assert len(shot) > 50_000
    tab.context.close()


def test_another_colour_scheme_draws_the_pictures_again(browser, path):
    tab, said = opened(browser, path, color_scheme="light")
    colour = "getComputedStyle(document.querySelector('.plot .xtitle')).fill"
    before = tab.evaluate(colour)
    tab.emulate_media(color_scheme="dark")
    tab.wait_for_selector("html[data-drawn=dark]")
    assert tab.evaluate(colour) != before
    assert said == []
    tab.context.close()


def test_there_are_landmarks_and_headings_for_screen_readers(browser, path):
    tab, _said = opened(browser, path)
    for role in ("banner", "navigation", "main", "contentinfo"):
        assert tab.get_by_role(role).count() == 1, role
    assert tab.get_by_role("heading", level=1).all_inner_texts() == ["Report of a search"]
    assert tab.get_by_role("heading", level=2).all_inner_texts() == SECTIONS
    assert tab.get_by_role("region", name="Table of trials").count() == 1
    pictures = tab.locator("figure > [role=img]").all()
    assert len(pictures) == 4
    assert all(len(picture.get_attribute("aria-label")) > 40 for picture in pictures)
    assert tab.get_by_role("columnheader").count() >= 7
    assert tab.locator("html").get_attribute("lang") == "en"
    assert "SIMULATED" in tab.get_by_role("note").inner_text()
    ids = tab.evaluate("[...document.querySelectorAll('[id]')].map((one) => one.id)")
    assert len(ids) == len(set(ids))
    tab.context.close()


def test_everything_is_reached_with_the_keyboard(browser, path):
    tab, _said = opened(browser, path)
    label = "(({activeElement: at}) => (at.ariaLabel || at.textContent).trim())(document)"
    reached = []
    while not reached or reached[-1] != "Table of trials":
        assert len(reached) < 50
        tab.keyboard.press("Tab")
        reached.append(tab.evaluate(label))
    assert reached[0] == "Skip to the content"
    assert set(SECTIONS) <= set(reached)
    assert reached.count("The values as text") == 4
    tab.context.close()


def test_the_mouse_shows_a_trial_in_full(browser, path):
    tab, _said = opened(browser, path, viewport={"width": 1200, "height": 900})
    plot = tab.locator("figure[data-picture=picture-pareto] .plot")
    plot.scroll_into_view_if_needed()
    marker = plot.locator(".scatterlayer .points path").first.bounding_box()
    tab.mouse.move(marker["x"] + marker["width"] / 2, marker["y"] + marker["height"] / 2)
    tab.wait_for_selector(".hoverlayer .hovertext")
    assert "batch size" in plot.locator(".hoverlayer").text_content()
    tab.context.close()
