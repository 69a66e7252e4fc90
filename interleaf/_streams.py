"""Answers that arrive piece by piece, and files that appear whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from interleaf._errors import InterruptedTransfer
from interleaf._types import Answer


class _Pieces:
    """Sorts what arrives: text is handed on, the answer is kept."""

    _answer: Answer | None = None
    _missing = "the server ended the answer without its last message"

    def _leave(self) -> None:
        self._missing = "the answer was left before its text had been read to the end: read it within `with`"

    @property
    def answer(self) -> Answer:
        """The whole answer with its citations. Only there once the text has been read to its end."""
        if self._answer is None:
            raise InterruptedTransfer("the answer is whole only when its text has been read to the end")
        return self._answer


class AnswerStream(_Pieces):
    """Iterates over pieces of text; then `answer` is there. Leaving the `with` block stops generation."""

    def __init__(self, events: Generator[str | Answer, None, None]) -> None:
        self._events = events

    def __iter__(self) -> Iterator[str]:
        for event in self._events:
            if isinstance(event, Answer):
                self._answer = event
            else:
                yield event
        if self._answer is None:
            raise InterruptedTransfer(self._missing)

    def close(self) -> None:
        """Stops generation if it is still going on."""
        self._leave()
        self._events.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncAnswerStream(_Pieces):
    """Iterates over pieces of text; then `answer` is there. Leaving the `async with` block stops generation."""

    def __init__(self, events: AsyncGenerator[str | Answer, None]) -> None:
        self._events = events

    async def __aiter__(self) -> AsyncIterator[str]:
        async for event in self._events:
            if isinstance(event, Answer):
                self._answer = event
            else:
                yield event
        if self._answer is None:
            raise InterruptedTransfer(self._missing)

    async def aclose(self) -> None:
        """Stops generation if it is still going on."""
        self._leave()
        await self._events.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


@contextmanager
def whole_file(path: str | Path) -> Iterator[BinaryIO]:
    """A file to write: it appears under its name when the block ends well, and not at all otherwise."""
    target = Path(path)
    try:
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    except OSError as error:  # of a file that the caller knows nothing of
        raise OSError(error.errno, error.strerror, str(target)) from None
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
