"""One forward, everything that the diagnostics read off kept; and what each part says directly to the answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from circuits.interventions import Part, Site, attended, captured
from circuits.lab import Lab
from engines.architectures import ModelSpec
from engines.contract import InjectedFact
from engines.kv_attention import AttentionRecord


@dataclass(frozen=True)
class Look:
    """A forward over one text. L layers, T tokens, P positions looked from, H heads.

    residual: [L + 1, T, hidden], what each layer reads, and at last the final norm.
    attention, mlp: [L, T, hidden], what they add.
    heads: [L, P, H, head dim], before the output projection.
    patterns: [L, P, H, T], attention from the positions, over the context.
    values: [L, kv heads, T, head dim].
    on_facts: [L, P, H, fact tokens], shares of attention; zero where a layer does not read facts.
    logits: [P, vocabulary].
    """

    spec: ModelSpec
    ids: tuple[int, ...]
    positions: tuple[int, ...]
    residual: Tensor
    attention: Tensor
    mlp: Tensor
    heads: Tensor
    patterns: Tensor
    values: Tensor
    on_facts: Tensor
    logits: Tensor

    def direct(self, written: Tensor, position: int, tokens: Sequence[int]) -> Tensor:
        """What something [..., hidden] written to the residual stream adds to logits of tokens [..., tokens].

        The final norm's scale is held as it is, so that the parts add up; before a cap on logits.
        """
        adds: Tensor = self._frozen_final(position)(written) @ self._unembedding[list(tokens)].T
        return adds

    def direct_mean(self, written: Tensor, position: int) -> Tensor:
        """The same, mean over the vocabulary: [...]."""
        adds: Tensor = self._frozen_final(position)(written) @ self._mean_unembedding
        return adds

    def direct_top(self, written: Tensor, position: int, count: int) -> Tensor:
        """The tokens [..., count] that it favours most."""
        adds: Tensor = self._frozen_final(position)(written) @ self._unembedding.T
        return adds.topk(count).indices

    def head_writes(self, position: int) -> Tensor:
        """What each head writes there: [L, H, hidden]. The output projection's bias is nobody's."""
        return self._projected(self.heads[:, position], position)

    def through(self, position: int, sources: Sequence[int]) -> Tensor:
        """The part of it that comes from tokens at these positions: [L, H, hidden]."""
        groups = self.spec.heads // self.spec.kv_heads
        chosen = list(sources)
        weights = self.patterns[:, position][..., chosen] * self._context_share[:, position, :, None]
        values = self.values[:, :, chosen].repeat_interleave(groups, dim=1)
        return self._projected(torch.einsum("lhs,lhsd->lhd", weights, values.float()), position)

    def through_facts(self, position: int) -> Tensor:
        """The part of it that comes from injected facts: [L, H, hidden]."""
        everything = tuple(range(len(self.ids)))
        return self.head_writes(position) - self.through(position, everything)

    def lens(self, state: Tensor) -> Tensor:
        """Logits [..., vocabulary] that a residual state [..., hidden] would give at once."""
        config = self.spec.model.config
        with torch.no_grad():
            logits: Tensor = self.spec.lm_head(self.spec.final_norm(state.to(self.residual.dtype))).float()
        cap = getattr(config, "final_logit_softcapping", None)
        return torch.tanh(logits / cap) * cap if cap else logits

    def _frozen_final(self, position: int) -> Any:
        passed = self.residual[-1, self.positions[position]]
        return _frozen(self.spec.final_norm, passed, self.spec.final_norm_weight())

    @cached_property
    def _mean_unembedding(self) -> Tensor:
        return self._unembedding.mean(0)

    @cached_property
    def _unembedding(self) -> Tensor:
        weight: Tensor = self.spec.lm_head.weight  # type: ignore[assignment]
        return weight.float()

    @cached_property
    def _context_share(self) -> Tensor:
        return 1 - self.on_facts.sum(-1)

    def _projected(self, read: Tensor, position: int) -> Tensor:
        """[L, H, head dim] through each head's part of the output projection, and the norm behind it."""
        norm_name = self.spec.architecture.attention_out_norm
        written = []
        for layer in range(len(self.spec.layers)):
            weight = self.spec.output_projection(layer).float()
            by_head = weight.reshape(weight.shape[0], self.spec.heads, self.spec.head_dim)
            wrote = torch.einsum("hd,ohd->ho", read[layer].float(), by_head)
            if norm_name:
                norm = self.spec.layers[layer].get_submodule(norm_name)
                own: Tensor = norm.weight  # type: ignore[assignment]
                raw = torch.einsum("hd,ohd->o", self.heads[layer, position].float(), by_head)
                wrote = _frozen(norm, raw, own + self.spec.architecture.norm_offset)(wrote)
            written.append(wrote)
        return torch.stack(written)


def look(lab: Lab, ids: Sequence[int], positions: Sequence[int], facts: Sequence[InjectedFact] = ()) -> Look:
    """One pass. Facts are seen from the first of `positions` on."""
    spec, layers, chosen = lab.spec, range(lab.layers), list(positions)
    sites = [
        *(Site(Part.RESIDUAL, layer) for layer in range(lab.layers + 1)),
        *(Site(part, layer) for part in (Part.ATTENTION, Part.MLP, Part.HEADS) for layer in layers),
    ]
    record = AttentionRecord(full=True)
    with (
        lab.injected(1, facts, since=chosen[0], record=record),
        captured(spec, sites) as seen,
        attended(spec, queries=chosen) as patterns,
    ):
        logits = lab.run([ids], since=min(chosen))

    def of(part: Part, count: int = lab.layers) -> Tensor:
        return torch.stack([seen[Site(part, layer)][0] for layer in range(count)])

    return Look(
        spec=spec,
        ids=tuple(ids),
        positions=tuple(chosen),
        residual=of(Part.RESIDUAL, lab.layers + 1),
        attention=of(Part.ATTENTION),
        mlp=of(Part.MLP),
        heads=of(Part.HEADS)[:, chosen],
        patterns=torch.stack([patterns[layer].probabilities[0].transpose(0, 1) for layer in layers]),
        values=torch.stack([patterns[layer].values[0] for layer in layers]),
        on_facts=_shares(record, lab, chosen),
        logits=logits[0, [at - min(chosen) for at in chosen]].float(),
    )


def _shares(record: AttentionRecord, lab: Lab, positions: list[int]) -> Tensor:
    tokens = max((seen.shape[-1] for seen in record.probabilities.values()), default=0)
    shares = torch.zeros(lab.layers, len(positions), lab.spec.heads, tokens, device=lab.device)
    for layer, seen in record.probabilities.items():
        shares[layer] = seen[0][:, positions].transpose(0, 1)
    return shares


def _frozen(norm: nn.Module, passed: Tensor, weight: Tensor) -> Any:
    """The linear map that a norm is for what passed, its scale held: sums to the norm's output less its bias."""
    is_centred = isinstance(norm, nn.LayerNorm)
    bias: Any = getattr(norm, "bias", None)

    def shaped(part: Tensor) -> Tensor:
        part = part.float()
        return (part - part.mean(-1, keepdim=True) if is_centred else part) * weight.float()

    with torch.no_grad():
        out = norm(passed).float()
    whole = shaped(passed)
    scale = ((out - bias.float() if bias is not None else out) * whole).sum() / (whole * whole).sum()
    return lambda part: shaped(part) * scale
