"""What people do on the page: add a fact, ask, see the citation, correct, roll back, watch, import."""

from __future__ import annotations

from pathlib import Path

from selenium.webdriver.chrome.webdriver import WebDriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from service.access.keys import new_key
from tests.browser.driving import Page
from tests.http_calls import Http, http_running

ANNA = "Who is the employer of Anna Keller?"


def add(page: Page, subject: str, relation: str, obj: str) -> None:
    for label, text in (("Subject", subject), ("Relation", relation), ("Object", obj)):
        page.write(label, text, ".add")
    page.press("Add and ask again")


def citation(page: Page) -> str:
    return page.text(".citations li:first-child .triple-text")


def test_a_fact_is_added_cited_corrected_and_rolled_back(page: Page) -> None:
    page.write("Question or text", ANNA)
    add(page, "Anna Keller", "employer", "Werft")
    page.answered()
    page.shows(".answer .badge", "Grounded")
    assert citation(page) == "Anna Keller · employer · Werft"
    marks = page.all(".answer mark.token")
    assert marks
    assert "of attention on fact 1" in (marks[0].get_attribute("title") or "")
    assert page.all(".answer")[0].find_elements(By.CSS_SELECTOR, "mark, .badge") == []  # the model alone
    first = page.all(".answer .answer-text")[1].text
    page.one(".weighing summary").click()
    page.shows(".weighing tbody tr:first-child", "shown to the model")
    page.shows(".weighing", "is needed")

    page.press("Correct")
    page.script("arguments[0].value = 'Hafenwerk'", page.one("form.correct input"))
    page.one("form.correct input").send_keys(Keys.ENTER)
    page.until(lambda: citation(page) == "Anna Keller · employer · Hafenwerk")
    page.answered()
    assert page.browser.switch_to.active_element == page.all(".answer")[1]

    page.one(".citations a").click()
    page.shows("h1", "A fact")
    page.shows(".timeline li:first-child", "2. Corrected")
    page.press("Roll back to revision 1")
    page.shows(".timeline li:first-child", "3. Rolled back")
    assert page.field("Object").get_attribute("value") == "Werft"

    page.open("playground")
    page.ask(ANNA)
    assert citation(page) == "Anna Keller · employer · Werft"
    assert page.all(".answer .answer-text")[1].text == first

    page.press("Delete")
    page.until(lambda: "No facts" in page.all(".answer")[1].text)
    page.answered()
    texts = [found.text for found in page.all(".answer .answer-text")]
    assert texts[0] == texts[1]
    page.shows(".before", "Before the last change")


def test_what_was_not_touched_stays_as_it_is(page: Page, http: Http) -> None:
    """A name may hold what separates names elsewhere."""
    said = {
        "subject": "Anna Rossi",
        "relation": "band",
        "object": "Flinte",
        "aliases": ["AC|DC", "Acca Dacca"],
    }
    fact = http.call("POST", "/v1/namespaces/default/facts", said)
    page.open(f"facts/{fact['name'].rpartition('/')[2]}")
    page.press("Save")
    page.shows("body", "Nothing has changed.")
    page.write("Object", "Kugel")
    page.press("Save")
    page.shows(".timeline li:first-child", "2. Corrected")
    changed = http.call("GET", f"/v1/{fact['name']}")
    assert (changed["object"], changed["aliases"]) == ("Kugel", ["AC|DC", "Acca Dacca"])
    page.write("Other names, one a line", "AC|DC\nThe Current")
    page.press("Save")
    page.shows(".timeline li:first-child", "3. Corrected")
    assert http.call("GET", f"/v1/{fact['name']}")["aliases"] == ["AC|DC", "The Current"]


def test_a_contradiction_is_offered_to_be_replaced(page: Page, http: Http) -> None:
    http.add("Tom Berg", "city", "Kiel")
    add(page, "Tom Berg", "city", "Bremen")
    page.shows(".offer", "Replace it")
    assert [line for line in page.complaints() if "409" not in line] == []
    page.press("Replace it")
    page.until(lambda: not page.all(".offer .notice"))

    def objects() -> list[str]:
        found = http.call("GET", "/v1/namespaces/default/facts", params={"filter": 'subject = "Tom Berg"'})
        return [fact["object"] for fact in found["facts"]]

    page.until(lambda: objects() == ["Bremen"])


