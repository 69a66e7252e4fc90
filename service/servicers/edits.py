"""interleaf.v1.Edits."""

from __future__ import annotations

from typing import Any

from google.protobuf import empty_pb2

from editors.weights.methods import NAMED
from interleaf.v1 import edits_pb2, edits_pb2_grpc
from kb_store.errors import InvalidInput
from kb_store.validation import check_id
from service.commands.editing import Editing
from service.commands.encoding import Asked
from service.convert.edits import cases_of, edit_message, receipt_message, settings_of
from service.convert.encoders import validated_message
from service.edits.comparing import KV, METHODS
from service.edits.shelf import AskedEdit, case_values
from service.limits import LimitSettings
from service.page_tokens import PageTokens
from service.validation import edit_of, namespace_of, page_size, request_id

_LIST = "ListEdits"


class EditsServicer(edits_pb2_grpc.EditsServicer):  # type: ignore[misc]
    """See protos/interleaf/v1/edits.proto for what each call does."""

    def __init__(self, editing: Editing, tokens: PageTokens, limits: LimitSettings, most: int) -> None:
        self._editing, self._tokens, self._limits, self._most = editing, tokens, limits, most

    async def CreateEdit(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Begins to compute an edit."""
        namespace = namespace_of("parent", request.parent)
        edit_id = check_id("edit_id", request.edit_id) if request.edit_id else ""
        if request.method == KV:
            raise InvalidInput("method", "kv is no edit of weights: store the fact with CreateFact")
        if request.method not in NAMED:
            raise InvalidInput("method", f"must be one of {', '.join(NAMED)}")
        cases = cases_of(request.facts, self._limits, self._most)
        settings = settings_of(request.settings)
        edit = AskedEdit(namespace, request.method, settings, [case_values(case) for case in cases])
        return validated_message(await self._editing.create(edit_id, edit, _asked(request)))

    async def ListEdits(self, request: Any, context: Any) -> Any:  # noqa: N802
        """A page of edits."""
        limits = self._limits
        page, after = await self._editing.page(
            limit=page_size(request.page_size, limits.default_page_size, limits.max_page_size),
            after=self._tokens.text(request.page_token, _LIST),
        )
        return edits_pb2.ListEditsResponse(
            edits=map(edit_message, page),
            next_page_token=self._tokens.make(after, _LIST) if after else "",
        )

    async def GetEdit(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Returns an edit."""
        return edit_message(await self._editing.get(edit_of("name", request.name)))

    async def GetEditReceipt(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Returns what an edit was measured to do."""
        edit_id = edit_of("name", request.name)
        return receipt_message(edit_id, await self._editing.receipt(edit_id))

    async def ApplyEdit(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Puts an edit into the served weights."""
        applied = await self._editing.apply(
            edit_of("name", request.name),
            all_namespaces=request.all_namespaces,
            combine=request.combine,
            validate_only=request.validate_only,
        )
        return edit_message(applied)

    async def RevertEdit(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Takes an edit back."""
        return edit_message(await self._editing.revert(edit_of("name", request.name)))

    async def DeleteEdit(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Forgets an edit."""
        await self._editing.delete(edit_of("name", request.name))
        return empty_pb2.Empty()

    async def CompareEdits(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Begins to compare methods."""
        namespace = namespace_of("parent", request.parent)
        for index, method in enumerate(request.methods):
            if method not in METHODS:
                raise InvalidInput(f"methods[{index}]", f"must be one of {', '.join(METHODS)}")
        methods = tuple(dict.fromkeys(request.methods)) or METHODS
        cases = cases_of(request.facts, self._limits, self._most)
        if KV in request.methods:
            for index, case in enumerate(cases):
                if not case.request.relation:
                    raise InvalidInput(f"facts[{index}].relation", "must not be empty for kv")
        for index, case in enumerate(cases):
            if not case.true:
                raise InvalidInput(f"facts[{index}].old", "must not be empty: methods are judged by it")
        started = await self._editing.compare(
            namespace, methods, cases, _asked(request), circuits=request.circuits
        )
        return validated_message(started)


def _asked(request: Any) -> Asked:
    return Asked(request_id(request.request_id), request.validate_only)
