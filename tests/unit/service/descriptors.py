"""Every method that the server offers, from the descriptors."""

from __future__ import annotations

from google.longrunning import operations_pb2
from google.protobuf.descriptor import MethodDescriptor

from interleaf.v1 import (
    circuits_pb2,
    edits_pb2,
    encoders_pb2,
    facts_pb2,
    inference_pb2,
    monitor_pb2,
    namespaces_pb2,
    reviews_pb2,
)

FILES = (
    circuits_pb2,
    edits_pb2,
    encoders_pb2,
    facts_pb2,
    inference_pb2,
    monitor_pb2,
    namespaces_pb2,
    operations_pb2,
    reviews_pb2,
)
METHODS: dict[str, MethodDescriptor] = {
    f"/{service.full_name}/{method.name}": method
    for file in FILES
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}
