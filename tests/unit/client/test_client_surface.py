"""What is exported, and that both clients offer the same."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import interleaf
from interleaf import AsyncClient, Client
from interleaf.cli import NEEDED


def public(cls: type) -> set[str]:
    return {name for name in vars(cls) if not name.startswith("_")}


def parameters(method: object) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(method).parameters)  # type: ignore[arg-type]


def test_exports_are_sorted_whole_and_there() -> None:
    given = {name for name in vars(interleaf) if not name.startswith("_") and name not in ("v1", "cli")}
    assert given == set(interleaf.__all__) - {"__version__"}
    assert interleaf.__all__ == sorted(interleaf.__all__, key=lambda name: (not name.isupper(), name))


def test_private_modules_only() -> None:
    for name in interleaf.__all__:
        module = getattr(getattr(interleaf, name), "__module__", "interleaf._")
        assert module.startswith("interleaf._"), name


def test_both_clients_have_the_same_surface() -> None:
    assert public(Client) == public(AsyncClient)


@pytest.mark.parametrize("name", sorted(public(Client)))
def test_methods_agree_and_explain_themselves(name: str) -> None:
    blocking, waiting = vars(Client)[name], vars(AsyncClient)[name]
    assert (blocking.__doc__ or "").strip(), f"Client.{name} has no docstring"
    assert blocking.__doc__ == waiting.__doc__
    if not isinstance(blocking, property):
        first, *rest = parameters(blocking)
        assert first == "self"
        assert rest == list(parameters(waiting))[1:]


def test_help_shows_results_not_calls() -> None:
    assert inspect.signature(Client.ask).return_annotation == "Answer"
    assert inspect.signature(Client.list).return_annotation == "Iterator[Fact]"
    assert inspect.signature(AsyncClient.list).return_annotation == "AsyncIterator[Fact]"


def test_the_client_needs_neither_the_server_nor_the_command_line() -> None:
    heavy = ("torch", "numpy", "sqlalchemy", "faiss", "pydantic", "service", "kb_store", *NEEDED)
    code = f"import interleaf, sys; print([m for m in {heavy!r} if m in sys.modules])"
    seen = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert seen.stdout.strip() == "[]"
