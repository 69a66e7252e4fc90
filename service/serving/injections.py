"""The last answers and the facts that were injected for them, in memory. Belongs to the event loop."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import UTC, datetime

from service.calls import current
from service.commands.answering import Answer, Ask
from service.serving.citations import Grounding


@dataclass(frozen=True, slots=True)
class Injection:
    """An answer that was given. `prompt` is empty where texts are not remembered."""

    sequence: int
    when: datetime
    method: str
    namespace: str
    prompt: str
    retrieval_disabled: bool
    answer: Answer


class Injections:
    """Remembers the last `records`; what is older is only counted."""

    def __init__(self, records: int, *, texts: bool) -> None:
        self._kept: deque[Injection] = deque(maxlen=records)
        self.texts = texts
        self.answers = 0
        self.grounded = 0
        self.start = datetime.now(UTC)
        self._changed = asyncio.Condition()
        self._telling: set[asyncio.Task[None]] = set()

    def note(self, ask: Ask, answer: Answer) -> None:
        """A new answer."""
        self.answers += 1
        self.grounded += answer.grounding is Grounding.GROUNDED
        method = current().method.rpartition("/")[2]
        self._kept.append(
            Injection(
                self.answers,
                datetime.now(UTC),
                method,
                ask.namespace,
                _text(ask) if self.texts else "",
                ask.retrieval.disabled,
                answer,
            )
        )
        task = asyncio.ensure_future(self._tell())
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    def after(self, sequence: int, namespace: str, limit: int) -> list[Injection]:
        """The newest first, at most so many, of one namespace or (empty) of all."""
        found: list[Injection] = []
        for entry in reversed(self._kept):
            if entry.sequence <= sequence or len(found) == limit:
                break
            if namespace in ("", entry.namespace):
                found.append(entry)
        return found

    async def watch(self, sequence: int, namespace: str, limit: int) -> AsyncGenerator[Injection, None]:
        """Those after `sequence`, the oldest first, of those that were there before at most `limit`; and then every new
        one. Ends when it is left."""
        while True:
            told = self.answers  # before the first is handed over: more may come meanwhile
            for entry in reversed(self.after(sequence, namespace, limit)):
                yield entry
            sequence, limit = told, self._kept.maxlen or 0
            async with self._changed:
                while self.answers == sequence:
                    await self._changed.wait()

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()


def _text(ask: Ask) -> str:
    """The prompt, or what the chat said last."""
    return ask.prompt if isinstance(ask.prompt, str) else ask.prompt[-1].content
