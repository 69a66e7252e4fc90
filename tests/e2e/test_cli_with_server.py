"""The command line against a real server (without a model): facts come, change, go, and come back."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import structlog
from typer.testing import CliRunner

from interleaf import Client
from interleaf.cli._app import build
from tests.serving import serving

RUNNER = CliRunner()
ANNA = ("Anna Keller", "employer", "Nordlicht Werft")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server in this process; its log stays out of what the command prints."""
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    with serving(tmp_path_factory.mktemp("data")) as server:
        yield server.address
    structlog.reset_defaults()


@pytest.fixture
def namespace(address: str, request: pytest.FixtureRequest) -> str:
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")[:60].strip("-")
    with Client(address) as client:
        client.create_namespace(name)
    return name


class Command:
    """`interleaf`, in one namespace of the server."""

    def __init__(self, address: str, namespace: str) -> None:
        self.env = {"INTERLEAF_SERVER": address, "INTERLEAF_NAMESPACE": namespace, "COLUMNS": "200"}

    def __call__(self, *words: str, code: int = 0) -> str:
        result = RUNNER.invoke(build(plugins=False), list(words), env=self.env)
        assert result.exit_code == code, (result.output, result.exception)
        return result.stdout if code == 0 else result.stderr

    def json(self, *words: str) -> Any:
        lines = [json.loads(line) for line in self(*words, "--json").splitlines()]
        return lines[0] if len(lines) == 1 else lines


@pytest.fixture
def interleaf(address: str, namespace: str) -> Command:
    return Command(address, namespace)


def test_a_fact_from_beginning_to_end(interleaf: Command) -> None:
    fact = interleaf.json(
        "facts", "add", *ANNA, "--alias", "A. Keller", "--source", "HR", "--id", "anna-employer"
    )
    assert (fact["id"], fact["object"], fact["revision"]) == ("anna-employer", "Nordlicht Werft", 1)
    assert interleaf.json("facts", "get", "anna-employer")["aliases"] == ["A. Keller"]

    changed = interleaf.json(
        "facts", "update", "anna-employer", "--object", "Hafenwerk", "--etag", fact["etag"]
    )
    assert (changed["object"], changed["revision"], changed["source"]) == ("Hafenwerk", 2, "HR")
    assert "Nordlicht" in interleaf("facts", "history", "anna-employer")

    back = interleaf.json("facts", "rollback", "anna-employer", "1")
    assert (back["object"], back["revision"]) == ("Nordlicht Werft", 3)
    assert [entry["action"] for entry in interleaf.json("facts", "history", "anna-employer")] == [
        "rollback",
        "update",
        "create",
    ]
    interleaf("facts", "delete", "anna-employer")
    assert interleaf("facts", "list") == "No facts.\n"
    assert interleaf.json("facts", "list", "--deleted")["id"] == "anna-employer"
    assert interleaf.json("facts", "undelete", "anna-employer")["delete_time"] is None
    assert "Nordlicht Werft" in interleaf("facts", "list", "--filter", 'subject = "Anna Keller"')


def test_conflicts_and_missing_things_have_their_codes(interleaf: Command) -> None:
    first = interleaf.json("facts", "add", *ANNA)
    said = interleaf("facts", "add", *ANNA[:2], "Hafenwerk", code=4)
    assert f"interleaf facts get {first['id']}" in said
    assert (
        interleaf.json("facts", "add", *ANNA[:2], "Hafenwerk", "--on-conflict", "replace")["id"]
        == first["id"]
    )
    assert "does not exist" in interleaf("facts", "get", "nobody", code=3)
    assert "read it again" in interleaf("facts", "delete", first["id"], "--etag", first["etag"], code=4)
    assert interleaf.json("facts", "get", first["id"])["delete_time"] is None


def test_relations_are_told_apart_as_the_server_does(interleaf: Command) -> None:
    for relation, example in (("बेटा", "{s} का बेटा कौन है?"), ("बेटी", "{s} की बेटी कौन है?"), ("employé", "a")):
        interleaf("relations", "describe", relation, example)
    interleaf("relations", "describe", "employe", "who works for {s}?")
    assert {there["relation"] for there in interleaf.json("relations", "list")} == {"बेटा", "बेटी", "employe"}
    interleaf("relations", "forget", "बेटी")
    assert {there["relation"] for there in interleaf.json("relations", "list")} == {"बेटा", "employe"}


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York"])
def test_times_at_the_ends_of_the_calendar(
    interleaf: Command, zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Client(interleaf.env["INTERLEAF_SERVER"], namespace=interleaf.env["INTERLEAF_NAMESPACE"]) as client:
        first = datetime.min.replace(tzinfo=UTC)
        last = datetime.max.replace(tzinfo=UTC)
        always = client.add(*ANNA, valid_from=first, valid_to=last)
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("TZ", zone)
        time.tzset()
        shown = interleaf("facts", "get", always.id)
        said = [
            interleaf("facts", "add", "x", "y", "z", option, at, code=2)
            for option, at in (("--valid-to", "9999-12-31T23:59:59"), ("--valid-from", "0001-01-01"))
        ]
    time.tzset()
    assert "UTC" in shown
    assert all("in the years 1 to 9999 of UTC" in refused for refused in said)


def test_a_limit_is_refused_by_name(interleaf: Command) -> None:
    said = interleaf("facts", "add", "s" * 10_000, "employer", "x", "--json", code=1)
    error = json.loads(said)["error"]
    assert error["reason"] == "LIMIT_EXCEEDED"
    assert error["metadata"]["limit"] == "max_subject_length"


def test_dry_runs_write_nothing(interleaf: Command) -> None:
    assert interleaf("facts", "add", *ANNA, "--dry-run") == "Anna Keller · employer · Nordlicht Werft\n"
    assert interleaf("facts", "list") == "No facts.\n"


@pytest.mark.parametrize("options", [["--json"], []], ids=["json", "table"])
def test_who_stops_reading_is_told_of_no_error(interleaf: Command, options: list[str]) -> None:
    interleaf("facts", "add", *ANNA)
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "interleaf.cli", "facts", "list", *options]
    ended = subprocess.run(
        command, env=os.environ | interleaf.env, stdout=writing, stderr=subprocess.PIPE, check=False
    )
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (1, b"")


