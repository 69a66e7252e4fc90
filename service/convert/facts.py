"""Between messages and domain values: facts, namespaces, operations, enums."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from google.longrunning import operations_pb2
from google.protobuf import any_pb2, timestamp_pb2

from interleaf.v1 import facts_pb2, namespaces_pb2
from kb_store.formats import FileFormat
from kb_store.model import (
    ConflictPolicy,
    Content,
    Fact,
    FactRevision,
    Hit,
    OperationRecord,
    RelationExamples,
    SearchMode,
)
from kb_store.reviews import Quarantine
from service.commands.importing import ImportReport
from service.commands.reindexing import ReindexProgress
from service.commands.spaces import SeenNamespace
from service.revisions import FactState
from service.validation import moment

POLICIES: Mapping[int, ConflictPolicy] = {
    facts_pb2.CONFLICT_POLICY_UNSPECIFIED: ConflictPolicy.FAIL,
    facts_pb2.CONFLICT_POLICY_FAIL: ConflictPolicy.FAIL,
    facts_pb2.CONFLICT_POLICY_REPLACE: ConflictPolicy.REPLACE,
    facts_pb2.CONFLICT_POLICY_ADD: ConflictPolicy.ADD,
}
FORMATS: Mapping[int, FileFormat] = {
    facts_pb2.FACT_FORMAT_CSV: FileFormat.CSV,
    facts_pb2.FACT_FORMAT_JSONL: FileFormat.JSONL,
    facts_pb2.FACT_FORMAT_N_TRIPLES: FileFormat.N_TRIPLES,
}
MODES: Mapping[int, SearchMode] = {
    facts_pb2.SEARCH_MODE_UNSPECIFIED: SearchMode.FUSED,
    facts_pb2.SEARCH_MODE_FUSED: SearchMode.FUSED,
    facts_pb2.SEARCH_MODE_DENSE: SearchMode.DENSE,
    facts_pb2.SEARCH_MODE_LEXICAL: SearchMode.LEXICAL,
}
QUARANTINES: Mapping[int, Quarantine] = {
    facts_pb2.QUARANTINE_UNSPECIFIED: Quarantine.OFF,
    facts_pb2.QUARANTINE_FLAGGED: Quarantine.FLAGGED,
    facts_pb2.QUARANTINE_ALL: Quarantine.ALL,
}
_STATES: Mapping[FactState, facts_pb2.FactState] = {
    FactState.DURABLE: facts_pb2.FACT_STATE_DURABLE,
    FactState.SEARCHABLE: facts_pb2.FACT_STATE_SEARCHABLE,
    FactState.COMPILED: facts_pb2.FACT_STATE_COMPILED,
}
TEXT_FIELDS = ("subject", "relation", "object", "source")
TIME_FIELDS = ("valid_from", "valid_to")
CONTENT_FIELDS = ("subject", "relation", "object", "aliases", "source", "valid_from", "valid_to")


def namespace_name(namespace_id: str) -> str:
    """The resource's name."""
    return f"namespaces/{namespace_id}"


def fact_name(fact: Fact) -> str:
    """The resource's name."""
    return f"namespaces/{fact.namespace}/facts/{fact.fact_id}"


def stamp(when: datetime | None) -> timestamp_pb2.Timestamp | None:
    """A Timestamp; None stays unset."""
    if when is None:
        return None
    message = timestamp_pb2.Timestamp()
    message.FromDatetime(when)
    return message


def fact_message(fact: Fact, state: FactState = FactState.DURABLE) -> Any:
    """interleaf.v1.Fact."""
    content = fact.content
    return facts_pb2.Fact(
        name=fact_name(fact),
        uid=fact.uid,
        subject=content.subject,
        relation=content.relation,
        object=content.object,
        aliases=content.aliases,
        source=content.source,
        valid_from=stamp(content.valid_from),
        valid_to=stamp(content.valid_to),
        revision=fact.revision,
        namespace_revision=fact.namespace_revision,
        state=_STATES[state],
        etag=fact.etag,
        create_time=stamp(fact.create_time),
        update_time=stamp(fact.update_time),
        delete_time=stamp(fact.delete_time),
        purge_time=stamp(fact.purge_time),
    )


def revision_message(revision: FactRevision) -> Any:
    """interleaf.v1.FactRevision."""
    return facts_pb2.FactRevision(
        name=f"{fact_name(revision.fact)}/revisions/{revision.fact.revision}",
        fact=fact_message(revision.fact),
        action=revision.action.value,
        principal=revision.principal,
        create_time=stamp(revision.create_time),
    )


