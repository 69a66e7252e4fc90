"""Between messages and domain values: reviews."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from interleaf.v1 import facts_pb2, reviews_pb2
from kb_store.model import ConflictPolicy
from kb_store.reviews import Review, ReviewState
from service.convert.facts import POLICIES, namespace_name, stamp

STATES: Mapping[int, ReviewState] = {
    reviews_pb2.REVIEW_STATE_UNSPECIFIED: ReviewState.HELD,
    reviews_pb2.REVIEW_STATE_HELD: ReviewState.HELD,
    reviews_pb2.REVIEW_STATE_APPROVED: ReviewState.APPROVED,
    reviews_pb2.REVIEW_STATE_REJECTED: ReviewState.REJECTED,
}
# None: as the import said.
DECISIONS: Mapping[int, ConflictPolicy | None] = {
    **POLICIES,
    facts_pb2.CONFLICT_POLICY_UNSPECIFIED: None,
}
_POLICIES: Mapping[ConflictPolicy, str] = {
    policy: f"CONFLICT_POLICY_{policy.name}" for policy in ConflictPolicy
}
_NAMED: Mapping[ReviewState, str] = {state: f"REVIEW_STATE_{state.name}" for state in ReviewState}


def review_message(review: Review) -> Any:
    """interleaf.v1.Review."""
    facts = f"{namespace_name(review.namespace)}/facts/"
    content = review.content
    return reviews_pb2.Review(
        name=f"{namespace_name(review.namespace)}/reviews/{review.review_id}",
        fact=facts_pb2.Fact(
            name=facts + review.fact_id if review.fact_id else "",
            subject=content.subject,
            relation=content.relation,
            object=content.object,
            aliases=content.aliases,
            source=content.source,
            valid_from=stamp(content.valid_from),
            valid_to=stamp(content.valid_to),
        ),
        flags=[f"REVIEW_FLAG_{flag.name}" for flag in review.flags],
        conflicts=[facts + fact_id for fact_id in review.conflicts],
        import_id=review.import_id,
        line=review.line,
        on_conflict=_POLICIES[review.policy],
        principal=review.principal,
        create_time=stamp(review.create_time),
        state=_NAMED[review.state],
        decided_by=review.decided_by,
        decide_time=stamp(review.decide_time),
        written=facts + review.written if review.written else "",
        namespace_revision=review.revision,
    )
