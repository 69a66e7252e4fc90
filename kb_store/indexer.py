"""The worker that keeps the vector index up with SQL: outbox in, searchable facts out.

One thread owns all changes of the index. It reads the outbox in batches, reads each fact again (an entry says
only that something changed), embeds keys, applies, and tells those who wait. From time to time it saves the
index, and only then forgets the outbox entries that the saved state covers. At start it decides from the
manifest and the outbox whether the saved index can be continued or must be rebuilt.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

from kb_store import failpoints
from kb_store.contract import Embedder, FactReader, NamespaceStore, Outbox
from kb_store.errors import NotFound, StoreClosed
from kb_store.index import KeptIndex
from kb_store.keys import KeyEmbedder
from kb_store.model import OutboxEntry
from kb_store.rebuilding import Rebuild, differences

BEFORE_APPLY = failpoints.register("indexer.before_apply")
AFTER_APPLY = failpoints.register("indexer.after_apply")
BEFORE_TRIM = failpoints.register("indexer.before_trim")

_log = logging.getLogger(__name__)

# Applied and newest outbox sequence, after every batch.
CatchUpProgress = Callable[[int, int], None]
# Facts done and facts in all.
RebuildProgress = Callable[[int, int], None]

_LONGEST_PAUSE = 5.0
_NAMESPACE_PAGE = 1000


class IndexedStore(FactReader, NamespaceStore, Outbox, Protocol):
    """The part of a store that the indexer reads."""


@dataclass(frozen=True, slots=True)
class IndexerSettings:
    """batch: facts embedded at once. The index is saved when `save_changes` facts, or `save_share` of all, have
    changed since (whichever is more), and when nothing happened for `save_idle_seconds` and at least
    `idle_share` of all changed. close() saves in any case."""

    batch: int = 512
    save_changes: int = 5_000
    save_share: float = 0.05
    save_idle_seconds: float = 20.0
    idle_share: float = 0.01


class Indexer:
    """`start` it once, `close` it before the store. All methods may be called from any thread."""

    def __init__(
        self,
        store: IndexedStore,
        index: KeptIndex,
        embedder: Embedder,
        settings: IndexerSettings | None = None,
        *,
        progress: CatchUpProgress = lambda applied, newest: None,
    ) -> None:
        self._store = store
        self._index = index
        self._keys = KeyEmbedder(embedder)
        self._settings = settings or IndexerSettings()
        self._progress = progress
        self._news = threading.Condition()
        self._work = threading.Event()
        self._closing = False
        self._applied = index.applied_sequence()
        self._searchable: dict[str, OutboxEntry] = {}
        self._asked: deque[Rebuild] = deque()
        self._rebuild: Rebuild | None = None
        self._changes = 0
        self._unchecked = True
        self._leading = False
        self._handed_over: set[str] = set()
        self._last_change = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="interleaf-indexer", daemon=True)
        self.last_error: Exception | None = None

    # --- for those who ask --------------------------------------------------------------------------------

    def start(self) -> None:
        """Decides what of the saved index can be used, then works in its own thread."""
        if self._index.lead():
            self._recover()
        self._store.on_commit(self._work.set)
        self._work.set()
        self._thread.start()

    def close(self) -> None:
        """Stops after the batch in hand and saves. What is left is caught up at the next start."""
        self._closing = True
        self._work.set()
        if self._thread.is_alive():
            self._thread.join()
        for rebuild in [*self._asked, *([self._rebuild] if self._rebuild else [])]:
            rebuild.done.cancel()
        with self._news:
            self._news.notify_all()

    def lag(self) -> int:
        """Outbox entries that are not in the index yet."""
        return max(0, self._store.last_sequence() - self._applied)

    def searchable_revision(self, namespace: str) -> int:
        """The revision of the namespace up to which all its changes can be found; 0 while it is rebuilt."""
        present = self._store.get_namespace(namespace)
        newest = self._store.last_sequence()
        if namespace in self._index.damaged:
            return 0
        if self._applied >= newest:
            return present.revision
        known = self._searchable.get(namespace)
        # A namespace that was deleted and made again starts from 0.
        if known is None or known.namespace_create_time != present.create_time:
            return 0
        return known.namespace_revision

    def wait_searchable(self, namespace: str, revision: int, timeout: float) -> bool:
        """Whether the namespace's changes up to this revision became searchable in time."""
        deadline = time.monotonic() + timeout
        reached = self.reaching(namespace, revision)
        while True:
            with self._news:
                applied = self._applied
            if reached():
                return True
            if not self._wait_news(applied, deadline):
                return False

    def reaching(self, namespace: str, revision: int) -> Callable[[], bool]:
        """Says whenever it is asked whether the namespace's changes up to this revision are searchable by now. What
        others write meanwhile does not keep it from coming true."""
        present, newest = -1, 0  # as they were when the revision was there

        def reached() -> bool:
            nonlocal present, newest
            if revision > present:
                present = self._store.get_namespace(namespace).revision
                newest = self._store.last_sequence()
            if revision <= present and self._applied >= newest and namespace not in self._index.damaged:
                return True
            return self.searchable_revision(namespace) >= revision

        return reached

    def wait_caught_up(self, timeout: float) -> bool:
        """Whether everything that is durable now became searchable in time, repairs at start included."""
        deadline = time.monotonic() + timeout
        newest = self._store.last_sequence()
        while True:
            with self._news:
                applied = self._applied
            if applied >= newest and not self._unchecked and not self._index.damaged:
                return True
            if not self._wait_news(applied, deadline):
                return False

    def rebuild(self, namespace: str, progress: RebuildProgress = lambda done, total: None) -> Future[int]:
        """Makes the namespace's index anew from SQL, beside the present one; resolves to the number of facts."""
        rebuild = Rebuild(namespace, progress)
        if self._closing:
            raise StoreClosed("the indexer is closed")
        self._asked.append(rebuild)
        self._work.set()
        return rebuild.done

    def verify(self, namespace: str, *, timeout: float = 60.0) -> list[str]:
        """How index and SQL differ, in sentences. Facts may change meanwhile: only what stays is reported."""
        found: list[str] = []
        for _ in range(3):
            self.wait_caught_up(timeout)
            found = differences(self._store, self._index, namespace)
            if not found:
                break
        return found

    def _wait_news(self, applied: int, deadline: float) -> bool:
        """False when the time is over or nothing more will come."""
        with self._news:
            if self._closing:
                return False
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            if self._applied == applied:
                self._news.wait(min(left, 0.5))
        return True

    # --- the worker ---------------------------------------------------------------------------------------

    def _recover(self) -> None:
        self._leading = self._unchecked = True
        self._handed_over.clear()
        if self._rebuild is not None:
            self._rebuild.begin_again()
        newest = self._store.last_sequence()
        applied = self._index.applied_sequence()
        following = self._store.read_outbox(after=applied, limit=1)
        missed = bool(following) and following[0].sequence != applied + 1
        missed |= applied < newest and not following
        present = self._namespaces()
        if self._index.lost or applied > newest or missed:
            _log.warning("the saved index does not fit the database: it is made again")
            self._index.restart_at(newest, present)
        for namespace in self._index.namespaces() - present.keys():
            self._index.drop(namespace)
        self._applied = self._index.applied_sequence()

    def _namespaces(self) -> dict[str, int]:
        """Every namespace and its number of live facts."""
        found: dict[str, int] = {}
        after = ""
        while page := self._store.list_namespaces(limit=_NAMESPACE_PAGE, after=after):
            found.update((item.namespace_id, item.fact_count) for item in page)
            after = page[-1].namespace_id
        return found

    def _run(self) -> None:
        pause = 0.0
        while not self._closing:
            try:
                busy = self._step()
                self.last_error = None
                # A rebuild that has failed may do so again, each time behind many good batches.
                if self._rebuild is None:
                    pause = 0.0
            except StoreClosed:
                break
            except Exception as error:  # whatever it was, facts must go on becoming searchable
                _log.exception("indexing failed; it is tried again")
                self.last_error = error
                pause = min(_LONGEST_PAUSE, max(0.1, pause * 2))
                busy = False
            if not busy and not self._closing:
                self._work.wait(pause or self._settings.save_idle_seconds)
        try:
            self._save(always=True)
        except Exception:
            _log.exception("the index could not be saved; what is missing is caught up at the next start")

    def _step(self) -> bool:
        """One batch of the outbox, then one of a rebuild; whether there may be more."""
        self._work.clear()
        if not self._index.lead():
            self._follow()
            return False
        if not self._leading:
            self._recover()
        self._ask_for_damaged()
        more = self._drain()
        if self._continue_rebuild():
            more = True
        elif not more:
            self._check_counts()
        self._save(always=False)
        return more or bool(self._asked) or bool(self._index.damaged)

    def _drain(self) -> bool:
        entries = self._store.read_outbox(after=self._applied, limit=self._settings.batch)
        if entries[:1] and entries[0].sequence != self._applied + 1:
            _log.warning(
                "others have forgotten outbox entries that this index has not seen: it is made again"
            )
            self._recover()
            return True
        if not entries:
            return False
        changed: dict[str, dict[int, OutboxEntry]] = {}
        for entry in entries:
            changed.setdefault(entry.namespace, {})[entry.row] = entry
        failpoints.hit(BEFORE_APPLY)
        for namespace, rows in changed.items():
            self._take_in(namespace, list(rows))
        failpoints.hit(AFTER_APPLY)
        newest = entries[-1].sequence
        self._index.note(newest)
        self._changes += len(entries)
        self._last_change = time.monotonic()
        self._tell(entries, newest)
        self._progress(newest, self._store.last_sequence())
        return True

    def _follow(self) -> None:
        """Another process keeps the index: tells those who wait here how far it is, and it what was asked here."""
        self._leading, self._unchecked = False, False
        if self._rebuild is not None:  # begun here: it is the other's to end, too
            self._rebuild.begin_again()
            self._asked.appendleft(self._rebuild)
            self._rebuild = None
        applied = self._index.applied_sequence()
        entries = self._store.read_outbox(after=self._applied, limit=max(1, applied - self._applied))
        for rebuild in list(self._asked):
            if rebuild.namespace not in self._handed_over:
                self._index.distrust(rebuild.namespace)
                self._handed_over.add(rebuild.namespace)
            elif rebuild.namespace not in self._index.damaged:
                self._asked.remove(rebuild)
                self._handed_over.discard(rebuild.namespace)
                rebuild.finish(self._index.count(rebuild.namespace))
        self._tell([entry for entry in entries if entry.sequence <= applied], max(self._applied, applied))

    def _tell(self, entries: list[OutboxEntry], applied: int) -> None:
        """Those who wait, how far the index is. What is gone may have been an earlier namespace's: it says nothing."""
        with self._news:
            self._searchable |= {
                entry.namespace: entry for entry in entries if entry.namespace_create_time is not None
            }
            self._applied = applied
            self._news.notify_all()

    def _ask_for_damaged(self) -> None:
        known = {rebuild.namespace for rebuild in self._asked}
        if self._rebuild is not None:
            known.add(self._rebuild.namespace)
        self._asked.extend(Rebuild(namespace) for namespace in sorted(self._index.damaged - known))

    def _take_in(self, namespace: str, rows: list[int]) -> None:
        facts = self._store.facts_by_row(namespace, rows)
        live = [row for row in rows if row in facts]
        gone = [row for row in rows if row not in facts]
        vectors = self._keys.embed([facts[row].content for row in live])
        self._index.apply(namespace, remove=gone, rows=live, vectors=vectors, sequence=self._applied)
        if self._rebuild is not None and self._rebuild.namespace == namespace:
            self._rebuild.overtake(gone, live, vectors)

    def _continue_rebuild(self) -> bool:
        if self._rebuild is None:
            if not self._asked:
                return False
            self._rebuild = self._asked.popleft()
        rebuild = self._rebuild
        try:
            if rebuild.step(self._store, self._index, self._keys, self._settings.batch):
                return True
        except NotFound:
            # Deleted meanwhile: there is nothing to find any more.
            self._index.install(rebuild.namespace, self._index.new_partition())
            rebuild.finish()
        self._rebuild = None
        self._changes += self._settings.save_changes
        self._last_change = time.monotonic()
        with self._news:
            self._news.notify_all()
        return bool(self._asked)

    def _check_counts(self) -> None:
        """Once after catching up: an index with another number of facts than SQL missed something."""
        if not self._unchecked or self.lag():
            return
        wrong = [
            namespace
            for namespace, count in self._namespaces().items()
            if self._index.count(namespace) != count
        ]
        if self.lag():  # facts changed while they were counted
            return
        for namespace in wrong:
            _log.warning("the index of a namespace disagrees with the database: it is made again")
            self._index.distrust(namespace)
        with self._news:
            self._unchecked = False
            self._news.notify_all()

    def _save(self, *, always: bool) -> None:
        if not self._changes:
            return
        total = self._index.total()
        settings = self._settings
        idle = time.monotonic() - self._last_change >= settings.save_idle_seconds
        due = self._changes >= max(settings.save_changes, settings.save_share * total) or (
            idle and self._changes >= max(1.0, settings.idle_share * total)
        )
        if not (due or always):
            return
        self._index.save()
        self._changes = 0
        failpoints.hit(BEFORE_TRIM)
        self._store.trim_outbox(self._index.saved_sequence)
