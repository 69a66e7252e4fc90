"""The edits that the served model carries: applied and taken back between two answers, put back after a restart."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, TypeVar

import structlog

from editors.metrics.speaking import Forced, ModelSpeaker
from editors.weights.delta import Delta
from editors.weights.delta_files import load_delta
from editors.weights.errors import DeltaInUse, EditError
from editors.weights.model import EditableModel
from engines.transformers_engine import TransformersEngine
from kb_store.errors import NotFound
from service.edits.shelf import AppliedEdit, EditShelf

T = TypeVar("T")
_log = structlog.get_logger("interleaf.edits")


class LiveEdits:
    """All methods block; they may be called from any thread, and change the weights one after the other."""

    def __init__(self, engine: TransformersEngine, editable: EditableModel, shelf: EditShelf) -> None:
        self._engine, self._editable, self._shelf = engine, editable, shelf
        self._entries: dict[str, AppliedEdit] = {}
        self._deltas: dict[str, Delta] = {}
        self._not_restored: dict[str, str] = {}
        self._lock = threading.Lock()

    @property
    def applied(self) -> Mapping[str, AppliedEdit]:
        """By id, in the order in which they were applied."""
        return dict(self._entries)

    @property
    def writes(self) -> int:
        """How often the weights were written, or begun to be: raised before anything changes."""
        return self._editable.writes

    @property
    def not_restored(self) -> Mapping[str, str]:
        """By id, why an edit that was applied before the last start is not."""
        return dict(self._not_restored)

    def restore(self) -> None:
        """At start: applies again what was applied, each checked by its digest and the tensors'.

        One that does not fit is left out, with an error in the log; it stays on the list on disk until somebody
        applies, reverts or deletes it.
        """
        with self._lock:
            self._shelf.tidy()
            for entry in self._shelf.applied():
                try:
                    delta = load_delta(self._shelf.get(entry.edit_id).folder)
                    if delta.digest != entry.digest:
                        raise EditError(f"its digest is {delta.digest}, {entry.digest} was applied")
                    self._on_engine(functools.partial(self._editable.apply, delta, combine=entry.combine))
                except (EditError, NotFound) as error:
                    self._not_restored[entry.edit_id] = str(error)
                    _log.error("an applied edit could not be restored", edit=entry.edit_id, why=str(error))
                    continue
                self._entries[entry.edit_id], self._deltas[entry.edit_id] = entry, delta
                _log.info("edit restored", edit=entry.edit_id, digest=entry.digest)

    def apply(self, edit_id: str, *, combine: bool = False) -> AppliedEdit:
        """Durable when this returns. One that is applied stays so. DeltaMismatch, DeltaDamaged: nothing changed."""
        with self._lock:
            if edit_id in self._entries:
                return self._entries[edit_id]
            delta = load_delta(self._shelf.get(edit_id).folder)
            before, after = self._on_engine(lambda: self._applied(delta, combine))
            entry = AppliedEdit(
                edit_id,
                delta.digest,
                datetime.now(UTC).isoformat(),
                combine,
                _live(delta, before, after),
            )
            try:
                self._write_list([*self._entries.values(), entry])
            except BaseException:
                self._on_engine(lambda: self._editable.revert(delta))
                raise
            self._entries[edit_id], self._deltas[edit_id] = entry, delta
            self._not_restored.pop(edit_id, None)
            return entry

    def revert(self, edit_id: str) -> None:
        """The very bytes of before. One that is not applied stays so. DeltaInUse while another rests on it."""
        with self._lock:
            if edit_id in self._entries:  # asked first: its files are not needed
                self._take_back(edit_id)
                return
            self._drop_not_restored(edit_id)
            self._shelf.get(edit_id)

    def forget(self, edit_id: str) -> None:
        """Deletes its files. DeltaInUse for one that is applied; one that is being applied is waited for."""
        with self._lock:
            if edit_id in self._entries:
                raise DeltaInUse(f"edit {edit_id!r} is applied: revert it first")
            self._drop_not_restored(edit_id)
            self._shelf.delete(edit_id)

    def _drop_not_restored(self, edit_id: str) -> None:
        """The next start tries it no more; the others that were not restored stay on the list."""
        if edit_id in self._not_restored:
            kept = [entry for entry in self._shelf.applied() if entry.edit_id != edit_id]
            self._shelf.write_applied(kept)
            del self._not_restored[edit_id]

    def _write_list(self, applied: Sequence[AppliedEdit]) -> None:
        """Those that were not restored stay on it, behind what was applied without them."""
        waiting = self._not_restored.keys() - {entry.edit_id for entry in applied}
        kept = (entry for entry in self._shelf.applied() if entry.edit_id in waiting)
        self._shelf.write_applied([*applied, *kept])

    def _take_back(self, edit_id: str) -> None:
        delta, entry = self._deltas[edit_id], self._entries[edit_id]
        remaining = [each for each in self._entries.values() if each is not entry]
        self._on_engine(lambda: self._editable.revert(delta))
        try:
            self._write_list(remaining)
        except BaseException:
            self._on_engine(lambda: self._editable.apply(delta, combine=True))
            raise
        del self._entries[edit_id], self._deltas[edit_id]

    def _applied(self, delta: Delta, combine: bool) -> tuple[list[Forced], list[Forced]]:
        """Applies, and sees for itself: what this very model says of the targets before and after."""
        speaker = ModelSpeaker(self._editable.model, self._editable.tokenizer)
        pairs = [(request.prompt, request.target) for request in delta.requests]
        before = speaker.forced(pairs)
        self._editable.apply(delta, combine=combine)
        try:
            return before, speaker.forced(pairs)
        except BaseException:
            self._editable.revert(delta)
            raise

    def _on_engine(self, function: Callable[[], T]) -> T:
        return self._engine.call(lambda model, tokenizer: function(), alone=True).result()


def standing_values(forced: Forced) -> dict[str, Any]:
    """As `editors.metrics.receipt.Standing` is kept in a receipt."""
    return {
        "log_probability": sum(forced.log_probabilities),
        "mean": forced.mean,
        "rank": forced.ranks[0],
    }


def _live(delta: Delta, before: Sequence[Forced], after: Sequence[Forced]) -> list[dict[str, Any]]:
    return [
        {**asdict(request), "before": standing_values(old), "after": standing_values(new)}
        for request, old, new in zip(delta.requests, before, after, strict=True)
    ]