def test_a_file_that_cannot_be_written_is_named(interleaf: Command) -> None:
    said = interleaf("facts", "export", "/nonexistent/x.jsonl", code=1)
    assert said == "Error: /nonexistent/x.jsonl: No such file or directory\n"


def test_several_facts_are_deleted_together_or_not_at_all(interleaf: Command) -> None:
    ids = [interleaf.json("facts", "add", f"Person {n}", "employer", "Werft")["id"] for n in range(3)]
    interleaf("facts", "delete", ids[0], "nobody", code=3)
    assert len(interleaf.json("facts", "list")) == 3
    interleaf("facts", "delete", *ids[:2])
    assert interleaf.json("facts", "list")["id"] == ids[2]


def test_search_finds_what_a_question_asks_for(interleaf: Command) -> None:
    interleaf("facts", "add", *ANNA)
    interleaf("facts", "add", "Bruno Faas", "employer", "Hafenwerk")
    hits = interleaf.json("facts", "search", "Who does Anna Keller work for?", "--mode", "lexical", "-k", "1")
    assert hits["fact"]["object"] == "Nordlicht Werft"
    assert "Nordlicht Werft" in interleaf("facts", "search", "Anna Keller")


@pytest.mark.parametrize("hostile", ["\x1b[2J\x1b]0;owned\x07", "[red]x[/red]", "\u202eevil", "a\r\nb"])
def test_hostile_facts_are_shown_not_obeyed(interleaf: Command, hostile: str) -> None:
    subject = f"x{hostile}y"
    stored = RUNNER.invoke(
        build(plugins=False), ["facts", "add", subject, "employer", subject, "--json"], env=interleaf.env
    )
    if stored.exit_code != 0:  # the server may refuse control characters: then as a clear sentence
        assert json.loads(stored.stderr)["error"]["code"] == "INVALID_ARGUMENT"
        assert not set(stored.stderr) & set("\x1b\x07\r\u202e")
        return
    fact = json.loads(stored.stdout)
    assert fact["subject"] == subject
    for words in (["list"], ["get", fact["id"]], ["history", fact["id"]], ["search", "employer"]):
        output = interleaf("facts", *words)
        assert not set(output) & set("\x1b\x07\r\u202e")
    assert "[red]x[/red]" in interleaf("facts", "list") or "red" not in hostile


ROWS = [
    "subject,relation,object,aliases",
    *(f"Person {n},employer,Company {n % 7},P{n}|Nr {n}" for n in range(500)),
]


def test_import_and_export(interleaf: Command, tmp_path: Path) -> None:
    file = tmp_path / "crew.csv"
    file.write_text("\n".join([*ROWS, ",employer,nobody"]) + "\n")
    result = RUNNER.invoke(build(plugins=False), ["facts", "import", str(file), "--json"], env=interleaf.env)
    assert result.exit_code == 1, "a refused row is an error"
    report = json.loads(result.stdout)
    assert (report["rows_written"], report["rows_failed"]) == (500, 1)
    assert report["failures"][0]["line"] == 502
    assert f"--resume {report['import_id']}" in result.stderr.replace("\n", " ")

    again = RUNNER.invoke(build(plugins=False), ["facts", "import", str(file), "--json"], env=interleaf.env)
    assert json.loads(again.stdout)["rows_unchanged"] == 500

    exported = tmp_path / "out.jsonl"
    assert interleaf.json("facts", "export", str(exported))["bytes"] == exported.stat().st_size
    lines = [json.loads(line) for line in exported.read_text().splitlines()]
    assert len(lines) == 500
    assert lines[3]["aliases"] == ["P3", "Nr 3"]
    assert len(interleaf("facts", "export", "-", "--filter", 'object = "Company 0"').splitlines()) == 72
    assert len(interleaf.json("facts", "list", "--limit", "20")) == 20


