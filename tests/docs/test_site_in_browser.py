"""The site as Chromium shows it: light and dark, wide and on a phone, and its search."""

import functools
import http.server
import re
import threading

import pytest
from test_site import build, sources  # noqa: F401 — a fixture

pytestmark = pytest.mark.browser
WIDTHS_PX = (390, 1280)


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files and logs nothing."""

    def log_message(self, *_arguments):
        """Nothing."""


@pytest.fixture
def site(sources):  # noqa: F811 — the fixture
    """The address of the site, and its pages."""
    ran = build(sources)
    assert ran.returncode == 0, ran.stderr[-4000:]
    folder = sources / "site"
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        pages = sorted(str(page.parent.relative_to(folder)) for page in folder.rglob("index.html"))
        yield f"http://127.0.0.1:{server.server_port}", pages
        server.shutdown()


def opened(context, said):
    """A tab; ``said`` gets what its console calls an error, and requests that failed.

    What a page still loads when the tab goes on to the next one is aborted, and did not fail.
    """

    def failed(request):
        if request.failure != "net::ERR_ABORTED":
            said.append(f"{request.url}: {request.failure}")

    tab = context.new_page()
    tab.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.on("requestfailed", failed)
    return tab


def fits(tab):
    """Whether a page is no wider than the tab, once it is laid out at its new width."""
    from playwright.sync_api import TimeoutError as TimedOut

    shown = "document.documentElement"
    try:
        tab.wait_for_function(f"{shown}.scrollWidth <= {shown}.clientWidth", timeout=10_000)
    except TimedOut:
        return False
    return True


def test_each_page_fits_in_light_and_dark_and_on_a_phone(browser, site):
    address, pages = site
    assert len(pages) > 25
    backgrounds = {}
    for scheme in ("light", "dark"):
        context, said = browser.new_context(color_scheme=scheme), []
        tab = opened(context, said)
        for page in pages:
            tab.goto(f"{address}/{page}/")
            for width in WIDTHS_PX:
                tab.set_viewport_size({"width": width, "height": 900})
                assert fits(tab), f"{page} is too wide at {width} px"
            assert tab.locator("main h1").count() == 1, page
            broken = tab.evaluate(
                "[...document.images].filter(i => i.complete && !i.naturalWidth).map(i => i.src)"
            )
            assert broken == [], page
        assert said == []
        color = tab.evaluate("getComputedStyle(document.body).backgroundColor")
        backgrounds[scheme] = sum(map(int, re.findall(r"\d+", color)[:3]))
        context.close()
    assert backgrounds["dark"] < 200
    assert backgrounds["light"] > 600


def test_the_search_of_the_site_finds_what_one_looks_for(browser, site):
    address, _ = site
    context, said = browser.new_context(), []
    tab = opened(context, said)
    for words, page in (
        ("torchrun", "guides/one_long_run/"),
        ("exploration_budget", "how_it_works/search/"),
        ("zeus/energy_j", "reference/result_keys/"),
    ):
        tab.goto(address)
        tab.locator("input.md-search__input").first.click()
        tab.keyboard.type(words)
        found = tab.locator(f".md-search-result__link[href*='{page}']").first
        found.wait_for(state="attached", timeout=20_000)
    assert said == []
    context.close()
