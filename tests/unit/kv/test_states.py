"""What a model's own states say about which relation is asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from editors.kv import states
from editors.kv.encoder import KVEncoder
from editors.kv.gates import GatedEncoder, pruned
from editors.kv.phrases import PhraseBank, load
from editors.kv.state_matching import StateMatchSettings, match_states
from editors.kv.states import StateMaps, asking, bind_to_model, naming, read_states, state_layers
from editors.kv.storage import load_weights, save_encoder
from engines.embedder import SentenceEmbedder
from engines.models import default_model_path, load_model
from kb_store.scoring import Question
from service.serving.judging import JudgeVectors

TEXTS = ["it works for", "Which colour does it like best of all?", "green"]


def random_maps(model: Any, width: int = 6) -> StateMaps:
    maps = StateMaps(model.config.hidden_size, state_layers(model), width)
    generator = torch.Generator().manual_seed(5)
    for tensor in maps.buffers():
        tensor.copy_(torch.randn(tensor.shape, generator=generator))
    return maps


def test_a_text_is_made_to_end_where_the_answer_would_begin() -> None:
    assert asking("it works for") == "it works for"
    assert asking("Where does it live?") == "Q: Where does it live?\nA: It is"
    assert naming("mother tongue") == "The mother tongue of it is"


def test_states_are_those_of_the_model_and_do_not_depend_on_company(model: Any, tokenizer: Any) -> None:
    layers = state_layers(model)
    together = read_states(model, tokenizer, TEXTS, layers)
    assert together.shape == (3, (len(layers) + 1) * model.config.hidden_size)
    for place, text in enumerate(TEXTS):
        ids = torch.tensor([tokenizer(text).input_ids])
        hidden = model(input_ids=ids, output_hidden_states=True).hidden_states
        parts = [hidden[layer][0, -1] for layer in layers]
        parts.append(hidden[layers[min(1, len(layers) - 1)]][0].mean(0))
        wanted = torch.cat([F.layer_norm(part, part.shape) for part in parts])
        assert torch.allclose(together[place], wanted, atol=1e-4)


def test_a_text_that_several_ask_for_is_read_once_in_a_lot_of_its_length(
    model: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [f"The {word} of it is" for word in ("colour", "captain", "colour", "flag")] * 8
    texts += ["Which of the many colours that it could have had does it like best of all?"] * 2
    layers, read = state_layers(model), []

    def forward(model: Any, padding: int, ids: Any, layers: Any) -> Tensor:
        read.append(len(ids))
        return features(model, padding, ids, layers)

    features = states._features
    alone = torch.cat([read_states(model, tokenizer, [text], layers) for text in texts])
    monkeypatch.setattr(states, "_features", forward)
    together = read_states(model, tokenizer, texts, layers)
    assert torch.allclose(together, alone, atol=1e-4)
    assert sum(read) == 4


def test_of_a_long_text_the_end_is_read(model: Any, tokenizer: Any) -> None:
    long = "green " * 400 + "it works for"
    (row,) = read_states(model, tokenizer, [long], state_layers(model))
    (other,) = read_states(model, tokenizer, ["red " * 100 + long], state_layers(model))
    assert torch.equal(row, other)


def test_the_model_is_run_no_further_than_it_is_read(
    model: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    layers = state_layers(model)

    def never(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("this layer need not run")

    monkeypatch.setattr(model.model.layers[layers[-1]], "forward", never)
    assert len(read_states(model, tokenizer, TEXTS, layers)) == len(TEXTS)


def test_who_is_bound_to_no_model_does_not_judge() -> None:
    with pytest.raises(RuntimeError, match="not bound"):
        StateMaps(8, (1,), 4).texts(["it works for"])


def test_texts_and_names_have_maps_of_their_own(model: Any, tokenizer: Any) -> None:
    maps = random_maps(model)
    bind_to_model(maps, model, tokenizer)
    texts, names = maps.texts(["it works for"]), maps.names(["employer"])
    assert torch.allclose(texts.norm(dim=-1), torch.ones(1))
    assert torch.allclose(names.norm(dim=-1), torch.ones(1))
    assert not torch.allclose(maps.names(["works for"]), maps.texts(["works for"]), atol=1e-3)
    vectors = JudgeVectors(SentenceEmbedder.load(), {}, maps)
    alone, both = vectors.relations([("worksFor", ()), ("worksFor", ("it works for", "who pays it?"))])
    assert torch.allclose(alone, vectors.names(["worksFor"])[0], atol=1e-5)
    middle = vectors.texts(["it works for", "who pays it?"]).mean(0)
    assert torch.allclose(both, F.normalize(alone + middle, dim=-1), atol=1e-5)
    assert torch.allclose(
        vectors.names(["worksFor"])[0, -6:], maps.names(["works For"])[0] / 2**0.5, atol=1e-6
    )


def test_an_encoder_keeps_its_maps_and_so_do_its_gated_and_pruned_copies(
    model: Any, tokenizer: Any, encoder: KVEncoder, tmp_path: Path
) -> None:
    maps = random_maps(model)
    whole = KVEncoder(replace(encoder.config, state_layers=maps.layers, state_width=6))
    assert whole.meaning.states is not None
    whole.meaning.states.load_state_dict(maps.state_dict())
    assert not set(whole.meaning.states.parameters())  # training leaves them alone
    save_encoder(whole, tmp_path, {"model": "tiny", "model_digest": "d"})
    loaded, _ = load_weights(tmp_path)
    bind_to_model(loaded.meaning.states, model, tokenizer)
    bind_to_model(maps, model, tokenizer)

    def said(judge: KVEncoder) -> Tensor:
        assert judge.meaning.states is not None
        return judge.meaning.states.texts(TEXTS)

    assert torch.allclose(said(loaded), maps.texts(TEXTS), atol=1e-2)
    gated = GatedEncoder(loaded)
    assert torch.equal(said(gated), said(loaded))
    assert torch.equal(said(pruned(gated)), said(loaded))


@pytest.fixture(scope="module")
def bank() -> PhraseBank:
    whole = load()
    chosen = [r for r in whole.relations_of("train") if r.subject_kind == "person"][:40]
    return replace(whole, relations=tuple(chosen))


@pytest.mark.model
def test_maps_are_taught_to_find_the_relation_that_is_asked_for(bank: PhraseBank) -> None:
    model, tokenizer = load_model(default_model_path(), dtype=torch.float32)
    shares: list[float] = []
    settings = StateMatchSettings(steps=200, phrasings=6, width=64, batch=40)

    def about(text: str, subject: str) -> tuple[str, ...]:
        return Question(text).about(subject)

    maps = match_states(model, tokenizer, bank, about, settings, shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1.0)
    again = match_states(model, tokenizer, bank, about, settings)
    assert all(torch.equal(a, b) for a, b in zip(maps.buffers(), again.buffers(), strict=True))
    bind_to_model(maps, model, tokenizer)
    texts = [
        about(phrasing.filled("Anna Keller", relation.name, "")[1], "Anna Keller")[-1]
        for relation in bank.relations
        for phrasing in relation.train_phrasings[:6]
        if not phrasing.chat
    ]
    right = torch.tensor(
        [
            place
            for place, relation in enumerate(bank.relations)
            for phrasing in relation.train_phrasings[:6]
            if not phrasing.chat
        ]
    )
    cosines = maps.texts(texts) @ maps.names([relation.name for relation in bank.relations]).T
    assert (cosines.argmax(-1) == right).float().mean() > 0.5
