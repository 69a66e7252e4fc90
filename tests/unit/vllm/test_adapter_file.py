"""The adapter on its way into vLLM's processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from editors.kv.encoder import EncoderConfig, KVEncoder
from engines.errors import UnsupportedModel
from engines.vllm.adapter_file import QueryMaps, read_words, write
from engines.words import Words
from tests.unit.engines.tiny_models import RandomAdapter

_CONFIG = EncoderConfig(hidden=24, heads=4, kv_heads=2, head_dim=8, layers=(1, 3), late_layer=3)
_WORDS = Words(torch.tensor([[True, False], [False, True], [False, False]]))


def test_an_encoder_asks_the_same_from_its_file(tmp_path: Path) -> None:
    torch.manual_seed(0)
    encoder = KVEncoder(_CONFIG)
    encoder.digest = "abc"
    torch.nn.init.normal_(encoder.bias["3"])
    write(encoder, _WORDS, tmp_path / "a")
    assert torch.equal(read_words(tmp_path / "a").table, _WORDS.table)
    maps = QueryMaps.read(tmp_path / "a")
    assert (maps.digest, maps.layers) == ("abc", (1, 3))
    residual = torch.randn(5, 24) * 4
    with torch.no_grad():
        wanted = encoder.query(3, residual[None])[0].transpose(0, 1)
        torch.testing.assert_close(maps.query(3, residual).view(5, 4, 8), wanted, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(maps.head_biases[3], encoder.head_bias(3))
        # A tensor-parallel worker has some of the heads.
        own = maps.heads(2, 2, 8)
        torch.testing.assert_close(
            own.query(1, residual), maps.query(1, residual)[:, 16:], atol=1e-6, rtol=1e-6
        )
        assert own.head_biases[1].shape == (2,)


class _Bent(RandomAdapter):
    """Says one thing and does another."""

    def linear_query(self, layer: int) -> tuple[Any, Any]:
        weight, bias = super().linear_query(layer)
        return weight * 1.01, bias


def test_what_is_not_the_linear_map_that_it_says_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel, match="is not the linear map"):
        write(_Bent(24, 4, 2, 8), _WORDS, tmp_path / "a")


def test_an_adapter_without_linear_queries_is_refused(tmp_path: Path) -> None:
    class Other:
        layers, digest = (1,), "other"

    with pytest.raises(UnsupportedModel, match="no linear map"):
        write(Other(), _WORDS, tmp_path / "a")  # type: ignore[arg-type]
