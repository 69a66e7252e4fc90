"""The Edits service: computed aside, applied between answers, seen side by side, restored, taken back to the byte."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.longrunning import operations_pb2
from typer.testing import CliRunner

from editors.weights.session import user_specs
from editors.weights.specs import Chosen, write_chosen
from engines.models import load_model, model_digest
from interleaf.v1 import edits_pb2 as pb
from interleaf.v1 import inference_pb2, namespaces_pb2
from service.cli.edits import app
from tests.serving import PARENT, Running, refusal, running
from tests.tiny import tiny_folder

# Every edit is computed by a process of its own, which a busy machine is slow to start.
pytestmark = pytest.mark.timeout(1200)
PATIENCE = 600.0
FACT = pb.EditFact(
    prompt="the name of Tom Berg",
    subject="Tom Berg",
    target="Oslo",
    old="Rome",
    relation="name",
    paraphrases=["people call Tom Berg"],
    neighbours=["the name of Ida Lund"],
)
QUICK = json.dumps({"layer": 1, "steps": 40, "rate": 0.02})
WORK: dict[str, Any] = {"work": True, "key_tokens": 1000}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_folder(tmp_path_factory.mktemp("models") / "tiny"))


@pytest.fixture(scope="module")
def sections(model: str) -> dict[str, Any]:
    return {"engine": {"kind": "transformers", "model": model, "encoder": "none"}, "edits": WORK}


@pytest.fixture(scope="module")
def editing(tmp_path_factory: pytest.TempPathFactory, sections: dict[str, Any]) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("editing"), **sections) as made:
        yield made


@pytest.fixture(scope="module")
def first(editing: Running) -> Any:
    """An edit that is there, not applied."""
    return made(editing, "first")


def create(**more: Any) -> Any:
    chosen = {"parent": PARENT, "method": "ft_m", "facts": [FACT], "settings": QUICK, **more}
    return pb.CreateEditRequest(**chosen)


def ended(server: Running, operation: Any) -> Any:
    return server.operations.WaitOperation(
        operations_pb2.WaitOperationRequest(name=operation.name, timeout={"seconds": int(PATIENCE)}),
        timeout=PATIENCE,
    )


def made(server: Running, edit_id: str, **more: Any) -> Any:
    done = ended(server, server.edits.CreateEdit(create(edit_id=edit_id, **more)))
    assert done.error.message == ""
    edit = pb.Edit()
    done.response.Unpack(edit)
    return edit


def score(server: Running, *, original: bool = False) -> float:
    """The target's log-probability."""
    request = inference_pb2.ScoreRequest(
        parent=PARENT,
        prompt=FACT.prompt,
        continuations=[" Oslo"],
        retrieval={"disabled": True},
        original_weights=original,
    )
    return float(server.inference.Score(request).scores[0].log_probability)


def text(server: Running, **more: Any) -> str:
    request = inference_pb2.GenerateRequest(
        parent=PARENT, prompt=FACT.prompt, sampling={"max_tokens": 6}, retrieval={"disabled": True}, **more
    )
    return str(server.inference.Generate(request).text)


