"""From protobuf messages to the client's values."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message

from interleaf import _types as t
from interleaf.v1 import facts_pb2, inference_pb2

_STATES = {
    facts_pb2.FACT_STATE_SEARCHABLE: t.FactState.SEARCHABLE,
    facts_pb2.FACT_STATE_COMPILED: t.FactState.COMPILED,
}
_GROUNDINGS = {
    inference_pb2.GROUNDING_GROUNDED: t.Grounding.GROUNDED,
    inference_pb2.GROUNDING_UNGROUNDED: t.Grounding.UNGROUNDED,
    inference_pb2.GROUNDING_NO_FACTS: t.Grounding.NO_FACTS,
}
_CHECKS = {
    inference_pb2.VALUE_CHECK_EXACT: t.ValueCheck.EXACT,
    inference_pb2.VALUE_CHECK_DIFFERS: t.ValueCheck.DIFFERS,
    inference_pb2.VALUE_CHECK_NOT_USED: t.ValueCheck.NOT_USED,
}
_FINISHES = {
    inference_pb2.FINISH_REASON_STOP: t.FinishReason.STOP,
    inference_pb2.FINISH_REASON_LENGTH: t.FinishReason.LENGTH,
    inference_pb2.FINISH_REASON_ABSTAINED: t.FinishReason.ABSTAINED,
}


def time_of(message: Any, field: str) -> datetime | None:
    """A Timestamp field, None when it is not set."""
    if not message.HasField(field):
        return None
    value: datetime = getattr(message, field).ToDatetime(tzinfo=UTC)
    return value


def fact(message: Any) -> t.Fact:
    """interleaf.v1.Fact."""
    return t.Fact(
        name=message.name,
        uid=message.uid,
        subject=message.subject,
        relation=message.relation,
        object=message.object,
        aliases=tuple(message.aliases),
        source=message.source,
        valid_from=time_of(message, "valid_from"),
        valid_to=time_of(message, "valid_to"),
        revision=message.revision,
        namespace_revision=message.namespace_revision,
        state=_STATES.get(message.state, t.FactState.DURABLE),
        etag=message.etag,
        create_time=time_of(message, "create_time"),
        update_time=time_of(message, "update_time"),
        delete_time=time_of(message, "delete_time"),
        purge_time=time_of(message, "purge_time"),
    )


def revision(message: Any) -> t.Revision:
    """interleaf.v1.FactRevision."""
    return t.Revision(fact(message.fact), message.action, message.principal, time_of(message, "create_time"))


def search_hit(message: Any) -> t.SearchHit:
    """interleaf.v1.SearchHit."""
    return t.SearchHit(
        fact(message.fact),
        message.score,
        message.subject_cover,
        message.relation_score,
        message.dense_score,
    )


def citation(message: Any) -> t.Citation:
    """interleaf.v1.Citation."""
    return t.Citation(
        fact=message.fact,
        uid=message.uid,
        revision=message.revision,
        subject=message.subject,
        relation=message.relation,
        object=message.object,
        attention=message.attention,
        retrieval_score=message.retrieval_score,
        value_check=_CHECKS.get(message.value_check, t.ValueCheck.UNKNOWN),
    )


def _seconds(duration: Any) -> float:
    seconds: float = duration.seconds + duration.nanos / 1e9
    return seconds


def answer(message: Any) -> t.Answer:
    """interleaf.v1.GenerateResponse."""
    timings = message.timings
    return t.Answer(
        text=message.text,
        finish_reason=_FINISHES.get(message.finish_reason, t.FinishReason.UNKNOWN),
        citations=tuple(map(citation, message.citations)),
        grounding=_GROUNDINGS.get(message.grounding, t.Grounding.UNKNOWN),
        prompt_tokens=message.prompt_tokens,
        generated_tokens=message.generated_tokens,
        injected_tokens=message.injected_tokens,
        timings=t.Timings(
            retrieval=_seconds(timings.retrieval),
            compile=_seconds(timings.compile),
            queue=_seconds(timings.queue),
            first_token=_seconds(timings.first_token),
            total=_seconds(timings.total),
        ),
        namespace_revision=message.namespace_revision,
        model=message.model,
        encoder=message.encoder,
    )


def stream_event(message: Any) -> str | t.Answer:
    """interleaf.v1.StreamGenerateResponse: a piece of text, or at last the answer."""
    if message.WhichOneof("event") == "response":
        return answer(message.response)
    text: str = message.text
    return text


def comparison(message: Any) -> t.Comparison:
    """interleaf.v1.CompareResponse."""
    return t.Comparison(answer(message.original), answer(message.edited))


def scores(message: Any) -> t.Scores:
    """interleaf.v1.ScoreResponse."""
    return t.Scores(
        scores=tuple(
            t.ContinuationScore(s.log_probability, tuple(s.token_log_probabilities), tuple(s.tokens))
            for s in message.scores
        ),
        citations=tuple(map(citation, message.citations)),
        namespace_revision=message.namespace_revision,
    )


def namespace(message: Any) -> t.Namespace:
    """interleaf.v1.Namespace."""
    return t.Namespace(
        name=message.name,
        display_name=message.display_name,
        multi_valued_relations=tuple(message.multi_valued_relations),
        revision=message.revision,
        searchable_revision=message.searchable_revision,
        compiled_revision=message.compiled_revision,
        fact_count=message.fact_count,
        etag=message.etag,
        create_time=time_of(message, "create_time"),
        update_time=time_of(message, "update_time"),
    )


def import_report(report: t.ImportReport, message: Any, *, keep: int = 100) -> t.ImportReport:
    """Adds an interleaf.v1.ImportFactsResponse to what is known of the import."""
    fresh = tuple(t.ImportFailure(f.line, f.reason, f.message) for f in message.failures)
    return t.ImportReport(
        import_id=message.import_id or report.import_id,
        rows_read=message.rows_read,
        rows_written=message.rows_written,
        rows_unchanged=message.rows_unchanged,
        rows_failed=message.rows_failed,
        failures=(report.failures + fresh)[:keep],
        namespace_revision=message.namespace_revision or report.namespace_revision,
        done=message.done,
    )


def packed_fields(packed: Any, known: type[Message]) -> dict[str, object]:
    """The fields of a message in an Any; empty when it is of another type."""
    message = known()
    if not packed.Is(message.DESCRIPTOR):
        return {}
    packed.Unpack(message)
    fields: dict[str, object] = json_format.MessageToDict(message, preserving_proto_field_name=True)
    return fields
