"""interleaf.v1.Facts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any

from interleaf.v1 import facts_pb2, facts_pb2_grpc
from kb_store.errors import InvalidInput
from kb_store.filters import parse_filter
from kb_store.model import (
    Context,
    CreateFact,
    DeleteFact,
    FactMutation,
    RollbackFact,
    UndeleteFact,
    UpdateFact,
)
from kb_store.reviews import Quarantine
from kb_store.validation import check_changes, check_content, check_id, check_integer, check_text
from service.calls import current
from service.commands.exporting import Exporting
from service.commands.importing import ImportHeader, Importing
from service.commands.reading import ListQuery, Reading, SearchQuery, SeenFacts
from service.commands.writing import Writing
from service.convert import facts as convert
from service.convert.answers import top_k_of
from service.limits import LimitSettings
from service.page_tokens import PageTokens
from service.servicers.contexts import context_of
from service.validation import (
    count,
    fact_ids_of,
    fact_of,
    free_text,
    known_enum,
    mask,
    namespace_of,
    not_negative,
    page_size,
)


class FactsServicer(facts_pb2_grpc.FactsServicer):  # type: ignore[misc]
    """See protos/interleaf/v1/facts.proto for what each call does."""

    def __init__(
        self,
        reading: Reading,
        writing: Writing,
        importing: Importing,
        exporting: Exporting,
        tokens: PageTokens,
        limits: LimitSettings,
        default_top_k: int,
        quarantine: Quarantine = Quarantine.OFF,
    ) -> None:
        self._quarantine = quarantine
        self._reading, self._writing = reading, writing
        self._importing, self._exporting = importing, exporting
        self._tokens, self._limits, self._default_top_k = tokens, limits, default_top_k
        self._store_limits = limits.for_store()

    # --- writing ------------------------------------------------------------------------------------------

    async def CreateFact(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Adds a fact."""
        mutation = self._creation(request, namespace_of("parent", request.parent), "")
        return await self._one(mutation, context_of(request))

    async def UpdateFact(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Corrects a fact."""
        message = request.fact
        namespace, fact_id = fact_of("fact.name", message.name)
        named = mask(request.update_mask.paths, convert.CONTENT_FIELDS)
        changes = convert.changes_of(message, named or convert.set_fields(message), "fact.")
        check_changes(changes, self._store_limits, "fact.")
        mutation = UpdateFact(namespace, fact_id, changes, message.etag)
        return await self._one(mutation, context_of(request))

    async def DeleteFact(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Deletes softly."""
        namespace, fact_id = fact_of("name", request.name)
        return await self._one(DeleteFact(namespace, fact_id, request.etag), context_of(request))

    async def UndeleteFact(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Brings a deleted fact back."""
        namespace, fact_id = fact_of("name", request.name)
        return await self._one(UndeleteFact(namespace, fact_id, request.etag), context_of(request))

    async def RollbackFact(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Makes an earlier revision the current one."""
        namespace, fact_id = fact_of("name", request.name)
        revision = check_integer("revision", request.revision, minimum=1)
        mutation = RollbackFact(namespace, fact_id, revision, request.etag)
        return await self._one(mutation, context_of(request))

    async def BatchCreateFacts(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Adds all or none."""
        namespace = namespace_of("parent", request.parent)
        count("requests", request.requests, "max_batch_facts", self._limits.max_batch_facts, minimum=1)
        mutations = []
        for index, part in enumerate(request.requests):
            prefix = f"requests[{index}]."
            if part.parent and part.parent != request.parent:
                raise InvalidInput(prefix + "parent", "must be empty, or the same as the batch's")
            if part.request_id or part.validate_only:
                raise InvalidInput(prefix + "request_id", "and validate_only must be set for the whole batch")
            mutations.append(self._creation(part, namespace, prefix))
        result = await self._writing.apply(mutations, context_of(request))
        return facts_pb2.BatchCreateFactsResponse(
            facts=map(convert.fact_message, result.facts), namespace_revision=result.namespace_revision
        )

    async def BatchDeleteFacts(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Deletes all or none."""
        namespace, fact_ids = self._batch_names(request)
        mutations = [DeleteFact(namespace, fact_id) for fact_id in fact_ids]
        result = await self._writing.apply(mutations, context_of(request))
        return facts_pb2.BatchDeleteFactsResponse(
            facts=map(convert.fact_message, result.facts), namespace_revision=result.namespace_revision
        )

    def _creation(self, request: Any, namespace: str, prefix: str) -> FactMutation:
        content = convert.content_of(request.fact, f"{prefix}fact.")
        check_content(content, self._store_limits, f"{prefix}fact.")
        if request.fact_id:
            check_id(f"{prefix}fact_id", request.fact_id)
        policy = known_enum(f"{prefix}on_conflict", request.on_conflict, convert.POLICIES)
        return CreateFact(namespace, content, request.fact_id, policy)

    def _batch_names(self, request: Any) -> tuple[str, tuple[str, ...]]:
        namespace = namespace_of("parent", request.parent)
        count("names", request.names, "max_batch_facts", self._limits.max_batch_facts, minimum=1)
        return namespace, fact_ids_of("names", request.names, namespace)

    async def _one(self, mutation: FactMutation, context: Context) -> Any:
        result = await self._writing.apply([mutation], context)
        return convert.fact_message(result.facts[0])

    # --- reading ------------------------------------------------------------------------------------------

    async def GetFact(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Returns a fact, deleted or not."""
        namespace, fact_id = fact_of("name", request.name)
        revision = not_negative("min_revision", request.min_revision)
        return _messages(await self._reading.get(namespace, fact_id, revision))[0]

    async def BatchGetFacts(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Returns all, or NOT_FOUND."""
        namespace, fact_ids = self._batch_names(request)
        seen = await self._reading.get_many(namespace, fact_ids)
        return facts_pb2.BatchGetFactsResponse(facts=_messages(seen))

    async def ListFacts(self, request: Any, context: Any) -> Any:  # noqa: N802
        """A page of facts."""
        namespace = namespace_of("parent", request.parent)
        bound = ("ListFacts", namespace, request.filter, str(request.show_deleted))
        seen = await self._reading.list(
            ListQuery(
                namespace,
                parse_filter(request.filter, self._store_limits),
                limit=self._page_size(request),
                after=self._tokens.number(request.page_token, *bound),
                show_deleted=request.show_deleted,
                min_revision=not_negative("min_revision", request.min_revision),
            )
        )
        following = "" if seen.next_after is None else self._tokens.make(seen.next_after, *bound)
        return facts_pb2.ListFactsResponse(
            facts=_messages(seen), next_page_token=following, namespace_revision=seen.namespace_revision
        )

    async def ListFactRevisions(self, request: Any, context: Any) -> Any:  # noqa: N802
        """A page of a fact's history."""
        namespace, fact_id = fact_of("name", request.name)
        bound = ("ListFactRevisions", namespace, fact_id)
        page, before = await self._reading.history(
            namespace,
            fact_id,
            limit=self._page_size(request),
            before=self._tokens.number(request.page_token, *bound),
        )
        following = "" if before is None else self._tokens.make(before, *bound)
        return facts_pb2.ListFactRevisionsResponse(
            revisions=map(convert.revision_message, page), next_page_token=following
        )

    async def SearchFacts(self, request: Any, context: Any) -> Any:  # noqa: N802
        """The facts that a text speaks of."""
        limits = self._limits
        query = SearchQuery(
            namespace_of("parent", request.parent),
            free_text("query", request.query, "max_query_length", limits.max_query_length),
            top_k=top_k_of("top_k", request.top_k, self._default_top_k, limits.max_top_k),
            mode=known_enum("mode", request.mode, convert.MODES),
            min_revision=not_negative("min_revision", request.min_revision),
        )
        result, states = await self._reading.search(query)
        return facts_pb2.SearchFactsResponse(
            hits=map(convert.hit_message, result.hits, states), namespace_revision=result.namespace_revision
        )

    def _page_size(self, request: Any) -> int:
        limits = self._limits
        return page_size(request.page_size, limits.default_page_size, limits.max_page_size)

    # --- files --------------------------------------------------------------------------------------------

    async def ImportFacts(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:  # noqa: N802
        """Takes a file in, reporting progress."""
        first = await anext(requests, None)
        if first is None or first.WhichOneof("payload") != "header":
            raise InvalidInput("header", "must be the first message")
        async with aclosing(self._importing.run(self._header(first.header), _data(requests))) as reports:
            async for report in reports:
                yield convert.import_message(report)

    async def ExportFacts(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        """Gives a namespace out as a file."""
        namespace = namespace_of("parent", request.parent)
        file_format = known_enum("format", request.format, convert.FORMATS)
        conditions = parse_filter(request.filter, self._store_limits)
        async with aclosing(self._exporting.export(namespace, file_format, conditions)) as pieces:
            async for data in pieces:
                yield facts_pb2.ExportFactsResponse(data=data)

    def _header(self, header: Any) -> ImportHeader:
        limits = self._limits
        return ImportHeader(
            namespace_of("header.parent", header.parent),
            known_enum("header.format", header.format, convert.FORMATS),
            known_enum("header.on_conflict", header.on_conflict, convert.POLICIES),
            header.import_id,
            check_text("header.source", header.source, "max_source_length", limits.max_source_length),
            Context(principal=current().principal, validate_only=header.validate_only),
            max(
                self._quarantine,
                known_enum("header.quarantine", header.quarantine, convert.QUARANTINES),
                key=lambda how: how.strictness,
            ),
        )


async def _data(requests: AsyncIterator[Any]) -> AsyncIterator[bytes]:
    async for request in requests:
        if request.WhichOneof("payload") != "data":
            raise InvalidInput("data", "every message after the first must carry data")
        yield request.data


def _messages(seen: SeenFacts) -> Sequence[Any]:
    return [convert.fact_message(fact, state) for fact, state in zip(seen.facts, seen.states, strict=True)]
