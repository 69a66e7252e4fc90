"""The command itself: what it says without a server, without its packages, and on wrong usage."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest
import typer
from typer.testing import CliRunner

import interleaf
from interleaf.cli import NEEDED
from interleaf.cli._app import _merge, build
from interleaf.cli._demo_checks import leads_with
from interleaf.cli._failure import describe

RUNNER = CliRunner()
NOWHERE = {"INTERLEAF_SERVER": "127.0.0.1:1", "INTERLEAF_API_KEY": "", "INTERLEAF_NAMESPACE": "default"}


def run(*words: str, env: dict[str, str] | None = None) -> tuple[int, str, str]:
    result = RUNNER.invoke(build(plugins=False), list(words), env=NOWHERE | (env or {}))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def test_no_server() -> None:
    code, out, err = run("facts", "list")
    assert (code, out) == (5, "")
    assert err.startswith(
        "Error: No Interleaf server answers at 127.0.0.1:1.\nStart one with `interleaf serve`"
    )


def test_no_server_for_programs() -> None:
    code, out, err = run("facts", "list", "--json")
    error = json.loads(err)["error"]
    assert (code, out) == (5, "")
    assert (error["code"], error["exit_code"]) == ("UNAVAILABLE", 5)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("facts", "import"), "give a file, or --builtin"),
        (("facts", "import", "facts.txt"), "the suffix does not say the format"),
        (("facts", "update", "f"), "at least one field to change, such as the object"),
        (("facts", "list", "--server", "http://127.0.0.1:7500"), "without http://"),
        (("ask", "Who?", "--plain", "--strict"), "give one of them"),
        (("facts", "delete", "a", "b", "--etag", "x"), "give one FACT with it"),
        (("facts", "list", "--server", "example.org:1", "--api-key", "k"), "only over TLS"),
        (("facts", "rollback", "f", "0"), "greater than or equal to 1"),
    ],
)
def test_wrong_usage(words: tuple[str, ...], said: str) -> None:
    code, out, err = run(*words)
    assert (code, out) == (2, "")
    assert said in " ".join(err.replace("│", " ").split())


def test_a_missing_file() -> None:
    code, _, err = run("facts", "import", "nowhere.csv")
    assert code == 1
    assert "Error: nowhere.csv: No such file or directory" in err


@pytest.mark.parametrize(
    ("words", "given", "sent"),
    [
        (["ask", "Who?"], "", "Who?"),
        (["ask", "-"], "Who is it?\n", "Who is it?"),
        (["why", "-"], "a\nb\n\n", "a\nb\n"),
    ],
)
def test_a_question_may_come_from_stdin(
    words: list[str], given: str, sent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def note(client: interleaf.Client, text: str, **options: object) -> None:
        asked.append(text)
        raise interleaf.Unavailable("noted")

    monkeypatch.setattr(interleaf.Client, "stream", note)
    monkeypatch.setattr(interleaf.Client, "weigh", note)
    assert RUNNER.invoke(build(plugins=False), words, input=given, env=NOWHERE).exit_code == 5
    assert asked == [sent]


def test_a_search_asks_for_as_many_facts_as_the_server_says(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def note(client: interleaf.Client, text: str, top_k: int, mode: str) -> tuple[interleaf.SearchHit, ...]:
        asked.append(top_k)
        return ()

    monkeypatch.setattr(interleaf.Client, "search", note)
    assert run("facts", "search", "Who?")[:2] == (0, "No facts found.\n")
    assert asked == [0]


@pytest.mark.parametrize(
    ("error", "code", "hint"),
    [
        (interleaf.NotFound("gone", metadata={"kind": "namespace"}), 3, "namespaces create"),
        (interleaf.ConflictingFact("taken", metadata={"fact_id": "f1"}), 4, "facts get f1"),
        (interleaf.EtagMismatch("changed"), 4, "read it again"),
        (interleaf.ResourceExhausted("busy", retry_after=2), 5, "try again in 2 s"),
        (interleaf.ResourceExhausted("the quota is reached"), 1, ""),
        (interleaf.DeadlineExceeded("late"), 5, "--timeout"),
        (interleaf.Unauthenticated("who?"), 6, "INTERLEAF_API_KEY"),
        (interleaf.InvalidArgument("no"), 1, ""),
    ],
)
def test_every_error_has_its_exit_code_and_hint(
    error: interleaf.InterleafError, code: int, hint: str
) -> None:
    failure = describe(error, "here:1")
    assert failure.exit_code == code
    assert hint in failure.hint
    assert failure.message == error.message


def test_a_failed_handshake_is_told_apart_from_no_server() -> None:
    failure = describe(interleaf.Unavailable("Ssl handshake failed: certificate unknown"), "here:1")
    assert (
        failure.message == "No Interleaf server answers at here:1: Ssl handshake failed: certificate unknown"
    )
    said = "Custom verification check failed: Hostname Verification Check failed"
    assert said in describe(interleaf.Unavailable(said), "here:1").message
    assert "--tls" in describe(interleaf.Unavailable("Socket closed"), "here:1").hint


@pytest.mark.parametrize("host", ["tls-box.invalid", "tls", "s"])
def test_a_server_that_has_tls_in_its_name_is_one_that_may_not_be_there(host: str) -> None:
    server = f"{host}:7421"
    unresolved = f"errors resolving {server}: address lookup failed for {server}: Domain name not found"
    failure = describe(interleaf.Unavailable(unresolved), server)
    assert failure.message == f"No Interleaf server answers at {server}."
    assert failure.hint.startswith("Start one")
    said = f"TLS handshake failed: peer name {host} is not in peer certificate"
    assert said in describe(interleaf.Unavailable(said), server).message


@pytest.mark.parametrize("file", ["nowhere.csv", "facts.txt", "."])
def test_an_import_that_does_not_begin_is_not_said_to(file: str) -> None:
    code, out, err = run("facts", "import", file)
    assert (code != 0, out, "Import" in err) == (True, "", False)


@pytest.mark.parametrize("package", NEEDED)
def test_without_its_packages_the_command_says_how_to_install_them(package: str) -> None:
    code = f"import sys; sys.modules[{package!r}] = None; from interleaf.cli import main; main()"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stderr == (
        f"The interleaf command needs {package}, which is not installed: pip install 'interleaf[cli]'\n"
    )


extra = typer.Typer()


@extra.command()
def greet() -> None:
    """Says hello."""
    print("hello")


def with_plugin(value: str, name: str = "plug") -> typer.Typer:
    app = build(plugins=False)
    _merge(app, EntryPoint(name, value, "interleaf.commands"))
    return app


def test_other_packages_add_commands() -> None:
    assert RUNNER.invoke(with_plugin(f"{__name__}:extra"), ["greet"]).stdout == "hello\n"


def test_a_plugin_whose_packages_are_missing_explains_itself() -> None:
    app = with_plugin("nowhere_at_all.cli:app")
    result = RUNNER.invoke(app, ["plug", "anything", "--at", "all"])
    assert result.exit_code == 1
    assert (
        "`interleaf plug` needs nowhere_at_all, which is not installed: pip install 'interleaf[server]'"
        in result.stderr
    )
    assert "interleaf[server]" in RUNNER.invoke(app, ["--help"], env={"COLUMNS": "200"}).stdout


def test_version() -> None:
    assert run("--version")[:2] == (0, f"interleaf {interleaf.__version__}\n")


@pytest.mark.parametrize(
    ("text", "wanted", "expected"),
    [
        (" It is in  ROME.", "rome", True),
        ("Besançon, France", "besancon", True),
        ("St. John's is in Antigua.", "Antigua", True),
        ("Paris.", "Rome", False),
        ("Paris, France. Rome is in Italy.", "Rome", False),
        ("Paris!\nRome", "Rome", False),
        ("", "Rome", False),
    ],
)
def test_the_demo_wants_the_first_sentence_to_say_it(text: str, wanted: str, expected: bool) -> None:
    assert leads_with(text, wanted) is expected
