"""Deciding about rows that were held back: on the writer, in one transaction with the fact that an approval makes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, func, select, update

from kb_store.errors import NotFound, WrongState
from kb_store.model import ConflictPolicy, Context, ImportRow
from kb_store.reviews import Review, ReviewState
from kb_store.sql.backend import Backend
from kb_store.sql.imports import write_one
from kb_store.sql.requests import check_context, digest_of, earlier_answer, keep_answer
from kb_store.sql.review_rows import FIND, review_from_row
from kb_store.sql.rows import to_micros
from kb_store.sql.tables import namespaces, reviews
from kb_store.sql.unit import Unit, write_audit
from kb_store.validation import check_content, check_integer, check_text, is_id


def _name(namespace: str, review_id: str) -> str:
    return ascii(f"namespaces/{namespace}/reviews/{review_id}")[1:-1]


def _find(connection: Connection, namespace: str, review_id: str) -> Review:
    row = None
    if is_id(namespace) and is_id(review_id):
        row = FIND.run(connection, {"namespace": namespace, "review_id": review_id}).one_or_none()
    if row is None:
        raise NotFound("review", _name(namespace, review_id))
    return review_from_row(row)


class Reviewing(Backend):
    """The contract's ReviewStore."""

    def get_review(self, namespace: str, review_id: str) -> Review:
        """NotFound when there is none."""
        with self._reading() as connection:
            return _find(connection, namespace, review_id)

    def list_reviews(
        self,
        namespace: str,
        *,
        state: ReviewState = ReviewState.HELD,
        import_id: str = "",
        limit: int,
        after: str = "",
    ) -> tuple[Review, ...]:
        """In the order in which they came."""
        statement = (
            select(*reviews.c)
            .where(
                reviews.c.namespace == namespace, reviews.c.state == state.value, reviews.c.review_id > after
            )
            .order_by(reviews.c.review_id)
            .limit(check_integer("limit", limit, minimum=1))
        )
        check_text("after", after, "max_review_id_length", 63)
        if import_id:
            statement = statement.where(reviews.c.import_id == import_id)
        known = select(namespaces.c.id).where(namespaces.c.id == namespace)
        with self._reading() as connection:
            if not is_id(namespace) or connection.execute(known).first() is None:
                raise NotFound("namespace", ascii(f"namespaces/{namespace}")[1:-1])
            return tuple(review_from_row(row) for row in connection.execute(statement))

    def count_held(self) -> int:
        """Of all namespaces."""
        statement = select(func.count()).select_from(reviews).where(reviews.c.state == ReviewState.HELD.value)
        with self._reading() as connection:
            count: int = connection.execute(statement).scalar_one()
        return count

    def decide_review(
        self,
        namespace: str,
        review_id: str,
        *,
        approve: bool,
        policy: ConflictPolicy | None,
        context: Context,
    ) -> Review:
        """An approved row is written as its import would have written it, or as `policy` says."""
        check_context(context)
        digest = digest_of(context, ("review", namespace, review_id, approve, policy))

        def work(connection: Connection) -> Review:
            earlier = earlier_answer(connection, context, digest)
            if earlier is not None:
                return replace(_find(connection, namespace, review_id), revision=earlier.get("revision", 0))
            found = _find(connection, namespace, review_id)
            if found.state is not ReviewState.HELD:
                name = _name(namespace, review_id)
                raise WrongState(f"review {name!r} is {found.state} already", kind="review", name=name)
            now = self._clock()
            written = self._write(connection, found, policy, context) if approve else ""
            state = ReviewState.APPROVED if approve else ReviewState.REJECTED
            values: dict[str, Any] = {
                "state": state.value,
                "decided_by": context.principal,
                "decide_time": to_micros(now),
                "written": written,
            }
            mine = (reviews.c.namespace == namespace, reviews.c.review_id == review_id)
            connection.execute(update(reviews).where(*mine).values(values))
            revision = connection.execute(
                select(namespaces.c.revision).where(namespaces.c.id == namespace)
            ).scalar_one()
            action = "review.approve" if approve else "review.reject"
            write_audit(connection, context, now, action, namespace, review_id, revision)
            keep_answer(
                connection, context, digest, namespace, {"review": review_id, "revision": revision}, now
            )
            # A revision that is only tried would be waited for in vain.
            seen = 0 if context.validate_only else revision
            return replace(_find(connection, namespace, review_id), revision=seen)

        return self._writer.submit(work, keep=not context.validate_only, announces=True).result()

    def _write(
        self, connection: Connection, review: Review, policy: ConflictPolicy | None, context: Context
    ) -> str:
        check_content(review.content, self.limits)  # limits may have been lowered since
        now, quotas = self._clock(), self._quotas
        unit = Unit(connection, self._dialect, review.namespace, context, now, quotas=quotas)
        row = ImportRow(review.line, review.content, review.fact_id)
        stored = write_one(unit, row, policy or review.policy)
        unit.finish()
        return stored.fact.fact_id
