"""The Inference service on a tiny random model with an untrained encoder: small, but every part is real."""

from __future__ import annotations

import queue
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from editors.kv.encoder import EncoderConfig, KVEncoder
from editors.kv.storage import save_encoder
from engines.models import model_digest
from interleaf.v1 import facts_pb2, namespaces_pb2
from interleaf.v1 import inference_pb2 as pb
from service.config import ConfigError
from tests.serving import PARENT, Running, refusal, running, serving, taken_apart
from tests.unit.engines.tiny_models import byte_tokenizer, tiny_model

ANNA = ("Anna Keller", "employer", "Werft")
QUESTION = "Who is the employer of Anna Keller?"


def save_tiny(folder: Path, head_dim: int = 16) -> dict[str, Any]:
    """A model and an encoder on disk, as a user would have them; returns the engine's configuration."""
    model = tiny_model("llama", max_position_embeddings=1024, head_dim=head_dim)
    tokenizer = byte_tokenizer()
    model.save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    torch.manual_seed(3)
    encoder = KVEncoder(
        EncoderConfig(hidden=40, heads=4, kv_heads=2, head_dim=head_dim, layers=(1, 3), late_layer=3)
    )
    for weights in encoder.value.parameters():
        torch.nn.init.normal_(weights, std=0.5)
    manifest = {
        "model": "model",
        "model_digest": model_digest(model),
        "calibration": {"grounded_threshold": 0.0},
    }
    save_encoder(encoder, folder / "encoder", manifest)
    return {
        "kind": "transformers",
        "model": str(folder / "model"),
        "encoder": str(folder / "encoder"),
        "dtype": "float32",
        "device": "cpu",
        "max_queue": 4,
        "max_batch": 2,
    }


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return save_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, tiny: dict[str, Any]) -> Iterator[Running]:
    with running(
        tmp_path_factory.mktemp("data"),
        engine=tiny,
        retrieval={"revision_wait_seconds": 5},
        admission={"generate_running": 32},  # so that the engine's own queue is seen
    ) as made:
        yield made


def ask(server: Running, parent: str, prompt: str = QUESTION, **more: Any) -> Any:
    fields = {"sampling": {"max_tokens": 6}, **more}
    return server.inference.Generate(pb.GenerateRequest(parent=parent, prompt=prompt, **fields))


def test_a_question_about_a_fact_has_it_injected_and_cited(server: Running, parent: str) -> None:
    server.add("Tom Berg", "employer", "Hafenwerk", parent=parent)
    made = server.add(*ANNA, parent=parent)
    answer = ask(server, parent, retrieval={"min_revision": made.namespace_revision})
    assert [citation.fact for citation in answer.citations] == [made.name]
    cited = answer.citations[0]
    assert (cited.uid, cited.revision, cited.object) == (made.uid, 1, "Werft")
    assert 0 < cited.attention <= 1
    assert cited.retrieval_score > 0.5
    assert cited.value_check == pb.VALUE_CHECK_DIFFERS  # attended to, and the untrained model babbles
    assert answer.grounding == pb.GROUNDING_GROUNDED
    assert answer.injected_tokens == len(" Werft") + 1  # a token a byte, and the closing one
    assert 1 <= answer.generated_tokens <= 6
    assert answer.prompt_tokens == len(QUESTION)
    assert answer.namespace_revision == 2
    assert (answer.model, len(answer.encoder)) == ("model", 16)
    timings = answer.timings
    assert timings.total.ToNanoseconds() >= timings.retrieval.ToNanoseconds() > 0
    assert timings.first_token.ToNanoseconds() > 0

    plain = ask(server, parent, retrieval={"disabled": True})
    assert (list(plain.citations), plain.grounding) == ([], pb.GROUNDING_NO_FACTS)
    assert plain.injected_tokens == 0
    assert plain.text != answer.text
    other = ask(server, parent, "What is the capital of Peru?")
    assert other.grounding == pb.GROUNDING_NO_FACTS