def hit_message(hit: Hit, state: FactState) -> Any:
    """interleaf.v1.SearchHit."""
    return facts_pb2.SearchHit(
        fact=fact_message(hit.fact, state),
        score=hit.score,
        subject_cover=hit.subject_cover,
        relation_score=hit.relation_score,
        dense_score=hit.dense_score,
    )


def import_message(report: ImportReport) -> Any:
    """interleaf.v1.ImportFactsResponse."""
    return facts_pb2.ImportFactsResponse(
        import_id=report.import_id,
        rows_read=report.rows_read,
        rows_written=report.rows_written,
        rows_unchanged=report.rows_unchanged,
        rows_failed=report.rows_failed,
        rows_held=report.rows_held,
        failures=[
            facts_pb2.ImportFailure(line=failure.line, reason=failure.reason, message=failure.message)
            for failure in report.failures
        ],
        namespace_revision=report.namespace_revision,
        done=report.done,
    )


def content_of(message: Any, prefix: str) -> Content:
    """What a Fact message says; output-only fields are passed over."""
    return Content(
        subject=message.subject,
        relation=message.relation,
        object=message.object,
        aliases=tuple(message.aliases),
        source=message.source,
        valid_from=moment(prefix + "valid_from", message, "valid_from"),
        valid_to=moment(prefix + "valid_to", message, "valid_to"),
    )


def set_fields(message: Any) -> tuple[str, ...]:
    """The content fields that a Fact message sets."""
    named = [name for name in (*TEXT_FIELDS, "aliases") if getattr(message, name)]
    return tuple(named + [name for name in TIME_FIELDS if message.HasField(name)])


def changes_of(message: Any, names: tuple[str, ...], prefix: str) -> dict[str, object]:
    """The values of the named content fields."""
    content = content_of(message, prefix)
    return {name: getattr(content, name) for name in names}


def listed_namespace(seen: SeenNamespace) -> Any:
    """interleaf.v1.Namespace, without what is too long for a list."""
    message = namespace_message(seen)
    message.ClearField("relation_examples")
    return message


def namespace_message(seen: SeenNamespace) -> Any:
    """interleaf.v1.Namespace."""
    namespace = seen.namespace
    return namespaces_pb2.Namespace(
        name=namespace_name(namespace.namespace_id),
        display_name=namespace.display_name,
        multi_valued_relations=sorted(namespace.multi_valued_relations),
        revision=namespace.revision,
        searchable_revision=seen.searchable_revision,
        compiled_revision=seen.compiled_revision,
        fact_count=namespace.fact_count,
        etag=namespace.etag,
        create_time=stamp(namespace.create_time),
        update_time=stamp(namespace.update_time),
        relation_examples=[
            namespaces_pb2.RelationExamples(relation=item.relation, examples=item.examples)
            for item in namespace.relation_examples
        ],
    )


def examples_of(message: Any) -> tuple[RelationExamples, ...]:
    """Of an interleaf.v1.Namespace."""
    return tuple(RelationExamples(item.relation, tuple(item.examples)) for item in message.relation_examples)


def pack(message: Any) -> bytes:
    """A message as a serialised google.protobuf.Any."""
    packed = any_pb2.Any()
    packed.Pack(message)
    data: bytes = packed.SerializeToString()
    return data


def reindex_metadata(progress: ReindexProgress) -> bytes:
    """interleaf.v1.ReindexMetadata, packed."""
    return pack(
        namespaces_pb2.ReindexMetadata(
            namespace=namespace_name(progress.namespace),
            facts_done=progress.facts_done,
            facts_total=progress.facts_total,
            start_time=stamp(progress.start_time),
        )
    )


def reindexed_namespace(metadata: bytes) -> str:
    """The namespace's id in packed metadata; empty when there is none."""
    message = namespaces_pb2.ReindexMetadata()
    any_pb2.Any.FromString(metadata).Unpack(message)
    name: str = message.namespace
    return name.removeprefix("namespaces/")


def operation_message(record: OperationRecord) -> Any:
    """google.longrunning.Operation."""
    message = operations_pb2.Operation(name=f"operations/{record.operation_id}", done=record.done)
    if record.metadata:
        message.metadata.ParseFromString(record.metadata)
    if record.error_code:
        message.error.code = record.error_code
        message.error.message = record.error_message
    elif record.done:
        message.response.ParseFromString(record.response)
    return message
