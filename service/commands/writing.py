"""Writing facts: every mutation, single or in a batch, goes through the store's one writer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from kb_store.contract import FactWriter
from kb_store.model import Context, FactMutation, WriteResult


class Writing:
    """Answers when the change is durable."""

    def __init__(self, store: FactWriter) -> None:
        self._store = store

    async def apply(self, mutations: Sequence[FactMutation], context: Context) -> WriteResult:
        """All or none. A caller that goes away before the writer takes the change up withdraws it."""
        return await asyncio.wrap_future(self._store.submit(mutations, context))
