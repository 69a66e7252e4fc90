"""Calls of the Namespaces and Operations services. The docstrings are those of the client's methods."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from google.longrunning import operations_pb2
from google.protobuf import empty_pb2, field_mask_pb2
from google.rpc import code_pb2

from interleaf import _decode
from interleaf._calls import Call, Paged, Polled, new_request_id, several
from interleaf._errors import from_status
from interleaf._session import Session, namespace_name, namespace_of
from interleaf._types import Namespace, Operation
from interleaf.v1 import namespaces_pb2

NAMESPACES = "/interleaf.v1.Namespaces/"
OPERATIONS = "/google.longrunning.Operations/"


def create_namespace(
    session: Session,
    namespace: str,
    *,
    display_name: str = "",
    multi_valued_relations: Iterable[str] = (),
    request_id: str | None = None,
    validate_only: bool = False,
) -> Call[Namespace]:
    """Makes a namespace: lower-case letters, digits and hyphens, 1-63. Raises AlreadyExists.

    client.create_namespace("crew", multi_valued_relations=["language spoken"])
    """
    request = namespaces_pb2.CreateNamespaceRequest(
        namespace_id=namespace,
        namespace=namespaces_pb2.Namespace(
            display_name=display_name,
            multi_valued_relations=several("multi_valued_relations", multi_valued_relations),
        ),
        request_id=new_request_id(request_id),
        validate_only=validate_only,
    )
    return Call(NAMESPACES + "CreateNamespace", request, namespaces_pb2.Namespace, _decode.namespace)


def get_namespace(session: Session, namespace: str | None = None) -> Call[Namespace]:
    """Returns a namespace (the client's own when none is named): its revision, fact count, index state."""
    request = namespaces_pb2.GetNamespaceRequest(name=namespace_name(namespace or session.namespace))
    return Call(NAMESPACES + "GetNamespace", request, namespaces_pb2.Namespace, _decode.namespace)


def list_namespaces(session: Session, *, page_size: int = 0) -> Paged[Namespace]:
    """Goes over the namespaces, ordered by id."""

    def page(token: str) -> Call[tuple[list[Namespace], str]]:
        request = namespaces_pb2.ListNamespacesRequest(page_size=page_size, page_token=token)

        def decode(message: Any) -> tuple[list[Namespace], str]:
            return [_decode.namespace(entry) for entry in message.namespaces], message.next_page_token

        return Call(NAMESPACES + "ListNamespaces", request, namespaces_pb2.ListNamespacesResponse, decode)

    return Paged(page)


def update_namespace(
    session: Session,
    namespace: str | None = None,
    *,
    display_name: str | None = None,
    multi_valued_relations: Iterable[str] | None = None,
    relation_examples: Mapping[str, Iterable[str]] | None = None,
    etag: str = "",
    request_id: str | None = None,
) -> Call[Namespace]:
    """Changes a namespace's display name, which of its relations may have several objects, or how its relations are
    asked for (examples take the place of those before; "{s}" stands for the subject).

    client.update_namespace(relation_examples={"employer": ["Who pays {s}?", "{s} earns a living at"]})
    """
    message = namespaces_pb2.Namespace(name=namespace_name(namespace or session.namespace), etag=etag)
    mask = []
    if display_name is not None:
        message.display_name = display_name
        mask.append("display_name")
    if multi_valued_relations is not None:
        message.multi_valued_relations.extend(several("multi_valued_relations", multi_valued_relations))
        mask.append("multi_valued_relations")
    if relation_examples is not None:
        for relation, examples in relation_examples.items():
            said = several(f"the examples of {relation!r}", examples)
            message.relation_examples.add(relation=relation, examples=said)
        mask.append("relation_examples")
    if not mask:
        raise ValueError("update_namespace: give display_name, multi_valued_relations or relation_examples")
    request = namespaces_pb2.UpdateNamespaceRequest(
        namespace=message,
        update_mask=field_mask_pb2.FieldMask(paths=mask),
        request_id=new_request_id(request_id),
    )
    return Call(NAMESPACES + "UpdateNamespace", request, namespaces_pb2.Namespace, _decode.namespace)


def delete_namespace(
    session: Session,
    namespace: str,
    *,
    force: bool = False,
    etag: str = "",
    request_id: str | None = None,
    validate_only: bool = False,
) -> Call[None]:
    """Deletes a namespace for good; one that has facts only with `force`."""
    name = namespace_name(namespace)
    request = namespaces_pb2.DeleteNamespaceRequest(
        name=name,
        force=force,
        etag=etag,
        request_id=new_request_id(request_id),
        validate_only=validate_only,
    )

    def decode(message: Any) -> None:
        if not validate_only:
            session.revisions.forget(namespace_of(name))

    return Call(NAMESPACES + "DeleteNamespace", request, namespaces_pb2.DeleteNamespaceResponse, decode)


def raise_failure(message: Any) -> None:
    """Raises what an operation failed with, if it did."""
    if message.WhichOneof("result") == "error":
        raise from_status(
            code_pb2.Code.Name(message.error.code), message.error.message, message.error.details
        )


def _operation(message: Any) -> Operation:
    raise_failure(message)
    progress = _decode.operation_metadata(message.metadata)
    return Operation(name=message.name, done=message.done, metadata=progress)


def _listed_operation(message: Any) -> Operation:
    progress = _decode.operation_metadata(message.metadata)
    if message.WhichOneof("result") == "error":
        progress["error"] = message.error.message
    return Operation(name=message.name, done=message.done, metadata=progress)


def reindex(
    session: Session, namespace: str | None = None, *, request_id: str | None = None
) -> Call[Operation]:
    """Starts to rebuild a namespace's index from SQL. `wait` waits for its end.

    client.wait(client.reindex())
    """
    request = namespaces_pb2.ReindexNamespaceRequest(
        name=namespace_name(namespace or session.namespace), request_id=new_request_id(request_id)
    )
    return Call(NAMESPACES + "ReindexNamespace", request, operations_pb2.Operation, _operation)


def operation(session: Session, name: str) -> Call[Operation]:
    """How a long-running operation stands. Raises the operation's error when it failed."""
    request = operations_pb2.GetOperationRequest(name=name)
    return Call(OPERATIONS + "GetOperation", request, operations_pb2.Operation, _operation)


def operations(session: Session, *, page_size: int = 0) -> Paged[Operation]:
    """Goes over the long-running operations; one that failed has its message in metadata["error"]."""

    def page(token: str) -> Call[tuple[list[Operation], str]]:
        request = operations_pb2.ListOperationsRequest(
            name="operations", page_size=page_size, page_token=token
        )

        def decode(message: Any) -> tuple[list[Operation], str]:
            return [_listed_operation(entry) for entry in message.operations], message.next_page_token

        return Call(OPERATIONS + "ListOperations", request, operations_pb2.ListOperationsResponse, decode)

    return Paged(page)


def cancel_operation(session: Session, name: str) -> Call[None]:
    """Asks a long-running operation to stop."""
    return cancel_call(name)


def cancel_call(name: str) -> Call[None]:
    """The call that ends the work of this name."""
    request = operations_pb2.CancelOperationRequest(name=name)
    return Call(OPERATIONS + "CancelOperation", request, empty_pb2.Empty, lambda message: None)


def wait(session: Session, operation: Operation | str, *, timeout: float | None = None) -> Polled[Operation]:
    """Waits until a long-running operation is done (`timeout` seconds at most), and returns it.

    Raises the operation's error when it failed.
    """
    name = operation if isinstance(operation, str) else operation.name
    request = operations_pb2.GetOperationRequest(name=name)
    call = Call(OPERATIONS + "GetOperation", request, operations_pb2.Operation, _operation)
    return Polled(call, lambda seen: seen.done, timeout, f"operation {name}")


def wait_until(
    session: Session,
    state: Literal["searchable", "compiled"] = "searchable",
    *,
    revision: int | None = None,
    timeout: float | None = None,
) -> Polled[Namespace]:
    """Waits until everything written up to `revision` (by default: by this client) has come that far.

    Questions need not wait: they see this client's writes anyway.
    """
    wanted = session.revisions.highest(namespace_of(session.parent)) if revision is None else revision

    def reached(namespace: Namespace) -> bool:
        seen = namespace.searchable_revision if state == "searchable" else namespace.compiled_revision
        return seen >= wanted

    what = f"namespace {session.namespace} to be {state} at revision {wanted}"
    return Polled(get_namespace(session), reached, timeout, what)