def test_the_keyboard_is_enough(page: Page) -> None:
    page.browser.switch_to.active_element.send_keys(Keys.TAB)
    assert page.browser.switch_to.active_element.text == "Skip to content"
    field = page.field("Question or text")
    field.send_keys("Hello there")
    field.send_keys(Keys.CONTROL, Keys.ENTER)
    page.answered()
    reached = set()
    for _ in range(40):
        page.browser.switch_to.active_element.send_keys(Keys.TAB)
        reached.add(page.browser.switch_to.active_element.accessible_name)
    assert {"Ask", "Add and ask again", "Subject", "Relation", "Object"} <= reached


def test_facts_are_found_imported_deleted_and_brought_back(page: Page, http: Http, tmp_path: Path) -> None:
    http.call("POST", "/v1/namespaces", {}, params={"namespaceId": "files"})
    page.script("localStorage.setItem('interleaf-namespace', 'files')")
    page.browser.refresh()
    page.open("facts")
    page.shows("main", "There are no facts here yet")
    file = tmp_path / "people.csv"
    rows = [f"Person {number},city,Bremen" for number in range(60)]
    file.write_text("\n".join(["subject,relation,object", *rows, ",broken,row"]), encoding="utf-8")
    page.field("CSV, JSONL or N-Triples").send_keys(str(file))
    page.press("Import")
    page.shows("main", "Read 61 rows: 60 written, 0 unchanged, 1 refused.")
    page.shows("main", "Line 62: subject: must not be empty")
    page.until(lambda: len(page.all("tbody tr")) == 50)
    page.write("Or filter exactly", 'subject = "Person 7"')
    page.press("More")  # of the list that is shown
    page.until(lambda: len(page.all("tbody tr")) == 60)
    page.press("Find")
    page.until(lambda: len(page.all("tbody tr")) == 1)
    page.one("tbody a").click()
    page.press("Delete")
    page.shows(".timeline li:first-child", "2. Deleted")
    page.press("Bring back")
    page.shows(".timeline li:first-child", "3. Brought back")
    page.open("facts")
    page.write("Search by meaning", "city of Person 7")
    page.press("Find")
    page.shows("tbody tr:first-child", "Person 7")
    page.write("Or filter exactly", 'subject = "Person 8"')
    page.press("Find")
    page.shows("main", "A search is not filtered")
    for name, said in (("more.ndjson", "Read 1 rows: 1 written"), ("more.txt", "")):
        (tmp_path / name).write_text('{"subject": "Person 60", "relation": "city", "object": "Kiel"}')
        page.field("CSV, JSONL or N-Triples").send_keys(str(tmp_path / name))
        page.press("Import")
        page.shows("main", said) if said else page.shows("#toasts", "its name must end in .csv")


def test_addresses_that_lead_nowhere_say_so(page: Page) -> None:
    page.open("nowhere")
    assert page.text("h1") == "No such page"
    page.open("facts/%E0%A4%A")
    page.shows("main .notice", "")
    assert [line for line in page.complaints() if "400" not in line and "404" not in line] == []


def test_injections_appear_by_themselves(page: Page, http: Http) -> None:
    made = http.add("Ida Stern", "city", "Lübeck")
    page.open("injections")
    ask = {
        "prompt": "What is the city of Ida Stern?",
        "sampling": {"maxTokens": 4},
        "retrieval": {"minRevision": made["namespaceRevision"]},
    }
    http.call("POST", "/v1/namespaces/default:generate", ask)
    page.shows(".entry .prompt", "What is the city of Ida Stern?")
    page.until(lambda: [entry for entry in page.all(".entry") if "Ida Stern" in entry.text])[0].click()
    page.shows(".detail .triple-text", "Ida Stern · city · Lübeck")
    chosen = page.browser.switch_to.active_element
    assert "Ida Stern" in chosen.text
    assert chosen.get_attribute("aria-pressed") == "true"
    http.call("POST", "/v1/namespaces/default:generate", {**ask, "prompt": "Something else"})
    page.shows(".entry .prompt", "Something else")
    assert page.browser.switch_to.active_element == chosen
    assert [cell.text for cell in page.all(".heatmap thead th")] == ["Layer", "1", "3"]
    assert "%" in page.one(".heatmap td").get_attribute("title")
    assert page.all(".columns rect")
    page.shows(".stage-figures", "retrieval")


def test_an_answer_is_checked_for_being_made_up(page: Page, http: Http) -> None:
    http.add("Nils Holm", "city", "Oslo")
    page.open("diagnostics")
    page.write("Question or text", "The city of Nils Holm is")
    page.write("Answer to check", "Rome")
    page.write("Right answer", "Oslo")
    page.write("Subject", "Nils Holm")
    page.press("Check")
    page.shows(".verdict", "as you said")
    assert page.text(".verdict .badge")
    assert len(page.text(".verdict .answer-text")) > 20
    assert page.script("return document.querySelector('.picture img').naturalWidth") > 100
    assert "Oslo" in page.one(".picture img").get_attribute("alt")


