"""The default model and the shipped encoder through the whole service, on vLLM and on transformers."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from interleaf import Answer, Client, Retry, Unavailable
from tests.serving import serving
from tests.vllm.models import PYTHON, TOLERANCE

pytestmark = pytest.mark.model

_FACTS = (
    ("Anna Keller", "employer", "Nordlicht Werft"),
    ("Anna Keller", "birthplace", "Coimbra"),
    ("Jonas Falk", "employer", "Hafenwerk Kiel"),
)
_QUESTIONS = (
    "The employer of Anna Keller is",
    "The birthplace of Anna Keller is",
    "The employer of Jonas Falk is",
    "The employer of Mira Castell is",
    "The capital of France is",
)


@contextmanager
def _client(folder: Path, kind: str) -> Iterator[Client]:
    engine = {"kind": kind, "threads": 1, "vllm_python": PYTHON, "max_context": 1024}
    with serving(folder, embedder=None, engine=engine) as server, Client(server.address) as client:
        for fact in _FACTS:
            client.add(*fact)
        yield client


def _ask(client: Client, prompt: str) -> Answer:
    return client.ask(prompt, complete=True, max_tokens=12)


def _engine_processes() -> set[int]:
    """Engines' processes among this one's children."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
                words = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if int(parent) == os.getpid() and b"engines.vllm.host" in words:
                found.add(int(entry.name))
    return found


def test_both_engines_answer_alike_and_one_that_was_killed_answers_again(tmp_path: Path) -> None:
    with _client(tmp_path / "transformers", "transformers") as client:
        wanted = {prompt: _ask(client, prompt) for prompt in _QUESTIONS}
    assert "Nordlicht Werft" in wanted[_QUESTIONS[0]].text
    others = _engine_processes()  # of other tests
    with _client(tmp_path / "vllm", "vllm") as client:
        for prompt, answer in wanted.items():
            _check_alike(_ask(client, prompt), answer)
        # A chat that streams.
        with client.stream("Where does Anna Keller work?", max_tokens=8) as pieces:
            assert "".join(pieces)

        (process,) = _engine_processes() - others
        os.kill(process, signal.SIGKILL)
        impatient = client.with_options(retry=Retry(attempts=1))
        with pytest.raises(Unavailable) as caught:
            _ask(impatient, _QUESTIONS[0])
        assert caught.value.reason == "ENGINE_LOST"
        patient = client.with_options(timeout=1500.0, retry=Retry(attempts=300))
        _check_alike(_ask(patient, _QUESTIONS[0]), wanted[_QUESTIONS[0]])
    assert _engine_processes() <= others


def _check_alike(got: Answer, wanted: Answer) -> None:
    assert got.text == wanted.text
    assert got.grounding is wanted.grounding
    mine = [(cited.object, cited.attention) for cited in got.citations]
    theirs = [(cited.object, cited.attention) for cited in wanted.citations]
    assert [text for text, _ in mine] == [text for text, _ in theirs]
    assert [share for _, share in mine] == pytest.approx([share for _, share in theirs], abs=TOLERANCE)