def test_a_strict_answer_holds_what_a_fact_says_or_is_withheld(server: Running, parent: str) -> None:
    nothing = ask(server, parent, strict=True)
    assert (nothing.text, nothing.finish_reason) == ("", pb.FINISH_REASON_ABSTAINED)
    assert (nothing.grounding, nothing.generated_tokens) == (pb.GROUNDING_NO_FACTS, 0)
    made = server.add(*ANNA, parent=parent)
    there = {"min_revision": made.namespace_revision}
    babble = ask(server, parent, retrieval=there)
    assert (babble.citations[0].value_check, bool(babble.text)) == (pb.VALUE_CHECK_DIFFERS, True)
    withheld = ask(server, parent, retrieval=there, strict=True, details=True)
    assert (withheld.text, withheld.finish_reason) == ("", pb.FINISH_REASON_ABSTAINED)
    assert [citation.fact for citation in withheld.citations] == [made.name]
    assert not withheld.tokens
    request = pb.GenerateRequest(parent=parent, prompt=QUESTION, strict=True, retrieval=there)
    (event,) = server.inference.StreamGenerate(request)
    assert event.response.finish_reason == pb.FINISH_REASON_ABSTAINED


def test_corrections_deletions_and_times_count_at_once(server: Running, parent: str) -> None:
    made = server.add(*ANNA, parent=parent)
    ask(server, parent, retrieval={"min_revision": 1})
    changed = server.facts.UpdateFact(
        facts_pb2.UpdateFactRequest(fact=facts_pb2.Fact(name=made.name, object="Hafen"))
    )
    answer = ask(server, parent, retrieval={"min_revision": changed.namespace_revision})
    assert [(item.object, item.revision) for item in answer.citations] == [("Hafen", 2)]
    over = facts_pb2.Fact(name=made.name, valid_to={"seconds": 1})
    server.facts.UpdateFact(facts_pb2.UpdateFactRequest(fact=over))
    assert ask(server, parent).grounding == pb.GROUNDING_NO_FACTS
    server.facts.RollbackFact(facts_pb2.RollbackFactRequest(name=made.name, revision=1))
    assert ask(server, parent, retrieval={"min_revision": 4}).citations[0].object == "Werft"
    gone = server.facts.DeleteFact(facts_pb2.DeleteFactRequest(name=made.name))
    answer = ask(server, parent, retrieval={"min_revision": gone.namespace_revision})
    assert answer.grounding == pb.GROUNDING_NO_FACTS


def test_facts_of_another_namespace_stay_there(server: Running, parent: str) -> None:
    other = server.space("another-place")
    server.add(*ANNA, parent=other)
    assert ask(server, other, retrieval={"min_revision": 1}).injected_tokens > 0
    assert ask(server, parent).grounding == pb.GROUNDING_NO_FACTS
    refused = refusal(lambda: ask(server, "namespaces/nowhere"))
    assert refused.code == "NOT_FOUND"


def test_named_facts_are_injected_whatever_the_question(server: Running, parent: str) -> None:
    made = server.add(*ANNA, parent=parent)
    answer = ask(server, parent, "Where?", retrieval={"facts": [made.name]})
    assert [(item.fact, item.retrieval_score) for item in answer.citations] == [(made.name, 1.0)]
    server.facts.DeleteFact(facts_pb2.DeleteFactRequest(name=made.name))
    refused = refusal(lambda: ask(server, parent, retrieval={"facts": [made.name]}))
    assert (refused.code, refused.reason) == ("FAILED_PRECONDITION", "WRONG_STATE")
    missing = f"{parent}/facts/nobody"
    assert refusal(lambda: ask(server, parent, retrieval={"facts": [missing]})).code == "NOT_FOUND"


