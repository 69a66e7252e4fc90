"""Starting, being overloaded, draining and ending."""

from __future__ import annotations

import itertools
import json
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from interleaf.v1 import facts_pb2 as pb
from interleaf.v1 import inference_pb2
from kb_store.sql import SqlStore, sqlite
from service.config import ConfigError
from tests.serving import PARENT, Running, refusal, running, serving, stubs, taken_apart

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def health(channel: grpc.Channel, service: str = "") -> Any:
    return health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=service)).status


def test_health_on_both_ports(tmp_path: Path) -> None:
    with (
        running(tmp_path, listen={"health_port": 0}) as server,
        grpc.insecure_channel(server.health_address) as other,
    ):
        for channel in (server.channel, other):
            assert health(channel) == SERVING
            assert health(channel, "interleaf.v1.Facts") == SERVING
            assert health(channel, "interleaf.v1.Inference") == NOT_SERVING  # no model
            assert refusal(lambda channel=channel: health(channel, "nonsense")).code == "NOT_FOUND"
        lister = other.unary_unary("/interleaf.v1.Facts/ListFacts")
        assert refusal(lambda: lister(b"")).code == "UNIMPLEMENTED"


def test_without_a_model_inference_says_so(server: Running) -> None:
    calls = {
        "Generate": inference_pb2.GenerateRequest(parent=PARENT, prompt="x"),
        "StreamGenerate": inference_pb2.GenerateRequest(parent=PARENT, prompt="x"),
        "Score": inference_pb2.ScoreRequest(parent=PARENT, prompt="x", continuations=["y"]),
        "Compare": inference_pb2.CompareRequest(parent=PARENT, prompt="x"),
    }
    for method, request in calls.items():
        refused = refusal(lambda m=method, r=request: getattr(server.inference, m)(r))
        assert (refused.code, refused.reason) == ("FAILED_PRECONDITION", "NO_MODEL")


def test_too_many_calls_are_refused_and_told_when_to_come_back(tmp_path: Path) -> None:
    with running(tmp_path, admission={"transfer": 1, "retry_seconds": 0.25}) as server:
        ended = threading.Event()

        def slow() -> Iterator[Any]:
            yield pb.ImportFactsRequest(header=pb.ImportHeader(parent=PARENT, format=pb.FACT_FORMAT_CSV))
            ended.wait(30)

        call = server.facts.ImportFacts(slow())
        next(call)
        export = pb.ExportFactsRequest(parent=PARENT, format=pb.FACT_FORMAT_CSV)
        refused = refusal(lambda: server.facts.ExportFacts(export))
        assert (refused.code, refused.reason) == ("RESOURCE_EXHAUSTED", "TOO_BUSY")
        assert refused.retry_seconds == 0.25
        assert server.add("other kinds", "go", "on").uid  # and health as well
        assert health(server.channel) == SERVING
        ended.set()
        list(call)
        assert list(server.facts.ExportFacts(export))


def test_the_servers_own_deadline(tmp_path: Path) -> None:
    with running(tmp_path, deadlines={"transfer": 0.2}) as server:
        ended = threading.Event()

        def never() -> Iterator[Any]:
            yield pb.ImportFactsRequest(header=pb.ImportHeader(parent=PARENT, format=pb.FACT_FORMAT_CSV))
            ended.wait(30)

        refused = refusal(lambda: server.facts.ImportFacts(never()))
        ended.set()
        assert (refused.code, refused.reason) == ("DEADLINE_EXCEEDED", "DEADLINE_PASSED")


def test_messages_that_are_too_large(tmp_path: Path) -> None:
    with running(tmp_path, listen={"max_message_bytes": 65536}) as server:
        refused = refusal(lambda: server.add("s" * 70_000, "r", "o"))
        assert refused.code == "RESOURCE_EXHAUSTED"


def test_one_server_for_a_data_folder_and_a_port(tmp_path: Path) -> None:
    with serving(tmp_path / "one") as server:
        with pytest.raises(ConfigError, match="in use by another server"), serving(tmp_path / "one"):
            pass
        port = int(server.address.rpartition(":")[2])
        with (
            pytest.raises(ConfigError, match=f"cannot listen on 127.0.0.1:{port}"),
            serving(tmp_path / "two", listen={"port": port}),
        ):
            pass
    with serving(tmp_path / "one"):
        pass


def test_a_default_namespace_that_is_none(tmp_path: Path) -> None:
    with (
        pytest.raises(ConfigError, match="default_namespace"),
        serving(tmp_path, store={"default_namespace": "No Such Id"}),
    ):
        pass
    with running(tmp_path, store={"default_namespace": ""}) as server:
        assert refusal(lambda: server.add("a", "b", "c")).code == "NOT_FOUND"


