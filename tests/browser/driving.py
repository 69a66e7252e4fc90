"""How tests use the page: by what a person sees, names of fields and buttons."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.chrome.webdriver import WebDriver
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

T = TypeVar("T")
_PATIENCE = 60  # seconds; only a failure takes so long


class Page:
    """The page in a browser."""

    def __init__(self, browser: WebDriver, address: str) -> None:
        self.browser, self.address = browser, address

    def open(self, path: str) -> None:
        """One of its pages, once it is drawn."""
        self.browser.get(f"{self.address}/#/{path}")
        self.until(lambda: self.all("main h1"))

    def until(self, found: Callable[[], T], patience: float = _PATIENCE) -> T:
        """Waits until it is true."""
        waiting: Any = WebDriverWait(
            self.browser, patience, 0.05, ignored_exceptions=[StaleElementReferenceException]
        )
        result: T = waiting.until(lambda _: found())
        return result

    def all(self, selector: str) -> list[WebElement]:
        """Everything that fits."""
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector: str) -> WebElement:
        """Waits for what fits."""
        return self.until(lambda: self.all(selector))[0]

    def text(self, selector: str) -> str:
        """What a person reads there."""
        return self.one(selector).text

    def shows(self, selector: str, text: str, patience: float = _PATIENCE) -> None:
        """Waits until a text can be read there."""
        self.until(lambda: any(text in found.text for found in self.all(selector)), patience)

    def field(self, label: str, within: str = "main") -> WebElement:
        """The input of a label."""
        for found in self.all(f"{within} label"):
            if found.text.strip() == label:
                name = found.get_attribute("for")
                return self.one(f"#{name}") if name else found.find_element(By.CSS_SELECTOR, "input")
        raise AssertionError(f"no field {label!r}")

    def write(self, label: str, text: str, within: str = "main") -> None:
        """Into a field, in place of what is there. By the browser, so that any character can be typed."""
        put = "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input', {bubbles: true}))"
        self.browser.execute_script(put, self.field(label, within), text)  # type: ignore[no-untyped-call]

    def press(self, name: str, within: str = "main") -> None:
        """A button, by its name."""

        def pressed() -> bool:
            for button in self.all(f"{within} button"):
                if button.accessible_name == name and button.is_displayed() and button.is_enabled():
                    self.browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", button)  # type: ignore[no-untyped-call]
                    button.click()
                    return True
            return False

        self.until(pressed)

    def ask(self, question: str) -> None:
        """In the playground; waits for both answers."""
        self.write("Question or text", question)
        self.press("Ask")
        self.answered()

    def answered(self) -> None:
        """Waits until nothing is being answered."""
        self.until(lambda: self.all(".answer .badge") and not self.all("[aria-busy]"))

    def script(self, code: str, *arguments: Any) -> Any:
        """What a script of the page returns."""
        return self.browser.execute_script(code, *arguments)  # type: ignore[no-untyped-call]

    def complaints(self) -> list[str]:
        """What the console said since it was last asked."""
        return [entry["message"] for entry in self.browser.get_log("browser")]  # type: ignore[no-untyped-call]
