"""What answers lean to, as vLLM asks for it: for a batch whose requests come, go and change places."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from engines.leaning import TO_END
from engines.vllm.adapter_file import write
from engines.vllm.leanings import _Leanings
from engines.vllm.model import CONFIG
from engines.vllm.request_facts import EXTRA
from engines.words import Words
from tests.unit.engines.tiny_models import RandomAdapter, tiny_model

_END, _STOP, _WORD, _MORE = 5, 9, 1, 8
_PADDED = 12  # logits of a vocabulary of ten


@pytest.fixture
def processor(tmp_path: Path) -> Any:
    words = Words(torch.zeros(4, 10, dtype=torch.bool))
    words.table[2, _WORD] = words.table[0, _MORE] = words.table[3, _STOP] = True
    write(RandomAdapter.of(tiny_model("llama")), words, tmp_path / "adapter")
    configuration = SimpleNamespace(additional_config={CONFIG: {"adapter": str(tmp_path / "adapter")}})
    return _Leanings(configuration, torch.device("cpu"), False)


def _added(place: int, tokens: list[int], *, order: list[int] | None = None, is_turn: bool = True) -> Any:
    extra = {"said": [[_WORD], [2]], "order": order or [0, 0], "is_turn": is_turn}
    return place, SimpleNamespace(extra_args={EXTRA: extra}, stop_token_ids=[_END]), [7], tokens


def _update(processor: Any, **changes: Any) -> None:
    processor.update_state(SimpleNamespace(**{"added": [], "removed": [], "moved": []} | changes))


def _leans(processor: Any, rows: int) -> list[dict[int, float]]:
    changed: Tensor = processor.apply(torch.zeros(rows, _PADDED))
    return [{at: value for at, value in enumerate(row) if value} for row in changed.tolist()]


def test_each_request_leans_by_its_own_answer(processor: Any) -> None:
    answers: list[list[int]] = [[_WORD], [_WORD], [2, _STOP], [2, _STOP], []]
    nobody = (5, SimpleNamespace(extra_args=None, stop_token_ids=None), [7], [_WORD])
    _update(
        processor,
        added=[
            _added(0, answers[0]),
            _added(1, answers[1], order=[1, 2]),
            _added(2, answers[2]),
            _added(3, answers[3], is_turn=False),
            _added(4, answers[4]),
            nobody,
        ],
    )
    never = float("-inf")
    assert _leans(processor, 6) == [{_MORE: never}, {_MORE: never, _END: never}, {_END: TO_END}, {}, {}, {}]
    answers[4].append(_WORD)  # vLLM's own list, which grows
    answers[2].append(7)
    assert _leans(processor, 6)[2:5] == [{}, {}, {_MORE: never}]


def test_requests_go_and_change_places(processor: Any) -> None:
    _update(processor, added=[_added(0, [_WORD]), _added(1, []), _added(2, [2, _STOP])])
    swap, over = SimpleNamespace(name="SWAP"), SimpleNamespace(name="UNIDIRECTIONAL")
    _update(processor, moved=[(0, 1, swap)])
    never = float("-inf")
    assert _leans(processor, 3) == [{}, {_MORE: never}, {_END: TO_END}]
    _update(processor, removed=[1], moved=[(2, 1, over)])
    assert _leans(processor, 2) == [{}, {_END: TO_END}]
    processor.update_state(None)  # nothing has changed
    assert _leans(processor, 2) == [{}, {_END: TO_END}]