def test_operations_and_health_are_shown(page: Page) -> None:
    page.open("operations")
    page.press("Rebuild the index of default")
    page.shows(".operation .badge", "done")
    page.shows(".operation", "facts total")
    page.press("Forget")
    page.shows("main", "There are none.")
    page.open("health")
    page.shows(".figure", "Index lag")
    page.shows("main", "with model and encoder")
    page.until(lambda: len(page.all("table")[1].find_elements(By.CSS_SELECTOR, "tbody tr")) == 5)
    page.open("edits")
    page.shows("main", "There are none.")


def test_a_key_is_asked_for_once(chromium: WebDriver, tmp_path: Path) -> None:
    key = new_key(tmp_path / "keys", "anna")
    with http_running(tmp_path / "data", security={"api_keys_file": tmp_path / "keys"}) as http:
        page = Page(chromium, http.address)
        chromium.get(f"{http.address}/#/facts")
        page.until(lambda: page.one("#key-dialog").is_displayed())
        assert not page.one("#key-problem").is_displayed()
        page.one("#key-input").send_keys("wrong", Keys.ENTER)
        page.shows("#key-problem", "That key is not known.")
        page.one("#key-input").send_keys(key, Keys.ENTER)
        page.shows("main", "There are no facts here yet")
        page.browser.refresh()
        page.shows("main", "There are no facts here yet")
        assert key not in chromium.page_source
        chromium.get("about:blank")
    assert all("401" in line for line in page.complaints())


def test_a_key_for_one_namespace_is_enough(chromium: WebDriver, tmp_path: Path) -> None:
    admin = new_key(tmp_path / "keys", "root", ["read,write,admin@*"])
    key = new_key(tmp_path / "keys", "films", ["read,write,ops@films"])
    with http_running(tmp_path / "data", security={"api_keys_file": tmp_path / "keys"}) as http:
        bearer = {"authorization": f"Bearer {admin}"}
        http.call("POST", "/v1/namespaces", {}, params={"namespaceId": "films"}, headers=bearer)
        assert http.call("GET", "/v1/models", headers={"authorization": f"Bearer {key}"})["data"] == []
        page = Page(chromium, http.address)
        chromium.get(f"{http.address}/#/facts")
        page.until(lambda: page.one("#key-dialog").is_displayed())
        page.one("#key-input").send_keys(key)
        page.one("#key-namespace").send_keys("films", Keys.ENTER)
        page.shows("main", "There are no facts here yet")
        page.open("injections")
        page.shows("main", "No answers yet")
        page.open("health")
        page.shows("tbody th", "films")
        chromium.get("about:blank")
    assert all("401" in line or "403" in line for line in page.complaints())


def test_the_theme_is_kept(page: Page) -> None:
    before = page.script("return document.documentElement.dataset.theme")
    page.one("#theme").click()
    page.browser.refresh()
    after = page.script("return document.documentElement.dataset.theme")
    assert {before, after} == {"light", "dark"}


def test_how_people_ask_is_said_changed_and_forgotten(page: Page, http: Http) -> None:
    http.call("POST", "/v1/namespaces", {}, params={"namespaceId": "asked"})
    page.script("localStorage.setItem('interleaf-namespace', 'asked')")
    page.browser.refresh()

    def said() -> list[tuple[str, list[str]]]:
        space = http.call("GET", "/v1/namespaces/asked")
        return [(item["relation"], item["examples"]) for item in space["relationExamples"]]

    def say(relation: str, *examples: str) -> None:
        page.write("Relation, as facts name it", relation)
        page.write("Examples, one a line", "\n".join(examples))
        page.press("Save examples")

    page.open("facts")
    say("employer", "Who pays {s}?", "", "{s} earns a living at")
    page.shows(".asked", "{s} earns a living at")
    say("town", "<b>{s}</b> lives in")
    page.shows(".asked", "<b>{s}</b> lives in")
    assert said() == [
        ("employer", ["Who pays {s}?", "{s} earns a living at"]),
        ("town", ["<b>{s}</b> lives in"]),
    ]
    page.press("Change the examples of employer")
    assert page.field("Examples, one a line").get_attribute("value") == "Who pays {s}?\n{s} earns a living at"
    say("employer", "Who signs the cheques of {s}?")
    page.until(lambda: said()[0][1] == ["Who signs the cheques of {s}?"])
    page.press("Forget the examples of town")
    page.until(lambda: [name for name, _ in said()] == ["employer"])
    page.until(lambda: "lives in" not in page.text(".asked"))
    assert page.complaints() == []
