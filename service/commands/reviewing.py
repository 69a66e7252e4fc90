"""Rows of imports that wait for approval: listed, approved, rejected. The store's calls block."""

from __future__ import annotations

from collections.abc import Sequence

from kb_store.contract import ReviewStore
from kb_store.model import ConflictPolicy, Context
from kb_store.reviews import Review, ReviewState
from service.workers import Workers


class Reviewing:
    """The Reviews service."""

    def __init__(self, store: ReviewStore, workers: Workers) -> None:
        self._store, self._workers = store, workers

    async def get(self, namespace: str, review_id: str) -> Review:
        """NotFound when there is none."""
        return await self._workers.reads.run(self._store.get_review, namespace, review_id)

    async def list(
        self, namespace: str, state: ReviewState, import_id: str, *, limit: int, after: str
    ) -> tuple[Sequence[Review], str]:
        """In the order in which they came, and where the next page begins (empty: there is none)."""
        found = await self._workers.reads.run(
            self._store.list_reviews,
            namespace,
            state=state,
            import_id=import_id,
            limit=limit + 1,
            after=after,
        )
        return found[:limit], found[limit - 1].review_id if len(found) > limit else ""

    async def decide(
        self,
        namespace: str,
        review_id: str,
        *,
        approve: bool,
        policy: ConflictPolicy | None,
        context: Context,
    ) -> Review:
        """Answers when the decision is durable, and with it the fact that an approval makes."""
        return await self._workers.writes.run(
            self._store.decide_review,
            namespace,
            review_id,
            approve=approve,
            policy=policy,
            context=context,
        )
