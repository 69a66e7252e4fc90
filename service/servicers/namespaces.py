"""interleaf.v1.Namespaces."""

from __future__ import annotations

from typing import Any

from interleaf.v1 import namespaces_pb2, namespaces_pb2_grpc
from kb_store.model import RelationExamples
from kb_store.validation import check_display_name, check_examples, check_id, check_relations
from service.commands.reindexing import Reindexing
from service.commands.spaces import Spaces
from service.convert import facts as convert
from service.limits import LimitSettings
from service.page_tokens import PageTokens
from service.servicers.contexts import context_of
from service.serving.examples import told_apart
from service.validation import mask, namespace_of, page_size, request_id

_FIELDS = ("display_name", "multi_valued_relations", "relation_examples")
_LIST = "ListNamespaces"


class NamespacesServicer(namespaces_pb2_grpc.NamespacesServicer):  # type: ignore[misc]
    """See protos/interleaf/v1/namespaces.proto for what each call does."""

    def __init__(
        self, spaces: Spaces, reindexing: Reindexing, tokens: PageTokens, limits: LimitSettings
    ) -> None:
        self._spaces, self._reindexing = spaces, reindexing
        self._tokens, self._limits = tokens, limits

    async def CreateNamespace(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Makes a namespace."""
        namespace_id = check_id("namespace_id", request.namespace_id)
        display_name, relations, examples = self._content(request.namespace)
        seen = await self._spaces.create(namespace_id, display_name, relations, examples, context_of(request))
        return convert.namespace_message(seen)

    async def GetNamespace(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Returns a namespace."""
        seen = await self._spaces.get(namespace_of("name", request.name))
        return convert.namespace_message(seen)

    async def ListNamespaces(self, request: Any, context: Any) -> Any:  # noqa: N802
        """A page of namespaces."""
        limits = self._limits
        page, after = await self._spaces.list(
            limit=page_size(request.page_size, limits.default_page_size, limits.max_page_size),
            after=self._tokens.text(request.page_token, _LIST),
        )
        return namespaces_pb2.ListNamespacesResponse(
            namespaces=map(convert.listed_namespace, page),
            next_page_token=self._tokens.make(after, _LIST) if after else "",
        )

    async def UpdateNamespace(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Changes what the mask names, or what is set."""
        message = request.namespace
        namespace_id = namespace_of("namespace.name", message.name)
        display_name, relations, examples = self._content(message)
        named = mask(request.update_mask.paths, _FIELDS)
        if not named:
            named = tuple(name for name in _FIELDS if getattr(message, name))
        seen = await self._spaces.update(
            namespace_id,
            display_name=display_name if "display_name" in named else None,
            multi_valued=relations if "multi_valued_relations" in named else None,
            relation_examples=examples if "relation_examples" in named else None,
            etag=message.etag,
            context=context_of(request),
        )
        return convert.namespace_message(seen)

    async def DeleteNamespace(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Deletes a namespace for good."""
        namespace_id = namespace_of("name", request.name)
        await self._spaces.delete(
            namespace_id, force=request.force, etag=request.etag, context=context_of(request)
        )
        return namespaces_pb2.DeleteNamespaceResponse()

    async def ReindexNamespace(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Starts to make the index anew."""
        namespace_id = namespace_of("name", request.name)
        record = await self._reindexing.start(namespace_id, request_id(request.request_id))
        return convert.operation_message(record)

    def _content(self, message: Any) -> tuple[str, frozenset[str], tuple[RelationExamples, ...]]:
        limits = self._limits.for_store()
        relations, asked = "namespace.multi_valued_relations", "namespace.relation_examples"
        return (
            check_display_name("namespace.display_name", message.display_name, limits),
            check_relations(relations, list(message.multi_valued_relations), limits),
            told_apart(asked, check_examples(asked, convert.examples_of(message), limits)),
        )