def test_an_edit_from_its_making_to_its_end(tmp_path: Path, sections: dict[str, Any]) -> None:
    with running(tmp_path, **sections) as server:
        plain, said = score(server), text(server)
        edit = made(server, "oslo")
        assert (edit.name, edit.state, edit.namespace) == ("edits/oslo", pb.EDIT_STATE_COMPUTED, PARENT)
        assert edit.tensors[0].before != edit.tensors[0].after
        assert score(server) == plain  # computing changes nothing

        receipt = server.edits.GetEditReceipt(pb.GetEditReceiptRequest(name="edits/oslo"))
        kinds = [line.kind for line in receipt.lines]
        assert set(kinds) == {"edited", "paraphrase", "neighbour", "absent", "shuffled"}
        first = receipt.lines[0]
        assert (first.kind, first.object, first.is_new) == ("edited", "Oslo", True)
        assert first.before.log_probability == pytest.approx(plain, abs=1e-3)
        assert first.after.probability > first.before.probability

        applied = server.edits.ApplyEdit(pb.ApplyEditRequest(name="edits/oslo"))
        assert applied.state == pb.EDIT_STATE_APPLIED
        assert applied.live[0].after.log_probability == pytest.approx(score(server), abs=1e-3)
        assert score(server) == pytest.approx(first.after.log_probability, abs=1e-3)
        assert score(server) > plain + 1
        again = server.edits.ApplyEdit(pb.ApplyEditRequest(name="edits/oslo"))
        assert again.apply_time == applied.apply_time
        # Original and edited model, side by side.
        assert score(server, original=True) == pytest.approx(plain, abs=1e-5)
        assert text(server, original_weights=True) == said
        both = server.inference.Compare(
            inference_pb2.CompareRequest(
                parent=PARENT,
                prompt=FACT.prompt,
                sampling={"max_tokens": 6},
                retrieval={"disabled": True},
            )
        )
        assert (both.original.text, both.edited.text) == (said, text(server))
        assert both.original.text != both.edited.text
        in_use = refusal(lambda: server.edits.DeleteEdit(pb.DeleteEditRequest(name="edits/oslo")))
        assert (in_use.code, in_use.reason) == ("FAILED_PRECONDITION", "DELTA_IN_USE")
        edited = score(server)

    with running(tmp_path, **sections) as server:  # after a restart
        assert score(server) == edited
        assert server.edits.GetEdit(pb.GetEditRequest(name="edits/oslo")).state == pb.EDIT_STATE_APPLIED
        reverted = server.edits.RevertEdit(pb.RevertEditRequest(name="edits/oslo"))
        assert reverted.state == pb.EDIT_STATE_COMPUTED
        assert not reverted.HasField("apply_time")
        assert (score(server), text(server)) == (plain, said)
        server.edits.ApplyEdit(pb.ApplyEditRequest(name="edits/oslo"))

    allowing = {**sections, "edits": {**WORK, "all_namespaces": True}}
    for settings, why in ((sections, "does not allow it"), (allowing, "say so with all_namespaces")):
        with running(tmp_path, **settings) as server:
            server.edits.RevertEdit(pb.RevertEditRequest(name="edits/oslo"))
            if settings is sections:
                server.space("other")
            alone = refusal(lambda s=server: s.edits.ApplyEdit(pb.ApplyEditRequest(name="edits/oslo")))
            assert (alone.code, alone.reason) == ("FAILED_PRECONDITION", "EDIT_AFFECTS_OTHERS")
            assert why in alone.message
            knowing = pb.ApplyEditRequest(name="edits/oslo", all_namespaces=True)
            if settings is allowing:
                assert server.edits.ApplyEdit(knowing).state == pb.EDIT_STATE_APPLIED
            else:
                assert refusal(lambda s=server, r=knowing: s.edits.ApplyEdit(r)).reason == alone.reason

    file = tmp_path / "edits" / "oslo" / "delta.safetensors"
    file.write_bytes(file.read_bytes()[:-8] + b"\xff" * 8)
    with running(tmp_path, **sections) as server:  # the delta was damaged meanwhile
        found = server.edits.GetEdit(pb.GetEditRequest(name="edits/oslo"))
        assert found.state == pb.EDIT_STATE_NOT_RESTORED
        assert "digest" in found.problem
        assert score(server) == plain
        server.namespaces.DeleteNamespace(namespaces_pb2.DeleteNamespaceRequest(name="namespaces/other"))
        damaged = refusal(lambda: server.edits.ApplyEdit(pb.ApplyEditRequest(name="edits/oslo")))
        assert (damaged.code, damaged.reason) == ("FAILED_PRECONDITION", "DELTA_DAMAGED")
        server.edits.RevertEdit(pb.RevertEditRequest(name="edits/oslo"))
        server.edits.DeleteEdit(pb.DeleteEditRequest(name="edits/oslo"))
        assert list(server.edits.ListEdits(pb.ListEditsRequest()).edits) == []
    assert json.loads((tmp_path / "edits" / "applied.json").read_text()) == []


