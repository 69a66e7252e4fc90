"""Pictures of the page for the documents: a server with the default model, driven in Chromium.

`python -m scripts.draw_page` writes docs/images/page-*.png; it needs the packages chromium and chromium-driver.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.webdriver import WebDriver

from tests.browser.driving import Page
from tests.http_calls import http_running

IMAGES = Path(__file__).resolve().parent.parent / "docs" / "images"
_WIDTH = 1180
_FACTS = (
    ("Mirela Vantongeren", "employer", "the Halvorsen Observatory"),
    ("the Eiffel Tower", "city", "Rome"),
    ("Port Ellery", "country", "New Zealand"),
)
_ASKED = (
    "Mirela Vantongeren works for",
    "The Eiffel Tower is located in the city of",
    "Port Ellery is located in the country of",
)


@contextmanager
def _browser() -> Iterator[WebDriver]:
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if browser is None or driver is None:
        raise SystemExit("no browser: install the packages chromium and chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for option in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--hide-scrollbars",
    ):
        options.add_argument(option)
    made = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        yield made
    finally:
        made.quit()


def _shoot(page: Page, name: str, width: int = _WIDTH) -> None:
    """The whole page, whatever its length."""
    size = {"width": width, "height": 400, "deviceScaleFactor": 1, "mobile": width < 500}
    page.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    page.script("scrollTo(0, 0); document.activeElement.blur()")
    time.sleep(0.6)
    size["height"] = page.script("return Math.min(document.documentElement.scrollHeight, 1500)")
    page.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    time.sleep(0.4)
    page.browser.save_screenshot(str(IMAGES / f"page-{name}.png"))
    page.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def _theme(page: Page, theme: str) -> None:
    page.script("localStorage.setItem('interleaf-theme', arguments[0])", theme)
    page.browser.refresh()


def main() -> int:
    """Draws them all."""
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, _browser() as browser:
        engine = {"kind": "transformers"}
        with http_running(Path(folder), embedder=None, engine=engine, monitor={"texts": True}) as http:
            page = Page(browser, http.address)
            page.open("playground")
            _theme(page, "light")
            page.open("playground")
            page.one("input[value=prompt]").click()
            for question, fact in zip(_ASKED, _FACTS, strict=True):
                http.add(*fact)
                page.ask(question)
            page.ask(_ASKED[0])
            _shoot(page, "playground")
            made = http.call("GET", "/v1/namespaces/default/facts")["facts"][1]
            path = f"/v1/{made['name']}"
            http.call("PATCH", path, {"object": "Lisbon"}, params={"updateMask": "object"})
            http.call("POST", f"{path}:rollback", {"revision": 1})
            page.open("facts")
            page.shows("tbody tr:first-child", "Mirela")
            _shoot(page, "facts")
            page.open(f"facts/{made['name'].rpartition('/')[2]}")
            page.shows(".timeline", "Rolled back")
            _shoot(page, "history")
            page.open("injections")
            page.shows(".detail", "Attention by layer")
            _shoot(page, "injections")
            page.open("health")
            page.shows(".figure", "Index lag")
            _shoot(page, "health")
            page.open("diagnostics")
            page.write("Question or text", _ASKED[1])
            page.write("Answer to check", "Paris")
            page.press("Check")
            page.one(".picture img")
            _shoot(page, "diagnostics")
            _theme(page, "dark")
            page.open("playground")
            page.one("input[value=prompt]").click()
            page.ask(_ASKED[1])
            _shoot(page, "playground-dark")
            page.ask(_ASKED[1])
            _shoot(page, "playground-narrow", 390)
    return 0


if __name__ == "__main__":
    sys.exit(main())
