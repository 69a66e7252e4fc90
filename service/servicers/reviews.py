"""interleaf.v1.Reviews."""

from __future__ import annotations

from typing import Any

from interleaf.v1 import reviews_pb2, reviews_pb2_grpc
from kb_store.sql.imports import MAX_IMPORT_ID_LENGTH
from kb_store.validation import check_text
from service.commands.reviewing import Reviewing
from service.convert.reviews import DECISIONS, STATES, review_message
from service.limits import LimitSettings
from service.page_tokens import PageTokens
from service.servicers.contexts import context_of
from service.validation import known_enum, namespace_of, page_size, review_of


class ReviewsServicer(reviews_pb2_grpc.ReviewsServicer):  # type: ignore[misc]
    """See protos/interleaf/v1/reviews.proto for what each call does."""

    def __init__(self, reviewing: Reviewing, tokens: PageTokens, limits: LimitSettings) -> None:
        self._reviewing, self._tokens, self._limits = reviewing, tokens, limits

    async def ListReviews(self, request: Any, context: Any) -> Any:  # noqa: N802
        """A page of reviews."""
        limits = self._limits
        namespace = namespace_of("parent", request.parent)
        state = known_enum("state", request.state, STATES)
        import_id = check_text("import_id", request.import_id, "max_import_id_length", MAX_IMPORT_ID_LENGTH)
        bound = ("ListReviews", namespace, state.value, import_id)
        page, after = await self._reviewing.list(
            namespace,
            state,
            import_id,
            limit=page_size(request.page_size, limits.default_page_size, limits.max_page_size),
            after=self._tokens.text(request.page_token, *bound),
        )
        return reviews_pb2.ListReviewsResponse(
            reviews=map(review_message, page),
            next_page_token=self._tokens.make(after, *bound) if after else "",
        )

    async def GetReview(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Returns a review."""
        return review_message(await self._reviewing.get(*review_of("name", request.name)))

    async def ApproveReview(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Makes a fact of it."""
        policy = known_enum("on_conflict", request.on_conflict, DECISIONS)
        return await self._decided(request, approve=True, policy=policy)

    async def RejectReview(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Makes sure that it never becomes one."""
        return await self._decided(request, approve=False, policy=None)

    async def _decided(self, request: Any, **decision: Any) -> Any:
        namespace, review_id = review_of("name", request.name)
        decided = await self._reviewing.decide(namespace, review_id, context=context_of(request), **decision)
        return review_message(decided)