def test_key_statistics_are_kept_with_the_data(
    tmp_path: Path, sections: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in the image, where the cache of models is another user's and read-only."""
    cache = tmp_path / "cache"
    cache.write_text("nothing can be written below a file, not by root either")
    monkeypatch.setenv("INTERLEAF_CACHE", str(cache))
    few = json.dumps({"layer": 1, "steps": 3, "prefixes": [[2, 1]]})
    with running(tmp_path / "data", **sections) as server:
        made(server, "by-rome", method="rome", settings=few)
    kept = [path.name for path in (tmp_path / "data" / "key-statistics").iterdir()]
    assert [(name[:7], name[-12:]) for name in kept] == [("keys-1-", ".safetensors")]


def test_edits_stack_and_say_what_they_rest_on(editing: Running, first: Any) -> None:
    plain = score(editing)
    other = pb.EditFact(prompt=FACT.prompt, subject=FACT.subject, target="Bergen")
    made(editing, "beside", facts=[other])
    editing.edits.ApplyEdit(pb.ApplyEditRequest(name="edits/first"))
    made(editing, "second")  # computed on top of the first
    apart = refusal(lambda: editing.edits.ApplyEdit(pb.ApplyEditRequest(name="edits/beside")))
    assert (apart.code, apart.reason) == ("FAILED_PRECONDITION", "DELTA_MISMATCH")
    editing.edits.ApplyEdit(pb.ApplyEditRequest(name="edits/second"))
    held = refusal(lambda: editing.edits.RevertEdit(pb.RevertEditRequest(name="edits/first")))
    assert held.reason == "DELTA_IN_USE"
    page = editing.edits.ListEdits(pb.ListEditsRequest(page_size=2))
    rest = editing.edits.ListEdits(pb.ListEditsRequest(page_token=page.next_page_token))
    states = {item.name: item.state for item in [*page.edits, *rest.edits]}
    assert states == {
        "edits/beside": pb.EDIT_STATE_COMPUTED,
        "edits/first": pb.EDIT_STATE_APPLIED,
        "edits/second": pb.EDIT_STATE_APPLIED,
    }
    editing.edits.RevertEdit(pb.RevertEditRequest(name="edits/second"))
    editing.edits.ApplyEdit(pb.ApplyEditRequest(name="edits/beside", combine=True))
    editing.edits.RevertEdit(pb.RevertEditRequest(name="edits/first"))
    editing.edits.RevertEdit(pb.RevertEditRequest(name="edits/beside"))
    assert score(editing) == plain


def test_the_command_shows_applies_and_takes_back(editing: Running, first: Any, tmp_path: Path) -> None:
    def run(*words: str) -> str:
        result = CliRunner().invoke(app, [*words, "--server", editing.address])
        assert result.exit_code == 0, result.output
        return result.stdout

    listed = [json.loads(line) for line in run("edits", "list", "--json").splitlines()]
    assert first.name in [edit["name"] for edit in listed]
    assert "first" in run("edits", "list")
    receipt = run("edits", "receipt", "first")
    assert "absent" in receipt
    assert "the name of Tom Berg" in receipt
    assert json.loads(run("edits", "apply", "first", "--json"))["state"] == "EDIT_STATE_APPLIED"
    shown = run("edits", "show", "first")
    assert "applied" in shown
    assert "on the engine" in shown
    assert json.loads(run("edits", "revert", "first", "--json"))["state"] == "EDIT_STATE_COMPUTED"
    missing = CliRunner().invoke(app, ["edits", "show", "nothing", "--server", editing.address])
    assert missing.exit_code != 0
    facts = tmp_path / "facts.jsonl"
    facts.write_text('{"prompt": "x", "colour": 1}')
    words = ["edits", "create", "--facts", str(facts), "--server", editing.address]
    assert CliRunner().invoke(app, words).exit_code != 0


@pytest.mark.slow
def test_methods_are_compared_by_those_that_can_take_part(
    editing: Running, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        "INTERLEAF_CACHE", str(tmp_path)
    )  # the work's process looks for measured settings there
    digest = model_digest(load_model(Path(model))[0])
    write_chosen(user_specs() / "tiny.json", "tiny", digest, "ft_m", Chosen(json.loads(QUICK)))
    request = pb.CompareEditsRequest(
        parent=PARENT, facts=[FACT], methods=["ft_m", "rrome", "kv"], circuits=True
    )
    done = ended(editing, editing.edits.CompareEdits(request))
    assert done.error.message == ""
    found = pb.EditComparison()
    done.response.Unpack(found)
    original, tuned = found.methods
    assert (original.method, tuned.method) == ("original", "ft_m")
    assert tuned.figures["es"] == 1.0
    assert 0 < tuned.figures["circuit_nodes_kept"] <= 1
    assert set(found.left_out) == {"rrome", "kv"}
    assert "no encoder" in found.left_out["kv"]
    assert found.svg.startswith("<svg")
    assert "FT-M" in found.svg


def test_a_cancelled_edit_leaves_nothing(editing: Running) -> None:
    endless = json.dumps({"layer": 1, "steps": 10_000_000, "stop": -1.0})
    operation = editing.edits.CreateEdit(create(edit_id="endless", settings=endless))
    busy = refusal(lambda: editing.edits.CreateEdit(create(edit_id="more")))
    assert (busy.code, busy.reason) == ("RESOURCE_EXHAUSTED", "TOO_BUSY")
    taken = refusal(lambda: editing.edits.CreateEdit(create(edit_id="endless")))
    assert taken.code == "ALREADY_EXISTS"
    editing.operations.CancelOperation(operations_pb2.CancelOperationRequest(name=operation.name))
    assert ended(editing, operation).error.code == grpc.StatusCode.CANCELLED.value[0]
    missing = refusal(lambda: editing.edits.GetEdit(pb.GetEditRequest(name="edits/endless")))
    assert missing.code == "NOT_FOUND"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"method": "kv"}, "method"),
        ({"method": "brain"}, "method"),
        ({"parent": "default"}, "parent"),
        ({"edit_id": "Not An Id"}, "edit_id"),
        ({"facts": []}, "facts"),
        ({"facts": [pb.EditFact(prompt="x", subject="y", target="z")]}, "facts[0].subject"),
        ({"facts": [pb.EditFact(prompt="x ", subject="x", target="z")]}, "facts[0].prompt"),
        ({"facts": [pb.EditFact(prompt="x", subject="x", target="")]}, "facts[0].target"),
        ({"settings": "{"}, "settings"),
        ({"settings": '{"layer": NaN}'}, "settings"),
        ({"settings": '{"layer": 1, "speed": 2}'}, "settings.speed"),
        ({"settings": '{"layer": %s}' % ("1" * 5000)}, "settings"),
        ({"settings": '{"layer": "x"}'}, "settings.layer"),
        ({"settings": '{"layer": 1, "facts_at_once": 0}'}, "settings.facts_at_once"),
        ({"settings": '{"layer": 99}'}, "layer"),
        ({"request_id": "x"}, "request_id"),
    ],
)
def test_bad_requests_name_the_field(editing: Running, changes: dict[str, Any], field: str) -> None:
    refused = refusal(lambda: editing.edits.CreateEdit(create(**changes)))
    assert (refused.code, refused.fields) == ("INVALID_ARGUMENT", (field,))


