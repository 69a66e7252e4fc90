"""Namespaces: made, read, changed, deleted. The store's calls block, so they run in worker threads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kb_store.contract import Store
from kb_store.errors import NotFound
from kb_store.model import Context, Namespace, RelationExamples
from service.revisions import Revisions
from service.workers import Workers


@dataclass(frozen=True, slots=True)
class SeenNamespace:
    """A namespace, and how far index and encoder have come with it."""

    namespace: Namespace
    searchable_revision: int = 0
    compiled_revision: int = 0


class Spaces:
    """The Namespaces service but for reindexing."""

    def __init__(self, store: Store, revisions: Revisions, workers: Workers) -> None:
        self._store, self._revisions, self._workers = store, revisions, workers

    async def create(
        self,
        namespace_id: str,
        display_name: str,
        multi_valued: frozenset[str],
        relation_examples: Sequence[RelationExamples],
        context: Context,
    ) -> SeenNamespace:
        """A new one has nothing to search."""
        made = await self._workers.writes.run(
            self._store.create_namespace, namespace_id, display_name, multi_valued, context, relation_examples
        )
        return SeenNamespace(made)

    async def get(self, namespace_id: str) -> SeenNamespace:
        """NotFound when there is none."""
        return await self._workers.reads.run(self.read, namespace_id)

    async def list(self, *, limit: int, after: str) -> tuple[tuple[SeenNamespace, ...], str]:
        """Ordered by id, and where the next page begins (empty: there is none)."""
        return await self._workers.reads.run(self._list, limit, after)

    async def update(
        self,
        namespace_id: str,
        *,
        display_name: str | None,
        multi_valued: frozenset[str] | None,
        relation_examples: Sequence[RelationExamples] | None,
        etag: str,
        context: Context,
    ) -> SeenNamespace:
        """Changes what is not None."""
        changed = await self._workers.writes.run(
            self._store.update_namespace,
            namespace_id,
            display_name=display_name,
            multi_valued=multi_valued,
            relation_examples=relation_examples,
            etag=etag,
            context=context,
        )
        return await self._workers.reads.run(self._seen, changed)

    async def delete(self, namespace_id: str, *, force: bool, etag: str, context: Context) -> None:
        """With its facts, where forced."""
        await self._workers.writes.run(
            self._store.delete_namespace, namespace_id, force=force, etag=etag, context=context
        )

    def read(self, namespace_id: str) -> SeenNamespace:
        """The same as `get`, for a worker thread."""
        return self._seen(self._store.get_namespace(namespace_id))

    def _list(self, limit: int, after: str) -> tuple[tuple[SeenNamespace, ...], str]:
        found: Sequence[Namespace] = self._store.list_namespaces(limit=limit + 1, after=after)
        page = found[:limit]
        return (
            tuple(self._seen(item) for item in page),
            page[-1].namespace_id if len(found) > limit else "",
        )

    def _seen(self, namespace: Namespace) -> SeenNamespace:
        try:
            searchable, compiled = self._revisions.figures(namespace)
        except NotFound:  # deleted since it was read
            searchable = compiled = 0
        return SeenNamespace(namespace, searchable, compiled)
