"""Namespaces and long-running operations through the wire."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest
from google.longrunning import operations_pb2 as ops
from google.protobuf import duration_pb2, field_mask_pb2

from interleaf.v1 import namespaces_pb2 as pb
from kb_store.model import OperationRecord
from kb_store.sql import open_store
from tests.serving import Running, refusal, running


def get(server: Running, name: str) -> Any:
    return server.namespaces.GetNamespace(pb.GetNamespaceRequest(name=name))


def wait(server: Running, name: str) -> Any:
    request = ops.WaitOperationRequest(name=name, timeout=duration_pb2.Duration(seconds=30))
    return server.operations.WaitOperation(request)


def test_the_default_namespace_is_there(server: Running) -> None:
    assert get(server, "namespaces/default").name == "namespaces/default"


def test_create_update_delete(server: Running) -> None:
    made = server.namespaces.CreateNamespace(
        pb.CreateNamespaceRequest(
            namespace_id="crew",
            namespace=pb.Namespace(display_name="The crew", multi_valued_relations=["speaks", "child"]),
        )
    )
    assert (made.name, made.display_name, made.revision) == ("namespaces/crew", "The crew", 0)
    assert list(made.multi_valued_relations) == ["child", "speaks"]

    def update(paths: list[str], **fields: Any) -> Any:
        return server.namespaces.UpdateNamespace(
            pb.UpdateNamespaceRequest(
                namespace=pb.Namespace(name=made.name, **fields),
                update_mask=field_mask_pb2.FieldMask(paths=paths),
            )
        )

    changed = update([], display_name="Crew")
    assert (changed.display_name, len(changed.multi_valued_relations)) == ("Crew", 2)
    assert changed.etag != made.etag
    assert list(update(["multi_valued_relations"]).multi_valued_relations) == []
    assert refusal(lambda: update(["revision"])).fields == ("update_mask",)
    assert refusal(lambda: update([], display_name="x", etag=made.etag)).reason == "ETAG_MISMATCH"

    said = pb.RelationExamples(relation="speaks", examples=["{s} grew up with", "What does {s} speak?"])
    described = update([], relation_examples=[said])
    assert list(described.relation_examples) == [said]
    assert described.display_name == "Crew"
    assert list(get(server, made.name).relation_examples) == [said]
    listed = server.namespaces.ListNamespaces(pb.ListNamespacesRequest(page_size=50)).namespaces
    assert [list(each.relation_examples) for each in listed if each.name == made.name] == [
        []
    ]  # they may be long
    assert list(update(["relation_examples"]).relation_examples) == []
    empty = pb.RelationExamples(relation="speaks")
    assert refusal(lambda: update([], relation_examples=[empty])).fields == ("namespace.relation_examples",)
    twice = [
        pb.RelationExamples(relation=name, examples=["a {s}"]) for name in ("Screening Age", "screeningAge")
    ]
    refused = refusal(lambda: update([], relation_examples=twice))
    assert refused.fields == ("namespace.relation_examples",)
    assert "'screeningAge' is described twice, also as 'Screening Age'" in refused.message

    server.add("Anna", "speaks", "German", parent=made.name)
    delete = pb.DeleteNamespaceRequest(name=made.name)
    refused = refusal(lambda: server.namespaces.DeleteNamespace(delete))
    assert (refused.code, refused.metadata["fact_count"]) == ("FAILED_PRECONDITION", "1")
    delete.force = True
    delete.validate_only = True
    server.namespaces.DeleteNamespace(delete)
    assert get(server, made.name).fact_count == 1
    delete.validate_only = False
    delete.request_id = str(uuid.uuid4())
    server.namespaces.DeleteNamespace(delete)
    server.namespaces.DeleteNamespace(delete)
    assert refusal(lambda: get(server, made.name)).code == "NOT_FOUND"


def test_creation_is_refused_and_repeated(server: Running) -> None:
    key = str(uuid.uuid4())
    request = pb.CreateNamespaceRequest(namespace_id="once", request_id=key)
    first = server.namespaces.CreateNamespace(request)
    assert server.namespaces.CreateNamespace(request) == first
    request.request_id = ""
    assert refusal(lambda: server.namespaces.CreateNamespace(request)).code == "ALREADY_EXISTS"
    for name in ("", "Upper", "a b", "-x", "x" * 64):
        refused = refusal(lambda name=name: server.space(name))
        assert (refused.code, refused.fields) == ("INVALID_ARGUMENT", ("namespace_id",))
    wrong = pb.Namespace(display_name="x" * 129)
    assert (
        refusal(lambda: server.space("long", namespace=wrong)).metadata["limit"] == "max_display_name_length"
    )
    dry = pb.CreateNamespaceRequest(namespace_id="dry", validate_only=True)
    server.namespaces.CreateNamespace(dry)
    assert refusal(lambda: get(server, "namespaces/dry")).code == "NOT_FOUND"


def test_lists_come_in_pages(server: Running) -> None:
    for number in range(5):
        server.space(f"page-{number}")
    seen: list[str] = []
    request = pb.ListNamespacesRequest(page_size=2)
    while True:
        page = server.namespaces.ListNamespaces(request)
        seen += [space.name for space in page.namespaces]
        request.page_token = page.next_page_token
        if not request.page_token:
            break
    assert seen == sorted(set(seen))
    assert {f"namespaces/page-{number}" for number in range(5)} <= set(seen)
    request.page_token = "forged"
    assert refusal(lambda: server.namespaces.ListNamespaces(request)).fields == ("page_token",)


def test_reindexing_is_an_operation(server: Running, parent: str) -> None:
    for number in range(3):
        server.add(f"S{number}", "r", "o", parent=parent)
    key = str(uuid.uuid4())
    request = pb.ReindexNamespaceRequest(name=parent, request_id=key)
    begun = server.namespaces.ReindexNamespace(request)
    assert begun.name == f"operations/reindex-{key}"
    done = wait(server, begun.name)
    assert done.done
    metadata, space = pb.ReindexMetadata(), pb.Namespace()
    assert done.metadata.Unpack(metadata)
    assert done.response.Unpack(space)
    assert (metadata.namespace, metadata.facts_done, metadata.facts_total) == (parent, 3, 3)
    assert (space.name, space.searchable_revision) == (parent, 3)
    # The same request finds the same operation; another namespace under its id is another request.
    assert server.namespaces.ReindexNamespace(request) == done
    other = pb.ReindexNamespaceRequest(name="namespaces/default", request_id=key)
    assert refusal(lambda: server.namespaces.ReindexNamespace(other)).reason == "REQUEST_ID_REUSED"
    missing = pb.ReindexNamespaceRequest(name="namespaces/nowhere")
    assert refusal(lambda: server.namespaces.ReindexNamespace(missing)).code == "NOT_FOUND"

    listed = server.operations.ListOperations(ops.ListOperationsRequest(name="operations", page_size=1000))
    assert begun.name in [operation.name for operation in listed.operations]
    server.operations.CancelOperation(ops.CancelOperationRequest(name=begun.name))
    assert server.operations.GetOperation(ops.GetOperationRequest(name=begun.name)) == done
    server.operations.DeleteOperation(ops.DeleteOperationRequest(name=begun.name))
    for call in (
        lambda: server.operations.GetOperation(ops.GetOperationRequest(name=begun.name)),
        lambda: server.operations.DeleteOperation(ops.DeleteOperationRequest(name=begun.name)),
        lambda: server.operations.CancelOperation(ops.CancelOperationRequest(name=begun.name)),
        lambda: wait(server, begun.name),
    ):
        assert refusal(call).code == "NOT_FOUND"


def test_operations_are_listed_in_pages(server: Running, parent: str) -> None:
    names = set()
    for _ in range(3):
        begun = server.namespaces.ReindexNamespace(pb.ReindexNamespaceRequest(name=parent))
        names.add(begun.name)
        wait(server, begun.name)
    seen: list[str] = []
    request = ops.ListOperationsRequest(page_size=2)
    while True:
        page = server.operations.ListOperations(request)
        seen += [operation.name for operation in page.operations]
        request.page_token = page.next_page_token
        if not request.page_token:
            break
    assert names <= set(seen)
    assert len(seen) == len(set(seen))


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        ({"name": "others"}, "name"),
        ({"filter": "done = true"}, "filter"),
        ({"page_size": -1}, "page_size"),
        ({"page_token": "x"}, "page_token"),
    ],
)
def test_lists_that_are_refused(server: Running, request_: dict[str, Any], field: str) -> None:
    refused = refusal(lambda: server.operations.ListOperations(ops.ListOperationsRequest(**request_)))
    assert (refused.code, refused.fields) == ("INVALID_ARGUMENT", (field,))


def test_what_a_restart_interrupted_is_aborted(tmp_path: Path) -> None:
    store = open_store(tmp_path / "facts.db")
    store.save_operation(OperationRecord("reindex-1", "reindex", False, b""))
    store.close()
    with running(tmp_path) as server:
        found = server.operations.GetOperation(ops.GetOperationRequest(name="operations/reindex-1"))
        assert found.done
        assert (found.error.code, found.error.message) == (10, "the server was restarted")