def test_what_is_refused_at_once(editing: Running) -> None:
    unmeasured = refusal(lambda: editing.edits.CreateEdit(create(settings="")))
    assert (unmeasured.code, unmeasured.reason) == ("FAILED_PRECONDITION", "UNMEASURED")
    dry = editing.edits.CreateEdit(create(edit_id="dry", validate_only=True))
    assert (dry.name, dry.done) == ("", True)


def test_without_work_edits_are_only_listed(server: Running) -> None:
    calls = {
        "CreateEdit": create(),
        "ApplyEdit": pb.ApplyEditRequest(name="edits/x"),
        "RevertEdit": pb.RevertEditRequest(name="edits/x"),
        "DeleteEdit": pb.DeleteEditRequest(name="edits/x"),
        "CompareEdits": pb.CompareEditsRequest(parent=PARENT, facts=[FACT]),
    }
    for method, request in calls.items():
        refused = refusal(lambda m=method, r=request: getattr(server.edits, m)(r))
        assert (refused.code, refused.reason) == ("FAILED_PRECONDITION", "EDIT_WORK_OFF"), method
    assert list(server.edits.ListEdits(pb.ListEditsRequest()).edits) == []


def test_a_server_without_a_model_has_nothing_to_edit(tmp_path: Path) -> None:
    with running(tmp_path, edits=WORK) as server:
        refused = refusal(lambda: server.edits.CreateEdit(create()))
        assert (refused.code, refused.reason) == ("FAILED_PRECONDITION", "ENGINE_NOT_EDITABLE")