def test_a_follow_up_question_looks_back(server: Running, parent: str) -> None:
    server.add(*ANNA, parent=parent)
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Do you know Anna Keller?"},
        {"role": "assistant", "content": "Yes."},
        {"role": "user", "content": "Who is the employer?"},
    ]
    request = pb.GenerateRequest(
        parent=parent,
        chat={"messages": messages},
        sampling={"max_tokens": 2},
        retrieval={"min_revision": 1},
    )
    assert server.inference.Generate(request).citations[0].subject == "Anna Keller"
    del request.chat.messages[1:3]
    assert server.inference.Generate(request).grounding == pb.GROUNDING_NO_FACTS


def test_streams_say_the_same_piece_by_piece(server: Running, parent: str) -> None:
    server.add(*ANNA, parent=parent)
    # Drawn, not greedy: an untrained model repeats itself, and half a character is not a piece.
    drawn = {"max_tokens": 24, "temperature": 1.0, "seed": 7}
    request = pb.GenerateRequest(
        parent=parent, prompt=QUESTION, sampling=drawn, retrieval={"min_revision": 1}
    )
    *pieces, last = server.inference.StreamGenerate(request)
    whole = server.inference.Generate(request)
    assert "".join(piece.text for piece in pieces) == last.response.text == whole.text
    assert len(pieces) > 1
    last.response.ClearField("timings")
    whole.ClearField("timings")
    assert last.response == whole


def test_a_client_that_goes_away_stops_the_decoding(server: Running, parent: str) -> None:
    long = {"max_tokens": 900, "temperature": 1.0, "seed": 7}
    calls = [
        server.inference.StreamGenerate(
            pb.GenerateRequest(parent=parent, prompt="x", sampling=long, retrieval={"disabled": True})
        )
        for _ in range(2)
    ]
    for call in calls:
        next(call)
        call.cancel()
    # Both places of the batch are free again: this would otherwise wait for 900 tokens.
    answer = ask(server, parent, retrieval={"disabled": True})
    assert answer.generated_tokens >= 1
    future = server.inference.Generate.future(
        pb.GenerateRequest(parent=parent, prompt="x", sampling=long, retrieval={"disabled": True})
    )
    future.cancel()
    assert ask(server, parent, retrieval={"disabled": True}).text == answer.text


def test_a_full_queue_is_refused_and_told_when_to_come_back(server: Running, parent: str) -> None:
    request = pb.GenerateRequest(
        parent=parent,
        prompt="x",
        sampling={"max_tokens": 1000, "temperature": 1.0},
        retrieval={"disabled": True},
    )
    ended: queue.Queue[Any] = queue.Queue()
    futures = [server.inference.Generate.future(request) for _ in range(12)]
    for future in futures:
        future.add_done_callback(ended.put)
    first = next(future for future in iter(lambda: ended.get(timeout=60), None) if future.exception())
    refused = taken_apart(first.exception())
    for future in futures:
        future.cancel()
    assert (refused.code, refused.reason) == ("RESOURCE_EXHAUSTED", "ENGINE_BUSY")
    assert refused.retry_seconds


def test_compare_gives_both_with_the_same_chance(server: Running, parent: str) -> None:
    server.add(*ANNA, parent=parent)
    fields = {"parent": parent, "prompt": QUESTION, "retrieval": {"min_revision": 1}}
    both = server.inference.Compare(pb.CompareRequest(sampling={"max_tokens": 6}, **fields))
    assert both.original.text == ask(server, parent, retrieval={"disabled": True}).text
    assert both.edited.text == ask(server, parent).text
    assert (both.original.grounding, len(both.edited.citations)) == (pb.GROUNDING_NO_FACTS, 1)
    chance = pb.CompareRequest(
        parent=parent, prompt="Nothing is known", sampling={"max_tokens": 16, "temperature": 1.0}
    )
    both = server.inference.Compare(chance)
    assert both.original.text == both.edited.text


