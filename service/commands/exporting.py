"""ExportFacts: the live facts of a namespace as the bytes of a file."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from kb_store.contract import Store
from kb_store.formats import FactFileWriter, FileFormat, writer
from kb_store.model import Condition
from service.config import KIB
from service.workers import Workers

_PAGE = 1000
_CHUNK = 64 * KIB


class Exporting:
    """Writes pages of facts, each read from a snapshot of its own."""

    def __init__(self, store: Store, workers: Workers) -> None:
        self._store, self._workers = store, workers

    async def export(
        self, namespace: str, file_format: FileFormat, conditions: tuple[Condition, ...]
    ) -> AsyncGenerator[bytes, None]:
        """Pieces of the file, none of them empty."""
        made = writer(file_format)
        waiting = bytearray(made.begin())
        after: int | None = 0
        while after is not None:
            data, after = await self._workers.reads.run(self._page, made, namespace, conditions, after)
            waiting += data
            while len(waiting) >= _CHUNK:
                yield bytes(waiting[:_CHUNK])
                del waiting[:_CHUNK]
        if waiting:
            yield bytes(waiting)

    def _page(
        self, made: FactFileWriter, namespace: str, conditions: tuple[Condition, ...], after: int
    ) -> tuple[bytes, int | None]:
        page = self._store.list_facts(namespace, conditions, limit=_PAGE, after=after)
        return b"".join(made.add(fact.content, fact.fact_id) for fact in page.facts), page.next_after
