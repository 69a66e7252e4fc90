"""Edits of weights from the page: computed, looked at, applied, taken back; methods compared; studies with pictures."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from selenium.webdriver.chrome.webdriver import WebDriver

from tests.browser.driving import Page
from tests.http_calls import Http, http_running
from tests.tiny import tiny_folder

LONG = 240.0  # seconds: what is computed in a process of its own, on a machine that has others to serve
pytestmark = pytest.mark.timeout(900)
FACT = {"subject": "Tom Berg", "relation": "name", "object": "Oslo"}
QUICK = '{"layer": 1, "steps": 40, "rate": 0.02}'
ASKED = {
    "prompt": "the name of Tom Berg",
    "retrieval": {"disabled": True},
    "continuations": [" Oslo"],
}


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory, chromium: WebDriver) -> Iterator[Http]:
    """A tiny model whose weights may be edited, and studied, from here."""
    model = str(tiny_folder(tmp_path_factory.mktemp("models") / "tiny"))
    with http_running(
        tmp_path_factory.mktemp("data"),
        engine={"kind": "transformers", "model": model, "encoder": "none"},
        edits={"work": True, "all_namespaces": True, "key_tokens": 1000},
        circuits={"work": True},
    ) as made:
        yield made


def score(http: Http) -> float:
    """The target's log-probability with the weights as they are."""
    found = http.call("POST", "/v1/namespaces/default:score", ASKED)
    return float(found["scores"][0]["logProbability"])


def describe(page: Page) -> None:
    page.open("edits")
    page.write("Text to continue", ASKED["prompt"])  # type: ignore[arg-type]
    page.write("Subject in it", "Tom Berg")
    page.write("It says now", "Rome")
    page.write("It shall say", "Oslo")
    page.script("document.querySelector('.options').open = true")
    page.write("Other ways to ask", "people call Tom Berg\n\n")
    page.write("What should stay", "the name of Ida Lund")
    page.script("const chosen = document.querySelector('main select'); chosen.value = 'ft_m';")
    page.write("Settings", QUICK)


def test_an_edit_is_computed_looked_at_applied_and_taken_back(page: Page, http: Http) -> None:
    plain = score(http)
    page.open("edits")
    page.shows("main", "There are none.")
    describe(page)
    page.press("Compute")
    page.shows(".edit .badge", "computed", LONG)
    focused = page.browser.switch_to.active_element
    assert focused.text == page.text(".edit h2")  # where the work was, not lost
    page.shows(".edit", "the name of Tom Berg Oslo")
    assert score(http) == plain  # computing changes nothing

    page.one(".edit summary").click()
    page.until(lambda: len(page.all(".edit tbody tr")) >= 5)
    kinds = {cell.text for cell in page.all(".edit tbody td:first-child")}
    assert {"edited", "paraphrase", "neighbour", "absent", "shuffled"} <= kinds
    page.shows(".edit", "What the model says")

    page.press("Apply")
    page.shows(".edit .badge", "applied")
    page.shows(".edit .live", "Oslo, as the engine said it")
    assert score(http) > plain + 1

    page.press("Take back")
    page.shows(".edit .badge", "computed")
    assert score(http) == plain  # to the byte

    http.call("POST", "/v1/namespaces", {}, params={"namespaceId": "neighbours"})
    page.complaints()
    page.press("Apply")
    page.shows(".edit .offer", "Apply for all namespaces")
    assert all("400" in line for line in page.complaints())
    assert score(http) == plain
    page.press("Apply for all namespaces")
    page.shows(".edit .badge", "applied")
    page.press("Take back")
    page.shows(".edit .badge", "computed")
    page.press("Forget")
    page.shows("main", "There are none.")
    assert http.call("GET", "/v1/edits")["edits"] == []


def test_what_an_edit_needs_is_asked_for(page: Page, http: Http) -> None:
    page.open("edits")
    page.press("Compute")
    assert page.script("return document.activeElement.validity.valueMissing") is True
    describe(page)
    page.write("Settings", "{")
    page.press("Compute")
    page.shows("#toasts", "settings")
    assert [line for line in page.complaints() if "400" not in line] == []
    assert page.all(".progress") == []
    assert http.call("GET", "/v1/edits")["edits"] == []


def test_a_study_leaves_its_picture_where_it_was_asked_for(page: Page, http: Http) -> None:
    page.open("diagnostics")
    page.write("Question or text", "the name of Tom Berg")
    page.write("Answer to check", "Oslo")
    page.write("Subject", "Tom Berg")
    page.press("What every head does")
    page.shows(".study h2", "What every head does", LONG)
    page.until(lambda: page.script("return document.querySelector('.study img').naturalWidth") > 100)
    assert page.one(".study img").get_attribute("alt")
    page.press("The circuit")
    page.shows(".study:first-child h2", "The circuit", LONG)
    page.until(lambda: page.script("return document.querySelector('.study img').naturalWidth") > 100)
    assert page.all(".progress") == []
    http.call("POST", "/v1/namespaces/default/facts", FACT)
    page.write("Facts", "1")
    page.press("Where a tuned copy keeps facts")
    page.shows(".study:first-child h2", "Where a tuned copy keeps facts", LONG)
    page.until(lambda: page.script("return document.querySelector('.study img').naturalWidth") > 100)
    page.open("operations")
    page.shows(".operation .badge", "done")
    assert page.all(".operation .picture img")


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_methods_compete_on_the_page(page: Page) -> None:
    describe(page)
    page.press("Compare methods")
    page.shows(".comparison h2", "The methods compared", 3000)
    page.until(lambda: page.script("return document.querySelector('.comparison img').naturalWidth") > 100)
