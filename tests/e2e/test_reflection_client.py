"""A client that has nothing but the server's address: every message is built from reflection at run time."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from google.protobuf import message_factory
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from tests.serving import Running


class Reflected:
    """Calls by name, with fields by name."""

    def __init__(self, channel: grpc.Channel) -> None:
        database = ProtoReflectionDescriptorDatabase(channel)
        self.services = set(database.get_services())
        self._pool = DescriptorPool(database)
        self._channel = channel

    def call(self, service: str, method: str, **fields: Any) -> Any:
        found = self._pool.FindServiceByName(service).FindMethodByName(method)
        request_class = message_factory.GetMessageClass(found.input_type)
        response_class = message_factory.GetMessageClass(found.output_type)
        invoke = self._channel.unary_unary(
            f"/{service}/{method}",
            request_serializer=request_class.SerializeToString,
            response_deserializer=response_class.FromString,
        )
        return invoke(request_class(**fields))


@pytest.fixture
def reflected(server: Running) -> Reflected:
    return Reflected(server.channel)


def test_every_service_is_announced(reflected: Reflected) -> None:
    assert reflected.services == {
        "interleaf.v1.Facts",
        "interleaf.v1.Inference",
        "interleaf.v1.Encoders",
        "interleaf.v1.Namespaces",
        "interleaf.v1.Reviews",
        "interleaf.v1.Edits",
        "interleaf.v1.Circuits",
        "interleaf.v1.Monitor",
        "google.longrunning.Operations",
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    }


def test_create_query_update_delete(reflected: Reflected, parent: str) -> None:
    facts = "interleaf.v1.Facts"
    made = reflected.call(
        facts,
        "CreateFact",
        parent=parent,
        fact_id="anna",
        fact={"subject": "Anna Keller", "relation": "employer", "object": "Nordlicht Werft"},
    )
    assert type(made).DESCRIPTOR.full_name == "interleaf.v1.Fact"
    assert made.name == f"{parent}/facts/anna"
    found = reflected.call(
        facts,
        "SearchFacts",
        parent=parent,
        query="Who employs Anna Keller?",
        min_revision=made.namespace_revision,
    )
    assert found.hits[0].fact.object == "Nordlicht Werft"
    changed = reflected.call(
        facts,
        "UpdateFact",
        fact={"name": made.name, "object": "Hafenwerk", "etag": made.etag},
        update_mask={"paths": ["object"]},
    )
    assert (changed.object, changed.revision) == ("Hafenwerk", 2)
    assert reflected.call(facts, "DeleteFact", name=made.name).HasField("delete_time")
    assert len(reflected.call(facts, "ListFacts", parent=parent).facts) == 0
    with pytest.raises(grpc.RpcError, match="does not exist"):
        reflected.call(facts, "GetFact", name=f"{parent}/facts/nobody")
