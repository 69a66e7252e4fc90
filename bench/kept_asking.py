"""Answers of a long run of questions, kept as they come: a run that was ended asks only what it had not asked yet.

An answer depends on its question and on everything behind it, so that what is kept is named by the whole product: its
source and data, and the encoder's folder where it is one. Whoever wants to go on later keeps the source as it is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path

from pydantic import TypeAdapter

import editors
import engines
import kb_store
import service
from bench.kept import Kept
from engines.models import file_digest
from interleaf import Answer

_PACKAGES = (editors, engines, kb_store, service)
_ANSWER = TypeAdapter(Answer)


class KeptAnswers:
    """Of one run's questions. What names a fact that the run itself stored is asked anew: names are drawn."""

    def __init__(self, kept: Kept) -> None:
        self._kept = kept

    async def __call__(self, question: str, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        """What was kept, or is asked now."""
        row = self._kept.get(question)
        if row is None:
            row = _ANSWER.dump_python(await ask(), mode="json")
            self._kept.keep(question, row)
        return _ANSWER.validate_python(row)


def product_digest(encoder: str) -> str:
    """Of the source, the shipped weights and data, and of the encoder where that is a folder."""
    folders = [Path(package.__path__[0]) for package in _PACKAGES]
    if Path(encoder).is_dir():
        folders.append(Path(encoder))
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(f"{path.relative_to(folder)} {file_digest(path)}\n".encode())
    return digest.hexdigest()[:16]
