"""What holds on every page: hostile facts stay text, nothing comes from elsewhere, all can be read and reached."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.driving import Page
from tests.http_calls import Http

PAGES = ("playground", "facts", "reviews", "injections", "edits", "diagnostics", "operations", "health")
HOSTILE = (
    "<img src=x onerror=\"window.hacked='img'\">",
    "<script>window.hacked='script'</script>",
    '"><svg onload="window.hacked=\'svg\'">',
    "javascript:window.hacked='link'",
    "{{constructor.constructor('window.hacked=1')()}}",
    "\u202egnp.exe",
)
QUESTION = f"What is {HOSTILE[0]} of {HOSTILE[0]} 0?"
CONTRAST = (Path(__file__).parent / "contrast.js").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def hostile(http: Http) -> Http:
    """A namespace full of what an attacker would store."""
    http.call("POST", "/v1/namespaces", {"displayName": HOSTILE[0]}, params={"namespaceId": "hostile"})
    revision = "0"
    for number, text in enumerate(HOSTILE):
        fact = {
            "subject": f"{text} {number}",
            "relation": text,
            "object": text,
            "aliases": [text],
            "source": text,
        }
        revision = http.call("POST", "/v1/namespaces/hostile/facts", fact)["namespaceRevision"]
    waiting = json.dumps(
        {"subject": HOSTILE[1], "relation": HOSTILE[2], "object": HOSTILE[0], "source": HOSTILE[4]}
    )
    given = {"format": "jsonl", "quarantine": "QUARANTINE_ALL", "importId": HOSTILE[3]}
    http.call("POST", "/v1/namespaces/hostile/facts:import", content=waiting, params=given)
    ask = {
        "prompt": QUESTION,
        "sampling": {"maxTokens": 4},
        "retrieval": {"minRevision": revision},
    }
    http.call("POST", "/v1/namespaces/hostile:generate", ask)
    return http


@pytest.fixture
def visited(page: Page, hostile: Http) -> Iterator[Page]:
    """The page on that namespace."""
    page.script("localStorage.setItem('interleaf-namespace', 'hostile')")
    page.browser.refresh()
    yield page
    page.script("localStorage.clear()")


def test_hostile_facts_are_text_and_nothing_else(visited: Page) -> None:
    visited.open("facts")
    visited.until(lambda: len(visited.all("tbody tr")) == len(HOSTILE))
    cells = [cell.text for cell in visited.all("tbody td:nth-child(3)")]
    assert cells[:3] == list(HOSTILE[:3])
    visited.one("tbody a").click()
    visited.shows(".timeline", HOSTILE[0])
    assert visited.field("Source").get_attribute("value") == HOSTILE[0]
    visited.open("playground")
    visited.ask(QUESTION)
    visited.shows(".citations", HOSTILE[0])
    visited.open("injections")
    visited.shows(".detail", HOSTILE[0])
    visited.open("reviews")
    visited.shows(".review", HOSTILE[1])
    assert visited.script("return window.hacked") is None
    assert (
        visited.script("return document.querySelectorAll('main img, main script, main [onload]').length") == 0
    )


def test_scripts_in_the_page_do_not_run_and_nothing_comes_from_elsewhere(page: Page, http: Http) -> None:
    page.script(
        "const inline = document.createElement('script'); inline.textContent = 'window.hacked = 1';"
        "document.body.append(inline);"
        "const image = '<img src=x onerror=\"window.hacked = 2\">';"
        "document.body.insertAdjacentHTML('beforeend', image);"
    )
    page.until(lambda: len(page.complaints()) >= 2)  # the browser says that it refused both
    assert page.script("return window.hacked") is None
    page.script("document.querySelector('body > img').remove()")
    page.complaints()
    for name in PAGES:
        page.open(name)
    fetched = page.script("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert len(fetched) > 10
    assert all(name.startswith(http.address) for name in fetched)


def test_everything_that_can_be_used_has_a_name(visited: Page) -> None:
    for name in PAGES:
        visited.open(name)
        found = visited.all("input, select, textarea, button, a, [tabindex='0'], svg, dialog")
        assert len(found) > 8
        assert [item.get_attribute("outerHTML") for item in found if not _named(item)] == [], name
        assert visited.script("return document.querySelectorAll('h1').length") == 1
        assert visited.script("return document.title").endswith("Interleaf")
        # The order of the keyboard is that of the page: nothing jumps the queue.
        order = visited.script(
            "return [...document.querySelectorAll('[tabindex]')].map((item) => item.tabIndex)"
        )
        assert all(number <= 0 for number in order), name
        ids = visited.script("return [...document.querySelectorAll('[id]')].map((item) => item.id)")
        assert len(ids) == len(set(ids)), name


def _named(item: Any) -> bool:
    return bool(item.accessible_name) or not item.is_displayed()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_all_text_can_be_read(visited: Page, theme: str) -> None:
    """Contrast by WCAG AA, as the browser computes the colours: 4.5, for large text 3."""
    visited.script("localStorage.setItem('interleaf-theme', arguments[0])", theme)
    visited.browser.refresh()
    for name in PAGES:
        visited.open(name)
        if name == "playground":
            visited.ask(QUESTION)
        if name == "injections":
            visited.shows(".detail", "Attention by layer")
        checked, faint = visited.script(CONTRAST)
        assert checked > 10
        assert faint == [], name


def test_the_measure_of_contrast_sees_what_is_faint(page: Page) -> None:
    """Power check: the same measure on a text that nobody can read."""
    page.script("document.querySelector('h1').style.color = 'color-mix(in srgb, var(--paper) 80%, black)'")
    _, faint = page.script(CONTRAST)
    assert [line.split(":")[0] for line in faint] == ["H1."]


def test_narrow_screens_need_no_sideways_scrolling(visited: Page) -> None:
    narrow = {"width": 360, "height": 780, "deviceScaleFactor": 1, "mobile": True}
    visited.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", narrow)
    try:
        for name in PAGES:
            visited.open(name)
            if name == "playground":
                visited.ask(QUESTION)
            widths = visited.script("return [document.documentElement.scrollWidth, innerWidth]")
            assert widths[0] <= widths[1] == 360, name
    finally:
        visited.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
