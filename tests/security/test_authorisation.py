"""Who may do what: every method of every descriptor, with every scope, in its namespace, in another and in all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import message_factory

import service.server
from interleaf.v1 import facts_pb2
from service.access.gate import Gate
from service.access.grants import Grants, Scope
from service.access.keys import KeyRing, new_key
from service.access.rules import RULES, Rule
from service.calls import KINDS
from service.config import ConfigError
from service.config_operation import QuotaSettings
from service.errors import RateExceeded
from service.rates import Rates
from tests.http_calls import HTTP, http_running, reason
from tests.serving import refusal, running, serving
from tests.unit.service.descriptors import METHODS

HERE, ELSEWHERE, ALL = "films", "trains", "*"
ANYBODY = None
# What is needed, written down a second time and by another hand: a change of a rule is a change of this table.
# method -> scope, and whether a grant in the one namespace is enough
_WRITES = ("Create", "Update", "Delete", "Undelete", "BatchCreate", "BatchDelete", "Rollback", "Import")
_READS = ("Get", "List", "BatchGet", "Search", "Export")
_PLURAL = ("List", "BatchCreate", "BatchDelete", "BatchGet", "Search", "Import", "Export")
EXPECTED: dict[str, tuple[Scope | None, bool]] = {
    **{f"Facts/{verb}Fact{'s' * (verb in _PLURAL)}": (Scope.WRITE, True) for verb in _WRITES},
    **{f"Facts/{verb}Fact{'s' * (verb in _PLURAL)}": (Scope.READ, True) for verb in _READS},
    "Facts/ListFactRevisions": (Scope.READ, True),
    **{
        f"Inference/{name}": (Scope.READ, True)
        for name in ("Generate", "StreamGenerate", "Score", "Compare", "WeighFacts")
    },
    **{f"Encoders/{name}": (ANYBODY, True) for name in ("GetEncoder", "ListEncoders")},
    **{
        f"Encoders/{name}": (Scope.OPS, False)
        for name in ("TrainEncoder", "EvaluateEncoder", "CalibrateEncoder", "SweepLayers")
    },
    **{
        f"Edits/{name}": (Scope.EDIT, False)
        for name in ("CreateEdit", "ListEdits", "GetEdit", "GetEditReceipt", "ApplyEdit", "RevertEdit")
    },
    "Edits/DeleteEdit": (Scope.EDIT, False),
    "Edits/CompareEdits": (Scope.EDIT, False),
    "Circuits/CheckHallucination": (Scope.OPS, True),
    **{f"Circuits/{name}": (Scope.OPS, True) for name in ("ExplainFacts", "StudyEmergence", "StudyGrafting")},
    **{
        f"Circuits/{name}": (Scope.OPS, False)
        for name in (
            "TraceAnswers",
            "StudyHeads",
            "StudyKnockout",
            "StudyRecall",
            "DiscoverCircuit",
            "LocateHeads",
        )
    },
    "Monitor/ListInjections": (Scope.OPS, True),
    "Monitor/WatchInjections": (Scope.OPS, True),
    "Monitor/GetStatus": (ANYBODY, True),
    **{f"Reviews/{verb}Review{'s' * (verb == 'List')}": (Scope.ADMIN, True) for verb in ("List", "Get")},
    **{f"Reviews/{verb}Review": (Scope.ADMIN, True) for verb in ("Approve", "Reject")},
    "Namespaces/CreateNamespace": (Scope.ADMIN, True),
    "Namespaces/GetNamespace": (Scope.READ, True),
    "Namespaces/ListNamespaces": (Scope.READ, False),
    "Namespaces/UpdateNamespace": (Scope.ADMIN, True),
    "Namespaces/DeleteNamespace": (Scope.ADMIN, True),
    "Namespaces/ReindexNamespace": (Scope.OPS, True),
    **{
        f"Operations/{name}Operation{'s' * (name == 'List')}": (Scope.OPS, False)
        for name in ("List", "Get", "Delete", "Cancel", "Wait")
    },
}
RESOURCES = {
    "Facts": f"namespaces/{HERE}/facts/x",
    "Namespaces": f"namespaces/{HERE}",
    "Reviews": f"namespaces/{HERE}/reviews/x",
    "Encoders": "encoders/x",
    "Edits": "edits/x",
    "Operations": "operations/x",
}
GRANTS = [f"{scope}@{where}" for scope in Scope for where in (HERE, ELSEWHERE, ALL)]
Cell = tuple[str, str]


def short(method: str) -> str:
    return method.rpartition(".")[2]


def request_for(method: str) -> Any:
    """A request about the namespace, which does not exist: who is let through changes nothing."""
    found = METHODS[method]
    message = message_factory.GetMessageClass(found.input_type)()
    fields = {field.name for field in found.input_type.fields}
    resource = RESOURCES.get(found.containing_service.name, "")
    for name, value in (("parent", f"namespaces/{HERE}"), ("name", resource), ("namespace_id", HERE)):
        if name in fields and not (name == "name" and found.name == "ListOperations"):
            setattr(message, name, value)
    if "names" in fields:
        message.names.append(resource)
    for nested in {"fact", "namespace"} & fields:
        if found.name.startswith("Update"):
            getattr(message, nested).name = resource
    if "header" in fields:
        message.header.parent = f"namespaces/{HERE}"
    if "validate_only" in fields:
        message.validate_only = True
    return message


def expected(method: str, grant: str) -> bool:
    scope, one_is_enough = EXPECTED[short(method)]
    has, _, where = grant.partition("@")
    return scope is ANYBODY or (has == scope and (where == ALL or (where == HERE and one_is_enough)))


Metadata = tuple[tuple[str, str], ...]


def bearer(secret: str) -> Metadata:
    return (("authorization", f"Bearer {secret}"),)


def allowed(channel: grpc.Channel, method: str, metadata: Metadata) -> bool:
    found = METHODS[method]
    kind = ("stream" if found.client_streaming else "unary") + (
        "_stream" if found.server_streaming else "_unary"
    )
    data = request_for(method).SerializeToString()
    try:
        answer = getattr(channel, kind)(method)(
            iter([data]) if found.client_streaming else data,
            metadata=metadata,
            timeout=0.5 if found.name == "WatchInjections" else 30,
        )
        if found.server_streaming:
            list(answer)
    except grpc.RpcError as error:
        code = error.code()  # type: ignore[attr-defined]
        assert code not in (
            grpc.StatusCode.UNAUTHENTICATED,
            grpc.StatusCode.INTERNAL,
            grpc.StatusCode.UNKNOWN,
        )
        return bool(code is not grpc.StatusCode.PERMISSION_DENIED)
    return True


def wrong_cells(address: str, keys: Mapping[str, str]) -> set[Cell]:
    with grpc.insecure_channel(address) as channel:
        return {
            (method, grant)
            for method in METHODS
            for grant, key in keys.items()
            if allowed(channel, method, bearer(key)) != expected(method, grant)
        }


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    path = tmp_path_factory.mktemp("keys") / "keys.txt"
    return path, {grant: new_key(path, f"key-{number}", [grant]) for number, grant in enumerate(GRANTS)}


@pytest.fixture(scope="module")
def guarded(
    tmp_path_factory: pytest.TempPathFactory, keys: tuple[Path, dict[str, str]]
) -> Iterator[service.server.Server]:
    with serving(tmp_path_factory.mktemp("data"), security={"api_keys_file": keys[0]}, http=HTTP) as made:
        yield made


def test_every_method_has_one_rule_and_one_expectation() -> None:
    assert set(RULES) == set(METHODS) == set(KINDS)
    assert set(EXPECTED) == {short(method) for method in METHODS}


def test_the_matrix(guarded: service.server.Server, keys: tuple[Path, dict[str, str]]) -> None:
    assert wrong_cells(guarded.address, keys[1]) == set()


def test_the_matrix_sees_a_gate_that_lets_everybody_through(
    tmp_path: Path, keys: tuple[Path, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    open_rules = dict.fromkeys(RULES, Rule(None))
    monkeypatch.setattr(service.server, "Gate", partial(Gate, rules=open_rules))
    some = {grant: keys[1][grant] for grant in (f"read@{ELSEWHERE}", f"write@{ELSEWHERE}")}
    with serving(tmp_path, security={"api_keys_file": keys[0]}) as server:
        wrong = wrong_cells(server.address, some)
    assert wrong == {(method, grant) for method in METHODS for grant in some if not expected(method, grant)}


def test_a_method_without_a_rule_is_not_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fewer = {method: rule for method, rule in RULES.items() if not method.endswith("/RollbackFact")}
    monkeypatch.setattr(service.server, "Gate", partial(Gate, rules=fewer))
    with pytest.raises(LookupError, match="RollbackFact has no row"), serving(tmp_path):
        pass


def test_a_refusal_says_what_is_missing_and_not_what_exists(
    guarded: service.server.Server, keys: tuple[Path, dict[str, str]]
) -> None:
    metadata = (("authorization", f"Bearer {keys[1][f'read@{HERE}']}"),)
    seen = []
    with grpc.insecure_channel(guarded.address) as channel:
        call = channel.unary_unary("/interleaf.v1.Facts/ListFacts")
        for name in ("default", "nowhere"):  # the first is there
            request = facts_pb2.ListFactsRequest(parent=f"namespaces/{name}").SerializeToString()
            found = refusal(lambda request=request: call(request, metadata=metadata))
            assert (found.code, found.reason) == ("PERMISSION_DENIED", "NOT_ALLOWED")
            assert (found.metadata["scope"], found.metadata["namespace"]) == ("read", name)
            seen.append(found.message.replace(name, "X"))
    assert seen[0] == seen[1]


def test_http_goes_through_the_same_gate(tmp_path: Path) -> None:
    key = new_key(tmp_path / "keys", "anna", ["read@default"])
    headers = {"authorization": f"Bearer {key}"}
    with http_running(tmp_path / "data", security={"api_keys_file": tmp_path / "keys"}) as http:
        assert http.send("GET", "/v1/namespaces/default/facts", headers=headers).status_code == 200
        fact = {"subject": "A", "relation": "b", "object": "c"}
        code, error = http.refused("POST", "/v1/namespaces/default/facts", fact, headers=headers)
        assert (code, reason(error)) == (403, "NOT_ALLOWED")
        code, error = http.refused("POST", "/v1/namespaces/films:generate", {"prompt": "y"}, headers=headers)
        assert (code, reason(error)) == (403, "NOT_ALLOWED")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", "grants nothing"),
        (" read", "SCOPE,...@NAMESPACE"),
        (" read@films peek@films", "no scope 'peek'"),
        (" read@Films", "SCOPE,...@NAMESPACE"),
        (" read,@films", "SCOPE,...@NAMESPACE"),
    ],
)
def test_keys_with_half_made_grants_stop_the_server(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "keys.txt"
    path.write_text(f"anna {'0' * 64}{line}\n")
    with pytest.raises(ConfigError, match=f"line 1 .*{said}"):
        KeyRing.read(path)
    if line:
        with pytest.raises(ConfigError, match=said):
            new_key(tmp_path / "other.txt", "anna", line.split())
        assert not (tmp_path / "other.txt").exists()


def test_grants_add_up_and_scopes_contain_no_others() -> None:
    grants = Grants.parse(["read,write@films", "ops@*"])
    assert grants.allows(Scope.READ, "films")
    assert grants.allows(Scope.OPS, "trains")
    assert grants.allows(Scope.OPS, "*")
    assert not grants.allows(Scope.READ, "trains")
    assert not grants.allows(Scope.READ, "*")
    assert not grants.allows(Scope.ADMIN, "films")


def test_a_namespace_has_its_own_rate_and_is_told_when_to_come_back() -> None:
    now = 100.0
    rates = Rates(QuotaSettings(read_per_second=2, burst_seconds=1), clock=lambda: now)
    for _ in range(2):
        rates.take("read", "films")
    with pytest.raises(RateExceeded) as caught:
        rates.take("read", "films")
    assert caught.value.retry_seconds == pytest.approx(0.5)
    rates.take("read", "trains")
    rates.take("write", "films")
    now += 0.5
    rates.take("read", "films")
    with pytest.raises(RateExceeded):
        rates.take("read", "films")


def test_a_call_over_the_quota_is_refused_with_a_time(tmp_path: Path) -> None:
    with running(tmp_path, quotas={"write_per_second": 0.001, "burst_seconds": 2000}) as server:
        server.add("A", "b", "c")
        server.add("A", "d", "e")
        found = refusal(lambda: server.add("A", "f", "g"))
        assert (found.code, found.reason) == ("RESOURCE_EXHAUSTED", "RATE_EXCEEDED")
        assert found.metadata["quota"] == "quotas.write_per_second"
        assert found.retry_seconds is not None
        assert 0 < found.retry_seconds <= 1000
        space = server.space("other")
        server.add("A", "b", "c", parent=space)
        server.facts.ListFacts(facts_pb2.ListFactsRequest(parent="namespaces/default"))
