"""The shared trunk changes nothing."""

from __future__ import annotations

from typing import Any

import torch

from editors.kv.trunk import from_trunk, run_trunk


def test_a_forward_from_the_trunk_is_the_whole_forward(model: Any) -> None:
    ids = torch.randint(2, 12, (3, 9), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    whole = model.base_model(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
    trunk = run_trunk(model, 2, input_ids=ids, attention_mask=mask)
    with from_trunk(model, trunk):
        resumed = model.base_model(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
    assert torch.equal(whole, resumed)
    after = model.base_model(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
    assert torch.equal(whole, after)


def test_some_rows_go_on_from_their_own_part_of_the_trunk(model: Any) -> None:
    ids = torch.randint(2, 12, (3, 9), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    rows = torch.tensor([True, False, True])
    whole = model.base_model(
        input_ids=ids[rows], attention_mask=mask[rows], use_cache=False
    ).last_hidden_state
    trunk = run_trunk(model, 2, input_ids=ids, attention_mask=mask)
    with from_trunk(model, trunk.rows(rows)):
        part = model.base_model(
            input_ids=ids[rows], attention_mask=mask[rows], use_cache=False
        ).last_hidden_state
    assert torch.allclose(whole, part, atol=1e-6)
