"""A real server and a real Chromium without a window. Nothing here runs where no browser is installed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.webdriver import WebDriver

from tests.browser.driving import Page
from tests.e2e.test_inference_service import save_tiny
from tests.http_calls import Http, http_running

_OPTIONS = (
    "--headless=new",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--hide-scrollbars",
    "--window-size=1200,900",
)


@pytest.fixture(scope="session")
def chromium() -> Iterator[WebDriver]:
    """The browser, with what its console says."""
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if browser is None or driver is None:
        pytest.skip("no browser: install the packages chromium and chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for option in (*_OPTIONS, *(["--no-sandbox"] if os.geteuid() == 0 else [])):
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    made = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield made
    made.quit()


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory, chromium: WebDriver) -> Iterator[Http]:
    """A server with a tiny model that remembers texts. The browser is asked for first: without it, nothing starts."""
    tiny: dict[str, Any] = save_tiny(tmp_path_factory.mktemp("tiny"))
    with http_running(tmp_path_factory.mktemp("data"), engine=tiny, monitor={"texts": True}) as made:
        yield made


@pytest.fixture
def page(chromium: WebDriver, http: Http) -> Iterator[Page]:
    """The page, freshly opened. At the end the console must have said nothing."""
    chromium.get("about:blank")
    chromium.get_log("browser")  # type: ignore[no-untyped-call]
    opened = Page(chromium, http.address)
    opened.open("playground")
    opened.script("localStorage.clear()")
    opened.browser.refresh()
    opened.open("playground")
    yield opened
    assert opened.complaints() == []