def test_what_comes_through_a_pipe_is_imported(interleaf: Command, tmp_path: Path) -> None:
    """It can be read only once, and is read twice: for the progress bar, and to be sent."""
    rows = "\n".join(ROWS[:101])
    command = ["facts", "import", "-", "--format", "csv", "--json"]
    piped = RUNNER.invoke(build(plugins=False), command, env=interleaf.env, input=rows)
    assert json.loads(piped.stdout)["rows_written"] == 100
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    writing = threading.Thread(target=pipe.write_text, args=(rows,))
    writing.start()
    assert interleaf.json("facts", "import", str(pipe))["rows_unchanged"] == 100
    writing.join()
    with Client(interleaf.env["INTERLEAF_SERVER"]) as client, pytest.raises(ValueError, match="only once"):
        client.import_file("/dev/null", format="csv")


def test_an_import_that_was_killed_goes_on(interleaf: Command, tmp_path: Path) -> None:
    rows = 12_000
    file = tmp_path / "many.jsonl"
    with file.open("w") as out:
        for n in range(rows):
            out.write(
                json.dumps({"subject": f"Person {n}", "relation": "employer", "object": f"Company {n}"})
                + "\n"
            )
    command = [sys.executable, "-m", "interleaf.cli", "facts", "import", str(file), "--resume", "the-import"]
    process = subprocess.Popen(command, env=os.environ | interleaf.env, stderr=subprocess.DEVNULL)
    with Client(interleaf.env["INTERLEAF_SERVER"], namespace=interleaf.env["INTERLEAF_NAMESPACE"]) as client:
        while client.get_namespace().fact_count == 0 and process.poll() is None:
            time.sleep(0.01)
        process.kill()
        process.wait()
        before = client.get_namespace().fact_count
        report = interleaf.json("facts", "import", str(file), "--resume", "the-import")
        assert client.get_namespace().fact_count == rows
    assert report["rows_read"] == rows
    assert report["rows_failed"] == 0
    assert report["rows_written"] + report["rows_unchanged"] >= rows
    assert before > 0


def test_namespaces(interleaf: Command) -> None:
    made = interleaf.json("namespaces", "create", "polyglots", "--multi-valued", "language spoken")
    assert made["multi_valued_relations"] == ["language spoken"]
    interleaf("namespaces", "create", "polyglots", code=4)
    assert "polyglots" in interleaf("namespaces", "list")
    for language in ("Danish", "Polish"):
        interleaf("facts", "add", "Mette Holm", "language spoken", language, "-n", "polyglots")
    assert interleaf.json("namespaces", "get", "polyglots")["fact_count"] == 2
    assert interleaf.json("namespaces", "reindex", "polyglots")["done"] is True
    assert "No examples" in interleaf("relations", "list", "-n", "polyglots")
    for example in ("{s} grew up with", "What does {s} speak at home?"):
        said = interleaf.json("relations", "describe", "language spoken", example, "--add", "-n", "polyglots")
    assert said["examples"] == ["{s} grew up with", "What does {s} speak at home?"]
    words = ["relations", "describe", "town", "lives in", "-n", "polyglots"]
    assert "without {s}" in RUNNER.invoke(build(plugins=False), words, env=interleaf.env).stderr
    interleaf("relations", "describe", "town", "{s} lives in", "-n", "polyglots")
    listed = interleaf("relations", "list", "-n", "polyglots")
    assert "What does {s} speak at home?\n" in re.sub(" +\n", "\n", listed)  # each on a line of its own
    other = interleaf.json(
        "relations", "describe", "languageSpoken", "{s} dreams in", "--add", "-n", "polyglots"
    )
    assert len(other["examples"]) == 3
    assert "language spoken" not in interleaf("relations", "list", "-n", "polyglots")
    interleaf("relations", "forget", "Language_Spoken", "-n", "polyglots")
    interleaf("relations", "forget", "language spoken", "-n", "polyglots", code=2)
    assert interleaf.json("relations", "list", "-n", "polyglots") == {
        "relation": "town",
        "examples": ["{s} lives in"],
    }
    interleaf("namespaces", "delete", "polyglots", code=1)
    interleaf("namespaces", "delete", "polyglots", "--force")
    assert "namespaces create" in interleaf("facts", "list", "-n", "polyglots", code=3)


def test_without_a_model_a_question_is_refused_in_a_sentence(interleaf: Command) -> None:
    assert "without a model" in interleaf("ask", "Who?", code=1)
    assert "without a model" in interleaf("compare", "Who?", code=1)
    assert "without a model" in interleaf("why", "Who?", code=1)


@pytest.mark.slow
def test_the_builtin_facts_go_in_whole_and_a_second_time_change_nothing(interleaf: Command) -> None:
    first = interleaf.json("facts", "import", "--builtin")
    assert first["rows_written"] >= 10_000
    assert (first["rows_failed"], first["rows_unchanged"]) == (0, 0)
    second = interleaf.json("facts", "import", "--builtin")
    assert (second["rows_written"], second["rows_unchanged"]) == (0, first["rows_written"])
    hit = interleaf.json("facts", "search", "What is the capital of Mongolia?", "-k", "1")
    assert hit["fact"]["object"] == "Ulaanbaatar"
