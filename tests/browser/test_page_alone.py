"""The page when its server ends, and when it is back: nothing old looks new, and what was said stays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from selenium.webdriver.chrome.webdriver import WebDriver

from tests.browser.driving import Page
from tests.e2e.test_inference_service import save_tiny
from tests.http_calls import Http, http_running

GONE = "The server cannot be reached. Is it still running?"
QUESTION = {"prompt": "Hello", "sampling": {"maxTokens": 2}}


def asked(http: Http, times: int) -> None:
    for _ in range(times):
        http.call("POST", "/v1/namespaces/default:generate", QUESTION)


def test_a_server_that_ends_and_comes_back_is_seen(chromium: WebDriver, tmp_path: Path) -> None:
    tiny: dict[str, Any] = save_tiny(tmp_path / "tiny")

    def served(port: int) -> Any:
        return http_running(tmp_path / "data", engine=tiny, http={"port": port})

    with served(0) as http:
        page = Page(chromium, http.address)
        page.open("health")
        page.shows("main", "Started")
    page.shows("main [role=status]", f"{GONE} The figures below are those of")
    assert page.all(".page.stale .figure")
    port = int(http.address.rpartition(":")[2])
    with served(port) as http:
        page.shows("main [role=status]", "Started")
        page.until(lambda: not page.all(".stale"))
        asked(http, 3)
        page.open("injections")
        page.shows("main [role=status]", "3 answers")
    page.shows("main [role=status]", "Trying again")
    with served(port) as http:
        page.shows("main [role=status]", "No answers yet")
        assert page.all(".entry") == []
        asked(http, 1)
        page.until(lambda: [entry.text[:2] for entry in page.all(".entry")] == ["1."])
        chromium.get("about:blank")
    page.complaints()


def test_what_was_said_before_the_connection_broke_stays(page: Page) -> None:
    page.script(
        "window.fetch = async () => new Response(new ReadableStream({ start(pieces) {"
        '  pieces.enqueue(new TextEncoder().encode(\'data: {"text":"Once upon a time"}\\n\\n\'));'
        "  setTimeout(() => pieces.error(new TypeError('network error')), 200);"
        "} }));"
    )
    page.write("Question or text", "Tell me a story")
    page.press("Ask")
    page.until(lambda: page.all(".answer .notice") and not page.all("[aria-busy]"))
    for answer in page.all(".answer .answer-text"):
        assert answer.text.split("\n") == ["Once upon a time", GONE]
