"""Methods of the blocking client in groups, one for each service: `client.edits`, `client.encoders`, ..."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, TypeVar

from interleaf import _circuit_calls as on_circuits
from interleaf import _circuit_calls_many as on_many
from interleaf import _edit_calls as on_edits
from interleaf import _encoder_calls as on_encoders
from interleaf import _monitor_calls as on_monitor
from interleaf import _review_calls as on_reviews
from interleaf._binding import Carrier, calling, paging, starting, streaming
from interleaf._calls import Call, Paged, Polled, Streamed
from interleaf._settings import Settings
from interleaf._work import OnProgress, Work, unnamed, unpacked

T = TypeVar("T")


class _Group:
    """Carries calls out as its client does."""

    def __init__(self, client: Carrier) -> None:
        self._client = client

    @property
    def _settings(self) -> Settings:
        return self._client._settings

    def _call(self, call: Call[T]) -> T:
        return self._client._call(call)

    def _pages(self, paged: Paged[T]) -> Iterator[T]:
        return self._client._pages(paged)

    def _poll(self, polled: Polled[T]) -> T:
        return self._client._poll(polled)

    def _stream(self, streamed: Streamed[T]) -> Iterator[T]:
        return self._client._stream(streamed)


class _Working(_Group):
    """A group with long work."""

    _results: ClassVar[dict[Any, Any]]

    def wait(
        self, operation: str, *, timeout: float | None = None, progress: OnProgress | None = None
    ) -> Any:
        """Waits for long work that was begun elsewhere, by its operation's name, and returns its result."""
        work: Work[Any] = Work(self, unnamed(operation), unpacked(self._results))
        return work.result(timeout=timeout, progress=progress)


class Edits(_Working):
    """Edits of the model's weights (ROME, MEMIT, fine-tuning): reversible, with receipts, for the whole engine."""

    _results = on_edits.RESULTS
    create = starting(on_edits.create)
    list = paging(on_edits.list_edits)
    get = calling(on_edits.get)
    receipt = calling(on_edits.receipt)
    apply = calling(on_edits.apply)
    revert = calling(on_edits.revert)
    delete = calling(on_edits.delete)
    compare = starting(on_edits.compare)


class Encoders(_Working):
    """What turns facts into key/value tokens: listed, trained, measured, calibrated."""

    _results = on_encoders.RESULTS
    list = paging(on_encoders.list_encoders)
    get = calling(on_encoders.get)
    train = starting(on_encoders.train)
    evaluate = starting(on_encoders.evaluate)
    calibrate = starting(on_encoders.calibrate)
    sweep_layers = starting(on_encoders.sweep_layers)


class Circuits(_Working):
    """Why the model said this: answers checked, and studies of heads, edges, facts and circuits."""

    _results = on_circuits.RESULTS
    check = calling(on_circuits.check)
    trace = calling(on_circuits.trace)
    study_heads = starting(on_circuits.study_heads)
    study_knockout = starting(on_circuits.study_knockout)
    study_recall = starting(on_circuits.study_recall)
    explain_facts = starting(on_circuits.explain_facts)
    study_emergence = starting(on_circuits.study_emergence)
    discover_circuit = starting(on_many.discover_circuit)
    locate_heads = starting(on_many.locate_heads)
    study_grafting = starting(on_many.study_grafting)


class Monitor(_Group):
    """What the service has just done, and how it stands."""

    injections = calling(on_monitor.injections)
    watch = streaming(on_monitor.watch)
    status = calling(on_monitor.status)


class Reviews(_Group):
    """Rows of imports that wait for approval: listed, let in or not."""

    list = paging(on_reviews.list_reviews)
    get = calling(on_reviews.get)
    approve = calling(on_reviews.approve)
    reject = calling(on_reviews.reject)