def test_what_is_deleted_is_gone_for_good_after_its_time(tmp_path: Path) -> None:
    with running(tmp_path, store={"retention_days": 0, "maintenance_seconds": 0.1}) as server:
        made = server.add("Anna Keller", "employer", "Werft")
        server.facts.DeleteFact(pb.DeleteFactRequest(name=made.name))
        assert is_purged(server, made.name)


def is_purged(server: Running, name: str) -> bool:
    """Whether maintenance removes it within ten seconds."""
    for _ in range(500):
        try:
            server.facts.GetFact(pb.GetFactRequest(name=name))
        except grpc.RpcError as error:
            return taken_apart(error).code == "NOT_FOUND"
        time.sleep(0.02)
    return False


def test_a_database_that_somebody_else_locks_is_unavailable_and_ends_no_maintenance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "_BUSY_SECONDS", 0.05)
    with running(tmp_path, store={"retention_days": 0, "maintenance_seconds": 0.05}) as server:
        made = server.add("Anna Keller", "employer", "Werft")
        (database,) = tmp_path.glob("*.db")
        with closing(sqlite3.connect(database)) as shell:
            shell.execute("BEGIN IMMEDIATE")
            refused = refusal(lambda: server.add("Ben Adler", "employer", "Werft"))
            assert (refused.code, refused.reason) == ("UNAVAILABLE", "STORE_UNAVAILABLE")
            time.sleep(0.3)  # rounds of maintenance
        server.facts.DeleteFact(pb.DeleteFactRequest(name=made.name))
        assert is_purged(server, made.name)


def test_an_unexpected_error_ends_no_maintenance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does one part of it that goes on failing keep the other from running."""
    purge, errors = SqlStore.purge, iter([RuntimeError("once")])

    def fails_once(store: SqlStore, now: datetime) -> int:
        for error in errors:
            raise error
        return purge(store, now)

    def fails(store: SqlStore, replica: str, *, reads_outbox: bool) -> None:
        raise RuntimeError("always")

    with running(tmp_path, store={"retention_days": 0, "maintenance_seconds": 0.05}) as server:
        monkeypatch.setattr(SqlStore, "purge", fails_once)
        monkeypatch.setattr(SqlStore, "join", fails)
        made = server.add("Anna Keller", "employer", "Werft")
        server.facts.DeleteFact(pb.DeleteFactRequest(name=made.name))
        assert is_purged(server, made.name)
        assert next(errors, None) is None


def test_sigterm_lets_calls_in_flight_end_and_logs_hold_no_texts(tmp_path: Path) -> None:
    arguments = ["serve", "--port", "0", "--engine", "none", "--data-dir", str(tmp_path / "data")]
    arguments += ["--log-level", "debug"]
    process = subprocess.Popen(
        [sys.executable, "-m", "interleaf.cli", *arguments], stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    try:
        ready = next(line for line in map(json.loads, process.stderr) if line["event"] == "ready")
        going, ended = threading.Event(), threading.Event()

        def slow() -> Iterator[Any]:
            yield pb.ImportFactsRequest(header=pb.ImportHeader(parent=PARENT, format=pb.FACT_FORMAT_CSV))
            going.set()
            ended.wait(30)
            yield pb.ImportFactsRequest(data=b"subject,relation,object\nSECRET,b,c\n")

        with grpc.insecure_channel(ready["address"]) as channel:
            server = stubs(ready["address"], "", channel)
            server.add("SECRET", "SECRET", "SECRET")
            refused = refusal(lambda: server.add("SECRET", "SECRET", "SECRET" * 100))
            call = channel.stream_stream(
                "/interleaf.v1.Facts/ImportFacts",
                request_serializer=pb.ImportFactsRequest.SerializeToString,
                response_deserializer=pb.ImportFactsResponse.FromString,
            )(slow())
            next(call)
            process.send_signal(signal.SIGTERM)
            lines = list(itertools.takewhile(lambda line: "draining" not in line, process.stderr))
            ended.set()
            last = list(call)[-1]
        assert (last.done, last.rows_written) == (True, 1)
        rest = process.stderr.read()
        assert process.wait(60) == 0
        assert '"event": "stopped"' in rest
        assert "SECRET" not in rest + "".join(lines)
        called = [line for line in map(json.loads, lines) if line["event"] == "call"]
        assert [(line["method"], line["code"]) for line in called] == [
            ("/interleaf.v1.Facts/CreateFact", "OK"),
            ("/interleaf.v1.Facts/CreateFact", "INVALID_ARGUMENT"),
        ]
        assert called[1]["reason"] == "LIMIT_EXCEEDED"
        assert called[1]["server_request_id"] == refused.metadata["server_request_id"]
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
