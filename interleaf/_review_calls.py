"""Calls of the Reviews service. The docstrings are those of `client.reviews`'s methods."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

from interleaf import _decode
from interleaf._calls import Call, Paged, new_request_id
from interleaf._fact_calls import POLICIES, choose
from interleaf._review_types import Review, ReviewFlag, ReviewState
from interleaf._session import Session
from interleaf._types import OnConflict
from interleaf.v1 import reviews_pb2

REVIEWS = "/interleaf.v1.Reviews/"
ReviewRef: TypeAlias = str | Review
_STATES = {
    "held": reviews_pb2.REVIEW_STATE_HELD,
    "approved": reviews_pb2.REVIEW_STATE_APPROVED,
    "rejected": reviews_pb2.REVIEW_STATE_REJECTED,
}
_POLICIES: dict[int, OnConflict] = {
    POLICIES["fail"]: "fail",
    POLICIES["replace"]: "replace",
    POLICIES["add"]: "add",
}


def list_reviews(
    session: Session,
    *,
    state: Literal["held", "approved", "rejected"] = "held",
    import_id: str = "",
    page_size: int = 0,
) -> Paged[Review]:
    """Goes over the rows that wait, or were decided about, in the order in which they came.

    for review in client.reviews.list():
        print(review.line, review.flags, review.fact.subject, review.fact.object)
    """
    chosen = choose("state", _STATES, state)

    def page(token: str) -> Call[tuple[list[Review], str]]:
        request = reviews_pb2.ListReviewsRequest(
            parent=session.parent, page_size=page_size, page_token=token, state=chosen, import_id=import_id
        )

        def items(message: Any) -> tuple[list[Review], str]:
            return [decoded(entry) for entry in message.reviews], message.next_page_token

        return Call(REVIEWS + "ListReviews", request, reviews_pb2.ListReviewsResponse, items)

    return Paged(page)


def get(session: Session, review: ReviewRef) -> Call[Review]:
    """Returns a row: what it says, why it waits, what became of it.

    client.reviews.get(review).state
    """
    request = reviews_pb2.GetReviewRequest(name=_name(session, review))
    return Call(REVIEWS + "GetReview", request, reviews_pb2.Review, decoded)


def approve(
    session: Session,
    review: ReviewRef,
    *,
    on_conflict: OnConflict | None = None,
    request_id: str | None = None,
    validate_only: bool = False,
) -> Call[Review]:
    """Makes a fact of a row. Where a stored fact says another object, `ConflictingFact` unless you say what becomes of
    it; without `on_conflict` it is what the import said.

    client.reviews.approve(review, on_conflict="replace").written
    """
    request = reviews_pb2.ApproveReviewRequest(
        name=_name(session, review), request_id=new_request_id(request_id), validate_only=validate_only
    )
    if on_conflict is not None:
        request.on_conflict = choose("on_conflict", POLICIES, on_conflict)
    return Call(REVIEWS + "ApproveReview", request, reviews_pb2.Review, _decided(session))


def reject(
    session: Session, review: ReviewRef, *, request_id: str | None = None, validate_only: bool = False
) -> Call[Review]:
    """Says that a row never becomes a fact.

    client.reviews.reject(review)
    """
    request = reviews_pb2.RejectReviewRequest(
        name=_name(session, review), request_id=new_request_id(request_id), validate_only=validate_only
    )
    return Call(REVIEWS + "RejectReview", request, reviews_pb2.Review, _decided(session))


def _decided(session: Session) -> Callable[[Any], Review]:
    """What is read and asked afterwards sees it."""

    def decode(message: Any) -> Review:
        review = decoded(message)
        session.wrote(review.name, review.namespace_revision)
        return review

    return decode


def decoded(message: Any) -> Review:
    """interleaf.v1.Review."""
    return Review(
        name=message.name,
        fact=_decode.fact(message.fact),
        flags=tuple(_decode.named(ReviewFlag, reviews_pb2.ReviewFlag, flag) for flag in message.flags),
        conflicts=tuple(message.conflicts),
        import_id=message.import_id,
        line=message.line,
        on_conflict=_POLICIES.get(message.on_conflict),
        principal=message.principal,
        create_time=_decode.time_of(message, "create_time"),
        state=_decode.named(ReviewState, reviews_pb2.ReviewState, message.state),
        decided_by=message.decided_by,
        decide_time=_decode.time_of(message, "decide_time"),
        written=message.written,
        namespace_revision=message.namespace_revision,
    )


def _name(session: Session, review: ReviewRef) -> str:
    name = review.name if isinstance(review, Review) else review
    return name if "/" in name else f"{session.parent}/reviews/{name}"
