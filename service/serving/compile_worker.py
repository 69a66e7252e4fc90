"""Compiles facts, and reads the names of their relations, soon after they are written, so that the first question
about them need not wait.

After a commit the worker looks through the namespaces that changed, forgets what was compiled of facts that are gone,
compiles what is not compiled yet, and has new names read. It keeps no list of its own, so it cannot lose one: after
a restart, or a burst of writes, it finds the same work. Of large namespaces only the first facts' names are read: the
rest is left to questions.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from itertools import islice

from engines.errors import EngineClosed
from kb_store.contract import Store
from kb_store.errors import NotFound, StoreClosed
from kb_store.model import Fact, Namespace
from service.serving.compiled import CompiledFacts, version_of

_PAGE = 500
_QUIET_SECONDS = 0.2  # writes come in bursts: one look after each
_POLITE_SECONDS = 2.0  # how long questions that are being answered go first
_RETRY_SECONDS = 5.0

_log = logging.getLogger(__name__)

# Reads names of a namespace's relations; asks before every few of them whether to go on.
ReadNames = Callable[[Namespace, Sequence[str], Callable[[], bool]], None]

# A namespace that is deleted and made again is another one of the same name.
_Identity = tuple[str, datetime]


def _no_names(space: Namespace, relations: Sequence[str], go_on: Callable[[], bool]) -> None:
    """Where nothing is judged by names."""


class CompileWorker:
    """`start` it once, `close` it before the store and the engine."""

    def __init__(
        self,
        store: Store,
        compiled: CompiledFacts,
        *,
        max_facts: int,
        batch: int,
    ) -> None:
        self._store, self._compiled = store, compiled
        self._max_facts, self._batch = max_facts, batch
        self._idle: Callable[[], bool] = lambda: True
        self._read_names: ReadNames = _no_names
        self._done: dict[_Identity, int] = {}
        # Namespaces that are not compiled, whose first names have been read.
        self._large: set[_Identity] = set()
        self._work, self._closing = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="interleaf-compile", daemon=True)

    def start(self, idle: Callable[[], bool] = lambda: True, read_names: ReadNames = _no_names) -> None:
        """Begins with what is in the store. `idle` says whether no question is being answered."""
        self._idle, self._read_names = idle, read_names
        self._store.on_commit(self._work.set)
        self._work.set()
        self._thread.start()

    def close(self) -> None:
        """Stops after the batch in hand."""
        self._closing.set()
        self._work.set()
        if self._thread.is_alive():
            self._thread.join()

    def ready(self, fact: Fact) -> bool:
        """Whether this revision's tokens are at hand."""
        return self._compiled.ready(fact)

    def compiled_revision(self, space: Namespace) -> int:
        """Everything up to here has been compiled since the start."""
        return self._done.get(_identity(space), 0)

    def _run(self) -> None:
        while not self._closing.is_set():
            self._work.wait()
            self._closing.wait(_QUIET_SECONDS)
            self._work.clear()
            try:
                self._look_through()
            except (StoreClosed, EngineClosed):
                return
            except Exception:  # whatever it was: facts are compiled on demand, and this is tried again
                _log.exception("compiling in the background failed; it is tried again")
                if not self._closing.wait(_RETRY_SECONDS):
                    self._work.set()

    def _look_through(self) -> None:
        present = {_identity(space): space for space in self._namespaces()}
        gone = self._done.keys() - present.keys()
        for identity in gone:
            del self._done[identity]
        names = {name for name, _ in present}
        for name in (self._compiled.namespaces() - names) | {name for name, _ in gone}:
            self._compiled.forget_others(name, ())
        self._large &= present.keys()
        for identity, space in present.items():
            if self._closing.is_set():
                return
            if self._done.get(identity) == space.revision:
                continue
            if space.fact_count <= self._max_facts:
                self._compile(space, list(self._facts(space)))
            elif identity not in self._large:
                self._large.add(identity)
                self._read_names_of(space, islice(self._facts(space), self._max_facts))

    def _namespaces(self) -> Iterator[Namespace]:
        after = ""
        while page := self._store.list_namespaces(limit=_PAGE, after=after):
            yield from page
            after = page[-1].namespace_id

    def _facts(self, space: Namespace) -> Iterator[Fact]:
        """None where the namespace was deleted meanwhile."""
        with suppress(NotFound):
            for page in self._store.all_rows(space.namespace_id, batch=_PAGE):
                yield from (fact for _, fact in page)

    def _compile(self, space: Namespace, facts: Sequence[Fact]) -> None:
        # Before anything else: what is dead must not keep the living out.
        self._compiled.forget_others(space.namespace_id, {version_of(fact) for fact in facts})
        missing = [fact for fact in facts if not self._compiled.ready(fact)]
        self._read_names_of(space, facts)
        for start in range(0, len(missing), self._batch):
            if self._compiled.full() or not self._others_first():
                return
            self._compiled.tokens(missing[start : start + self._batch], ahead=True)
        self._done[_identity(space)] = space.revision

    def _read_names_of(self, space: Namespace, facts: Iterable[Fact]) -> None:
        names = dict.fromkeys(fact.content.relation for fact in facts)
        self._read_names(space, list(names), self._others_first)

    def _others_first(self) -> bool:
        """Waits a while for questions under way; whether to go on then."""
        waited = 0.0
        while not self._idle() and waited < _POLITE_SECONDS and not self._closing.wait(0.05):
            waited += 0.05
        return not self._closing.is_set()


def _identity(space: Namespace) -> _Identity:
    return space.namespace_id, space.create_time


class NothingCompiled:
    """Where there is no encoder."""

    def ready(self, fact: Fact) -> bool:
        """Never."""
        return False

    def compiled_revision(self, space: Namespace) -> int:
        """Nothing."""
        return 0
