"""The application for Ray Serve: its file, and what passes calls on. Ray itself runs it where it is installed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml
from google.rpc import error_details_pb2, status_pb2

from interleaf.v1 import inference_pb2 as pb
from interleaf.v1 import inference_pb2_grpc
from service.ray_serve import forwarding
from service.ray_serve.settings import replica_settings
from tests.deployment.dockerfile import ROOT
from tests.deployment.test_compose import known_setting
from tests.e2e.test_inference_service import QUESTION, save_tiny
from tests.serving import PARENT, Running, running

FILE = ROOT / "ops" / "ray-serve.yaml"


@dataclass
class Told:
    """What Ray's context remembers of a call."""

    metadata: list[tuple[str, str]] = field(default_factory=list)
    code: grpc.StatusCode | None = None
    details: str = ""
    trailing: list[tuple[str, Any]] = field(default_factory=list)

    def invocation_metadata(self) -> list[tuple[str, str]]:
        return self.metadata

    def set_code(self, code: grpc.StatusCode) -> None:
        self.code = code

    def set_details(self, details: str) -> None:
        self.details = details

    def set_trailing_metadata(self, trailing_metadata: list[tuple[str, str]]) -> None:
        self.trailing = list(trailing_metadata)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    tiny = save_tiny(tmp_path_factory.mktemp("tiny"))
    with running(tmp_path_factory.mktemp("data"), engine=tiny) as made:
        yield made


def asking(parent: str = PARENT) -> pb.GenerateRequest:
    return pb.GenerateRequest(parent=parent, prompt=QUESTION, sampling={"max_tokens": 4})


def test_answers_are_passed_on_as_they_are(server: Running) -> None:
    async def both() -> tuple[Any, list[Any]]:
        async with grpc.aio.insecure_channel(server.address) as channel:
            stub = inference_pb2_grpc.InferenceStub(channel)
            whole = await forwarding.unary(stub.Generate, asking(), Told(), pb.GenerateResponse())
            pieces = [item async for item in forwarding.stream(stub.StreamGenerate, asking(), Told())]
            return whole, pieces

    whole, pieces = asyncio.run(both())
    assert whole.text == server.inference.Generate(asking()).text
    assert pieces[-1].response.text == whole.text


def test_a_refusal_keeps_its_code_its_words_and_its_details(server: Running) -> None:
    async def refused() -> tuple[Told, Any, Told]:
        async with grpc.aio.insecure_channel(server.address) as channel:
            stub = inference_pb2_grpc.InferenceStub(channel)
            told, streamed = Told(), Told()
            wrong = asking("namespaces/nowhere")
            answer = await forwarding.unary(stub.Generate, wrong, told, pb.GenerateResponse())
            with pytest.raises(grpc.aio.AioRpcError):
                async for _ in forwarding.stream(stub.StreamGenerate, wrong, streamed):
                    pass
            return told, answer, streamed

    told, answer, streamed = asyncio.run(refused())
    assert answer == pb.GenerateResponse()
    assert told.code is streamed.code is grpc.StatusCode.NOT_FOUND
    assert "nowhere" in told.details
    status = status_pb2.Status.FromString(dict(told.trailing)["grpc-status-details-bin"])
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert info.reason == "NOT_FOUND"


def test_a_callers_key_and_trace_are_passed_on_and_the_proxys_own_are_not() -> None:
    given = [("authorization", "Bearer x"), ("traceparent", "00-1"), ("user-agent", "a"), ("application", "b"),
             ("grpc-timeout", "1S"), ("request_id", "c")]  # fmt: skip
    assert forwarding.passed_on(given) == [("authorization", "Bearer x"), ("traceparent", "00-1")]


def test_a_replica_is_configured_by_the_file_that_the_environment_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "interleaf.toml"
    file.write_text(
        f'[store]\ndata_dir = "{tmp_path}"\n[listen]\nport = 7500\n[limits]\nmax_batch_facts = 7\n'
    )
    monkeypatch.setenv("INTERLEAF_CONFIG", str(file))
    alone = replica_settings("a1")
    assert (alone.store.data_dir, alone.limits.max_batch_facts, alone.listen.port) == (tmp_path, 7, 0)
    with file.open("a") as more:
        more.write("[metrics]\nport = 9100\n")
    monkeypatch.setenv("INTERLEAF_STORE__DATABASE_URL", "postgresql://user@host/facts")
    one_of_many = replica_settings("a1")
    assert (one_of_many.store.data_dir, one_of_many.metrics.port) == (tmp_path / "a1", None)


def test_the_file_names_what_is_there() -> None:
    described = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    for path in described["grpc_options"]["grpc_servicer_functions"]:
        module, _, name = path.rpartition(".")
        assert callable(getattr(import_module(module), name))
    (application,) = described["applications"]
    module, _, name = application["import_path"].partition(":")
    source = (ROOT / Path(*module.split("."))).with_suffix(".py").read_text(encoding="utf-8")
    assert f"\n{name} = serve.deployment({application['deployments'][0]['name']}).bind()" in source
    for variable in application["runtime_env"]["env_vars"]:
        assert known_setting(variable), variable
    methods = [method.name for method in pb.DESCRIPTOR.services_by_name["Inference"].methods]
    assert [method for method in methods if f"    async def {method}(" not in source] == []


def test_ray_takes_the_file_and_the_application() -> None:
    """Only where Ray is installed (the extra `ray`)."""
    pytest.importorskip("ray.serve")
    schema = import_module("ray.serve.schema").ServeDeploySchema
    assert (
        schema.parse_obj(yaml.safe_load(FILE.read_text(encoding="utf-8"))).applications[0].name == "interleaf"
    )
    application = import_module("service.ray_serve.engine").application
    assert application._bound_deployment.name == "Engine"