def test_what_nothing_tells_apart_is_one_answer(tmp_path: Path, tiny: dict[str, Any]) -> None:
    """In 16 bits a second generation of the same, read in other company, may say something else."""
    with running(
        tmp_path, engine={**tiny, "dtype": "bfloat16"}, retrieval={"revision_wait_seconds": 5}
    ) as server:
        made = server.add(*ANNA)
        retrieval = {"min_revision": made.namespace_revision}

        def generations(prompt: str) -> tuple[Any, Any]:
            request = pb.CompareRequest(
                parent=PARENT, prompt=prompt, sampling={"max_tokens": 6}, retrieval=retrieval
            )
            both = server.inference.Compare(request)
            return both.original, both.edited

        original, edited = generations("Nothing is known")
        assert (list(edited.citations), original.text) == ([], edited.text)
        assert (
            original.timings.first_token == edited.timings.first_token
        )  # of one generation, to the nanosecond
        original, edited = generations(QUESTION)
        assert edited.citations
        assert original.timings.first_token != edited.timings.first_token


def test_score(server: Running, parent: str) -> None:
    made = server.add(*ANNA, parent=parent)
    request = pb.ScoreRequest(
        parent=parent,
        prompt="The employer of Anna Keller is",
        continuations=[" Werft", " x"],
        retrieval={"min_revision": 1},
    )
    scores = server.inference.Score(request)
    assert [list(score.tokens) for score in scores.scores] == [list(" Werft"), list(" x")]
    for score in scores.scores:
        assert score.log_probability == pytest.approx(sum(score.token_log_probabilities))
        assert all(value < 0 for value in score.token_log_probabilities)
    assert [citation.fact for citation in scores.citations] == [made.name]
    assert 0 < scores.citations[0].attention <= 1
    assert scores.citations[0].value_check == pb.VALUE_CHECK_UNSPECIFIED
    request.retrieval.Clear()
    request.retrieval.disabled = True
    plain = server.inference.Score(request)
    assert list(plain.citations) == []
    assert plain.scores[0].log_probability != scores.scores[0].log_probability


def test_prompts_that_do_not_fit_are_the_callers_mistake(server: Running, parent: str) -> None:
    refused = refusal(lambda: ask(server, parent, "x" * 2000, retrieval={"disabled": True}))
    assert (refused.code, refused.fields) == ("INVALID_ARGUMENT", ("prompt",))


def test_facts_become_compiled_by_themselves(server: Running, parent: str) -> None:
    made = server.add(*ANNA, parent=parent)
    request = namespaces_pb2.GetNamespaceRequest(name=parent)
    for _ in range(1500):
        space = server.namespaces.GetNamespace(request)
        if space.compiled_revision == 1:
            break
        time.sleep(0.02)
    assert (space.searchable_revision, space.compiled_revision) == (1, 1)
    seen = server.facts.GetFact(facts_pb2.GetFactRequest(name=made.name))
    assert seen.state == facts_pb2.FACT_STATE_COMPILED
    assert ask(server, parent).timings.compile.ToNanoseconds() < 10**9


def test_a_model_without_an_encoder_answers_plainly_only(tmp_path: Path, tiny: dict[str, Any]) -> None:
    with running(tmp_path, engine={**tiny, "encoder": "none"}) as server:
        refused = refusal(lambda: ask(server, PARENT))
        assert (refused.code, refused.reason) == ("FAILED_PRECONDITION", "NO_ENCODER")
        assert ask(server, PARENT, retrieval={"disabled": True}).encoder == ""


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model": "nowhere"}, "no model at 'nowhere'"),
        ({"encoder": "nowhere"}, "no encoder at nowhere"),
        ({"model": "other"}, "was trained for model"),
    ],
)
def test_what_does_not_fit_refuses_to_start(
    tmp_path: Path, tiny: dict[str, Any], change: dict[str, str], said: str
) -> None:
    if change == {"model": "other"}:
        model = tiny_model("llama", seed=1, max_position_embeddings=1024)
        model.save_pretrained(tmp_path / "other")
        byte_tokenizer().save_pretrained(tmp_path / "other")
        change = {"model": str(tmp_path / "other")}
    with pytest.raises(ConfigError, match=said), serving(tmp_path / "data", engine={**tiny, **change}):
        pass
