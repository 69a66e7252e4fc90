"""From protobuf messages to the client's values."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from google.protobuf import timestamp_pb2
from google.protobuf.message import Message

from interleaf import _types as t
from interleaf.v1 import circuits_pb2, edits_pb2, encoders_pb2, facts_pb2, inference_pb2, namespaces_pb2

_STATES = {
    facts_pb2.FACT_STATE_SEARCHABLE: t.FactState.SEARCHABLE,
    facts_pb2.FACT_STATE_COMPILED: t.FactState.COMPILED,
}
E = TypeVar("E", bound=enum.StrEnum)
_METADATA = (
    namespaces_pb2.ReindexMetadata,
    edits_pb2.EditWorkMetadata,
    encoders_pb2.EncoderWorkMetadata,
    circuits_pb2.CircuitWorkMetadata,
)


def named(values: type[E], kind: Any, number: int) -> E:
    """A value of an enum of the API by its name; UNKNOWN where this client does not know it."""
    prefix = "".join(f"_{c}" if c.isupper() else c for c in kind.DESCRIPTOR.name).strip("_").upper() + "_"
    try:
        return values(kind.Name(number).removeprefix(prefix).lower())
    except ValueError:
        return values("unknown")


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
        value_check=named(t.ValueCheck, inference_pb2.ValueCheck, message.value_check),
        layer_attention=dict(message.layer_attention),
    )


def seconds(duration: Any) -> float:
    """A Duration as seconds."""
    found: float = duration.seconds + duration.nanos / 1e9
    return found


def grounding(number: int) -> t.Grounding:
    """interleaf.v1.Grounding."""
    return named(t.Grounding, inference_pb2.Grounding, number)


def finish_reason(number: int) -> t.FinishReason:
    """interleaf.v1.FinishReason."""
    return named(t.FinishReason, inference_pb2.FinishReason, number)


def timings(message: Any) -> t.Timings:
    """interleaf.v1.Timings."""
    return t.Timings(
        retrieval=seconds(message.retrieval),
        compile=seconds(message.compile),
        queue=seconds(message.queue),
        first_token=seconds(message.first_token),
        total=seconds(message.total),
    )


def answer(message: Any) -> t.Answer:
    """interleaf.v1.GenerateResponse."""
    return t.Answer(
        text=message.text,
        finish_reason=finish_reason(message.finish_reason),
        citations=tuple(map(citation, message.citations)),
        grounding=grounding(message.grounding),
        prompt_tokens=message.prompt_tokens,
        generated_tokens=message.generated_tokens,
        injected_tokens=message.injected_tokens,
        timings=timings(message.timings),
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


def weighing(message: Any) -> t.Weighing:
    """interleaf.v1.WeighFactsResponse."""
    return t.Weighing(
        facts=tuple(
            t.WeighedFact(
                fact=item.fact,
                subject=item.subject,
                relation=item.relation,
                object=item.object,
                weight=named(t.Weight, inference_pb2.Weight, item.weight),
                subject_cover=item.subject_cover,
                fit=item.fit,
                retrieval_score=item.retrieval_score,
            )
            for item in message.facts
        ),
        fit_needed=message.fit_needed,
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
        relation_examples={item.relation: tuple(item.examples) for item in message.relation_examples},
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
        rows_held=message.rows_held,
        failures=(report.failures + fresh)[:keep],
        namespace_revision=message.namespace_revision or report.namespace_revision,
        done=message.done,
    )


def operation_metadata(packed: Any) -> dict[str, object]:
    """The fields of an operation's metadata, by name; empty when it is of no known kind."""
    for kind in _METADATA:
        message = kind()
        if packed.Is(message.DESCRIPTOR):
            packed.Unpack(message)
            return _fields(message)
    return {}


def _fields(message: Any) -> dict[str, object]:
    return {field.name: _value(value) for field, value in message.ListFields()}


def _value(value: Any) -> object:
    if isinstance(value, timestamp_pb2.Timestamp):
        return value.ToDatetime(tzinfo=UTC)
    if isinstance(value, Message):
        return _fields(value)
    if isinstance(value, Mapping):
        return dict(value)
    return value if isinstance(value, str | int | float) else [_value(entry) for entry in value]
