"""What operators see: the last injections, and how the service stands."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from service.commands.answering import Model
from service.interceptors.admission import Load
from service.serving.compiled import CacheFigures, CompiledFacts
from service.serving.injections import Injection, Injections


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """At this moment; counts are since the start."""

    model: str
    encoder: str
    start: datetime
    running: int
    waiting: int
    cache: CacheFigures
    calls: tuple[Load, ...]
    answers: int
    grounded: int


class Watching:
    """The Monitor service. `model` and `compiled` are None where there are none."""

    def __init__(
        self,
        injections: Injections,
        model: Model | None,
        compiled: CompiledFacts | None,
        calls: Callable[[], tuple[Load, ...]],
    ) -> None:
        self._injections, self._model, self._compiled, self._calls = injections, model, compiled, calls

    @property
    def texts(self) -> bool:
        """Whether texts may be shown."""
        return self._injections.texts

    @property
    def last(self) -> int:
        """Answers so far."""
        return self._injections.answers

    def list(self, sequence: int, namespace: str, limit: int) -> Sequence[Injection]:
        """Those after a sequence number, the newest first."""
        return self._injections.after(sequence, namespace, limit)

    def watch(self, sequence: int, namespace: str, limit: int) -> AsyncGenerator[Injection, None]:
        """The same and all that follow, the oldest first."""
        return self._injections.watch(sequence, namespace, limit)

    def status(self) -> ServerStatus:
        """How it stands."""
        model, seen = self._model, self._injections
        running, waiting = (0, 0) if model is None else model.engine.load
        return ServerStatus(
            model="" if model is None else model.engine.model_name,
            encoder="" if model is None else model.encoder,
            start=seen.start,
            running=running,
            waiting=waiting,
            cache=CacheFigures() if self._compiled is None else self._compiled.figures,
            calls=self._calls(),
            answers=seen.answers,
            grounded=seen.grounded,
        )
