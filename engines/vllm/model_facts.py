"""The facts of one model in one vLLM worker: what its layers attend to, step by step."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from engines.vllm.adapter_file import QueryMaps
from engines.vllm.attention import ContextKeys, ScoreRules, context_logits, kernel_logits, merge
from engines.vllm.flash_sums import FlashSums
from engines.vllm.plan import Attention, Group, Planner, Span
from engines.vllm.request_facts import EXTRA, RequestFacts
from engines.vllm.row_table import RowTable


class ModelFacts:
    """Everything of one model in one worker: the table, the requests, and the step that runs."""

    def __init__(self, maps: QueryMaps, attentions: list[Any], device: torch.device) -> None:
        first = attentions[0]
        self.maps, self.device = maps, device
        self.table = RowTable(len(attentions), first.num_kv_heads, first.head_size, device, torch.float32)
        self.block_size = 0  # of the block tables; known with the first step
        self.groups: list[Group] = []
        # This step's tokens of requests with facts, also those that see none: their keys are wanted later.
        self.reading = torch.zeros(0, dtype=torch.long, device=device)
        self._planner = Planner(self.table, device)
        self._requests: dict[str, RequestFacts] = {}
        self._attention: list[Attention] = []

    def begin(self, runner: Any) -> None:
        """Right before the model runs a step of vLLM's V1 model runner."""
        batch, starts = runner.input_batch, runner.query_start_loc.np
        self.block_size = batch.block_table.block_tables[0].block_size
        spans, reading = [], []
        for place, request_id in enumerate(batch.req_ids):
            state = runner.requests[request_id]
            facts = self._facts_of(state)
            if facts is None:
                continue
            start, end = int(starts[place]), int(starts[place + 1])
            reading.append(torch.arange(start, end))
            base = int(batch.num_computed_tokens_cpu[place])
            unseeing = max(0, facts.seen_from - base)
            if start + unseeing < end:
                spans.append(Span(place, start + unseeing, end, base + unseeing, facts))
        self.groups = self._planner.groups(spans) if spans else []
        if reading:
            self.reading = torch.cat(reading).to(self.device)

    def end(self) -> None:
        """The model has run."""
        for group in self.groups:
            self._attention += group.attention()
        self.groups, self.reading = [], self.reading[:0]

    def kv_heads_of(self, total: int) -> slice:
        """Which of a model's KV heads are this worker's."""
        from vllm.distributed import get_tensor_model_parallel_rank, get_tensor_model_parallel_world_size

        rank, size = get_tensor_model_parallel_rank(), get_tensor_model_parallel_world_size()
        own = self.table.keys.shape[1]
        first = rank * total // size  # with fewer heads than workers, neighbours hold the same one
        return slice(first, first + own)

    def put(self, first: int, keys: Tensor, values: Tensor) -> None:
        """A row; slots that are written are in use by nobody."""
        self.table.put(first, keys, values)
        self._planner.forget()

    def forget(self, names: list[str]) -> None:
        """Requests that have ended."""
        for name in names:
            self._requests.pop(name, None)

    def take_attention(self) -> list[Attention]:
        """What facts drew since the last call."""
        taken, self._attention = self._attention, []
        return taken

    def _facts_of(self, state: Any) -> RequestFacts | None:
        parameters = state.sampling_params
        extra = (parameters.extra_args or {}).get(EXTRA) if parameters is not None else None
        if extra is None or not extra["spans"]:
            return None
        known = self._requests.get(extra["name"])
        if known is None:
            known = self._requests[extra["name"]] = RequestFacts.of(extra)
        # A text that is scored stands in the prompt, behind the position from which facts are seen.
        known.note([*state.prompt_token_ids[known.seen_from + 1 :], *state.output_token_ids])
        return known


class LayerFacts:
    """What one attention layer needs."""

    def __init__(self, facts: ModelFacts, layer: int, attention: Any) -> None:
        self.facts, self.layer = facts, layer
        self._at = facts.maps.layers.index(layer)
        self._kv_heads, self._size = attention.num_kv_heads, attention.head_size
        self._shape = (attention.num_kv_heads, attention.num_heads // attention.num_kv_heads)
        self._rules = _rules(attention)
        self._head_bias = facts.maps.head_biases[layer].view(self._shape)
        self._keys: ContextKeys | None = None
        self.kernel = FlashSums.of(attention)  # says the context's log-sum-exp, where there is one that does

    def keep_keys(self, key: Tensor, slots: Tensor, cached: int) -> None:
        """This step's keys of requests with facts, for sums over them now and later.

        `cached`: how many numbers vLLM's cache of this layer holds."""
        if self._keys is None:
            # Keys and values of as many blocks as the scheduler has.
            blocks = cached // (2 * self._kv_heads * self.facts.block_size * self._size)
            self._keys = ContextKeys(blocks, self.facts.block_size, self._kv_heads, self._size, key)
        reading = self.facts.reading
        self._keys.store(slots[reading], key[reading])

    def attend(
        self,
        query: Tensor,
        stream: Tensor,
        output: Tensor,
        metadata: Any,
        sums: Tensor | None,
    ) -> None:
        """Merges the facts into the attention output of this step's tokens that see any.

        `sums`: the context's log-sum-exp [heads, tokens]; without it, it is computed from the kept keys."""
        for group in self.facts.groups:
            rows = group.rows
            own = self.facts.maps.query(self.layer, stream[rows])
            if sums is not None:
                context = kernel_logits(group, sums, self._shape)
            elif self._keys is not None:
                rotated = self._grouped(group, query[rows])
                context = context_logits(self._keys, group, rotated, metadata, self._rules)
            else:
                raise RuntimeError("facts are attended to before any key was kept")
            merge(group, self._at, self._grouped(group, own), self._head_bias, context, output)

    def _grouped(self, group: Group, query: Tensor) -> Tensor:
        """[kv heads, requests, length, group, head dim]."""
        parts = query.reshape(*group.tokens.shape, *self._shape, self._size)
        return parts.permute(2, 0, 1, 3, 4)


def _rules(attention: Any) -> ScoreRules:
    implementation = attention.impl
    window = getattr(implementation, "sliding_window", None)
    if isinstance(window, tuple):  # FlashAttention's: positions to the left, to the right
        window = window[0] + 1 if window[0] >= 0 else None
    return ScoreRules(
        implementation.scale,
        float(getattr(implementation, "logits_soft_cap", 0) or 0),
        None if window in (None, -1) else int(window),
    )
