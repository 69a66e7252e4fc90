"""Features, tokens and storage of the encoder, on a tiny random model."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from editors.kv.closer import Closer, closer_tensors
from editors.kv.contract import FactText
from editors.kv.encoder import EncoderConfig, KVEncoder
from editors.kv.features import read_features
from editors.kv.storage import load_weights, save_encoder
from editors.kv.trained import EncoderMismatch, compile_facts, load_encoder
from engines.architectures import spec_for
from tests.unit.engines.tiny_models import tiny_model

ANNA = FactText("a@1", "Anna Keller", "employer", "Norwind Shipping")
TOM = FactText("t@1", "Tom Berg", "colour", "green")


def test_every_object_token_and_a_closing_one(model: Any, tokenizer: Any) -> None:
    features = read_features(model, tokenizer, [ANNA, TOM], (1, 3), 3)
    said = [tokenizer.convert_ids_to_tokens(i) if i >= 0 else "end" for i in features.token_ids.tolist()]
    assert said == ["Norwind", "Shipping", "end", "green", "end"]
    assert features.owner.tolist() == [0, 0, 0, 1, 1]
    assert features.closing.tolist() == [False, False, True, False, True]


def test_features_do_not_depend_on_who_shares_the_batch(model: Any, tokenizer: Any) -> None:
    alone = read_features(model, tokenizer, [TOM], (1, 3), 3)
    together = read_features(model, tokenizer, [ANNA, TOM], (1, 3), 3)
    own = together.owner == 1
    assert torch.allclose(alone.context, together.context[:, own], atol=1e-5)
    assert torch.allclose(alone.late, together.late[own], atol=1e-5)


def test_the_key_of_a_token_knows_what_precedes_it_and_not_the_token_itself(
    model: Any, tokenizer: Any
) -> None:
    other = FactText("a@2", "Anna Keller", "employer", "green Shipping")
    first, second = (read_features(model, tokenizer, [fact], (1, 3), 3) for fact in (ANNA, other))
    assert torch.allclose(first.context[:, 0], second.context[:, 0], atol=1e-6)
    assert not torch.allclose(first.context[:, 1], second.context[:, 1], atol=1e-3)
    assert not torch.allclose(first.embedding[0], second.embedding[0])


def test_a_fact_that_no_context_holds_harms_no_other(tokenizer: Any) -> None:
    model = tiny_model("gpt2", vocab_size=len(tokenizer), max_position_embeddings=32)
    spec = spec_for(model)
    encoder = KVEncoder(
        EncoderConfig(spec.hidden, spec.heads, spec.kv_heads, spec.head_dim, (1, 3), 3)
    ).eval()
    long = FactText("l@1", "Anna Keller " * 30, "employer", "Norwind Shipping " * 30)
    alone, together = (compile_facts(encoder, model, tokenizer, facts) for facts in ([TOM], [long, TOM]))
    assert together[1].said == alone[0].said
    assert torch.allclose(together[1].keys.float(), alone[0].keys.float(), atol=1e-2)
    named_and_verb = 16 + 1
    assert len(together[0].said) == 32 - named_and_verb


def test_compiled_tokens_keep_the_order_of_the_facts(model: Any, tokenizer: Any, encoder: KVEncoder) -> None:
    compiled = compile_facts(encoder, model, tokenizer, [ANNA, TOM])
    assert [item.key for item in compiled] == ["a@1", "t@1"]
    assert [item.count for item in compiled] == [3, 2]
    (alone,) = compile_facts(encoder, model, tokenizer, [TOM])
    assert torch.allclose(alone.keys.float(), compiled[1].keys.float(), atol=1e-2)


def test_an_encoder_survives_the_disk(encoder: KVEncoder, tmp_path: Path) -> None:
    digest = save_encoder(encoder, tmp_path, {"model": "tiny", "model_digest": "d"})
    loaded, manifest = load_weights(tmp_path)
    assert (loaded.digest, manifest["digest"]) == (digest, digest)
    for name, value in encoder.state_dict().items():
        assert torch.allclose(loaded.state_dict()[name], value, atol=1e-3)


def test_what_an_encoder_recalls_survives_the_disk(encoder: KVEncoder, tmp_path: Path) -> None:
    shape = replace(
        encoder.config,
        background_relations=4,
        embedder_width=6,
        state_layers=(1,),
        state_width=2,
        recalled_relations=3,
    )
    knowing = KVEncoder(shape)
    assert knowing.meaning.asked is not None
    knowing.meaning.asked.copy_(torch.eye(3, 4))
    save_encoder(knowing, tmp_path, {"model": "tiny", "model_digest": "d"})
    loaded, _ = load_weights(tmp_path)
    assert loaded.meaning.asked is not None
    assert torch.equal(loaded.meaning.asked, torch.eye(3, 4))


def test_what_looks_closer_survives_the_disk_and_is_part_of_the_digest(
    encoder: KVEncoder, tmp_path: Path
) -> None:
    about = {"model": "tiny", "model_digest": "d"}
    looking = deepcopy(encoder)
    looking.meaning.closer = closer_tensors(Closer(6), {"encoder.layer.0.up": torch.ones(2, 3)})
    digest = save_encoder(looking, tmp_path, about)
    assert digest != save_encoder(encoder, tmp_path / "without", about)
    loaded, _ = load_weights(tmp_path)
    assert loaded.meaning.closer.keys() == looking.meaning.closer.keys()
    assert torch.equal(loaded.meaning.closer["reader.encoder.layer.0.up"], torch.ones(2, 3).half())
    (tmp_path / "closer.safetensors").unlink()
    with pytest.raises(ValueError, match="do not match"):
        load_weights(tmp_path)
    save_encoder(looking, tmp_path, about)
    save_encoder(encoder, tmp_path, about)  # nothing of the one before is left
    assert not load_weights(tmp_path)[0].meaning.closer


def test_an_encoder_that_knows_no_states_is_read(encoder: KVEncoder, tmp_path: Path) -> None:
    """Those that were made before there were maps of states, and before anything was recalled."""
    save_encoder(encoder, tmp_path, {"model": "tiny", "model_digest": "d"})
    path = tmp_path / "manifest.json"
    manifest = json.loads(path.read_text())
    for key in ("state_layers", "state_width", "recalled_relations"):
        del manifest["shape"][key]
    path.write_text(json.dumps(manifest))
    loaded, _ = load_weights(tmp_path)
    assert loaded.meaning.states is None
    assert loaded.meaning.asked is None


def test_changed_weights_are_refused(encoder: KVEncoder, tmp_path: Path) -> None:
    save_encoder(encoder, tmp_path, {"model": "tiny", "model_digest": "d"})
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    manifest["digest"] = "0" * 16
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match="do not match"):
        load_weights(tmp_path)


def test_an_encoder_of_another_model_is_refused(encoder: KVEncoder, tmp_path: Path) -> None:
    save_encoder(encoder, tmp_path, {"model": "tiny", "model_digest": "d"})
    loaded = load_encoder(str(tmp_path), "tiny")
    loaded.check("d")
    with pytest.raises(EncoderMismatch, match="interleaf encoder train"):
        loaded.check("another")


def test_a_missing_encoder_says_for_which_models_there_is_one(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="shipped for"):
        load_encoder("default", "no-such-model")
