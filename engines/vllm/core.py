"""vLLM with facts, in this process: rows in and out, requests in, tokens out. Used by one thread.

Nothing that arrives here can make a worker fail: rows are checked when they come, requests are checked against the
rows before vLLM hears of them, and one that vLLM refuses all the same is refused alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from engines.vllm.core_requests import (
    CoreRequest,
    Produced,
    Refused,
    ScoredText,
    check,
    check_rows,
    parameters,
)
from engines.vllm.row_ledger import Row, RowError, RowLedger
from engines.vllm.start import CoreSettings, row_shape, start


@dataclass
class _Running:
    request: CoreRequest
    rows: Sequence[Row]
    tokens: int = 0
    masses: dict[int, list[float]] = field(default_factory=dict)
    layers: list[list[float]] = field(default_factory=list)  # of each fact, at the last position
    peaks: dict[int, float] = field(default_factory=dict)

    def risen(self, mass: Sequence[float]) -> list[list[float]]:
        """The layers of the facts that drew more than ever before."""
        found: list[list[float]] = []
        for fact, (now, layers) in enumerate(zip(mass, self.layers, strict=True)):
            is_peak = now > self.peaks.get(fact, 0.0)
            found.append(layers if is_peak else [])
            if is_peak:
                self.peaks[fact] = now
        return found


class VllmCore:
    """One vLLM engine and the facts that it holds."""

    def __init__(self, settings: CoreSettings) -> None:
        self._settings = settings
        self._ledger = RowLedger(settings.row_slots)
        self._running: dict[str, _Running] = {}
        self._shape = row_shape(settings)
        self._engine: Any = start(settings)
        self._vocabulary = int(self._engine.model_config.get_vocab_size())

    @property
    def busy(self) -> bool:
        """Whether a step has anything to do."""
        return bool(self._running)

    @property
    def rows(self) -> RowLedger:
        """What it holds."""
        return self._ledger

    def put(self, name: str, keys: Tensor, values: Tensor, said: Sequence[int] = ()) -> None:
        """Takes a fact's tokens [layers, tokens, kv heads, head dim]. Refused when they do not fit."""
        wanted = (self._shape[0], keys.shape[1] if keys.dim() == 4 else 0, *self._shape[1:])
        if tuple(keys.shape) != wanted or tuple(values.shape) != wanted:
            raise Refused("row", f"{tuple(keys.shape)}: this engine's rows are {wanted}")
        if not (keys.isfinite().all() and values.isfinite().all()):
            raise Refused("row", "not all numbers are finite")
        try:
            row = self._ledger.add(name, keys.shape[1], said)
        except RowError as error:
            raise Refused("row", str(error)) from None
        # A clone: a slice would be sent to other processes with all that it is cut from.
        self._call("interleaf_put", row.first, keys.clone(), values.clone())

    def drop(self, name: str) -> None:
        """Lets a row go when no running request uses it any more. Refused when it is not there."""
        try:
            self._ledger.drop(name)
        except RowError as error:
            raise Refused("row", str(error)) from None

    def submit(self, name: str, request: CoreRequest) -> None:
        """Takes a request, or raises Refused and leaves everything as it was."""
        from vllm.exceptions import VLLMClientError

        if name in self._running:
            raise Refused("request", f"{name!r} is running already")
        check(request, self._vocabulary, self._settings.max_context)
        if request.facts and self._settings.adapter is None:
            raise Refused("facts", "this engine has no encoder")
        try:
            rows = self._ledger.use([fact.row for fact in request.facts])
        except RowError as error:
            raise Refused("facts", str(error)) from None
        try:
            check_rows(rows, self._settings.request_slots)
            self._engine.add_request(
                name, {"prompt_token_ids": request.read}, parameters(name, request, rows)
            )
        except (ValueError, TypeError, VLLMClientError) as error:  # vLLM's own is neither of the others
            self._ledger.release(rows)
            raise error if isinstance(error, Refused) else Refused("request", str(error)) from error
        self._running[name] = _Running(request, rows)

    def cancel(self, name: str) -> None:
        """Nothing happens for a request that has ended."""
        if name in self._running:
            self._engine.abort_request([name])
            self._leave([name])

    def step(self) -> list[Produced | ScoredText]:
        """Runs the model once."""
        outputs = self._engine.step()
        self._note_attention()
        produced: list[Produced | ScoredText] = []
        for output in outputs:
            running = self._running.get(output.request_id)
            if running is None:
                continue
            if running.request.score_from is None:
                produced += self._produced(output, running)
            elif output.finished:
                produced.append(_scored(output, running))
        self._leave([output.request_id for output in outputs if output.finished])
        return produced

    def close(self) -> None:
        """Frees the model."""
        self._engine.engine_core.shutdown()

    def _produced(self, output: Any, running: _Running) -> list[Produced]:
        completion = output.outputs[0]
        made = []
        for token, known in zip(completion.token_ids, completion.logprobs, strict=True):
            # The token was chosen at the position before it.
            at = len(running.request.prompt) - 1 + running.tokens
            running.tokens += 1
            mass = running.masses.pop(at, [0.0] * len(running.request.facts))
            risen = running.risen(mass) if running.layers else []
            made.append(Produced(output.request_id, token, known[token].logprob, mass, risen))
        if output.finished and made:
            made[-1] = replace(made[-1], finished=True)
        return made

    def _note_attention(self) -> None:
        """Every worker has the mean over its own heads; there are as many in each."""
        if self._settings.adapter is None:
            return
        for parts in zip(*self._call("interleaf_attention"), strict=True):
            running = self._running.get(parts[0].name)
            if running is None:
                continue
            masses = _mean([part.masses for part in parts])
            running.masses.update(enumerate(masses, parts[0].first))
            running.layers = _mean([part.layers for part in parts])

    def _leave(self, names: Sequence[str]) -> None:
        gone = [(name, self._running.pop(name)) for name in names if name in self._running]
        for _, running in gone:
            self._ledger.release(running.rows)
        with_facts = [name for name, running in gone if running.rows]
        if with_facts:
            self._call("interleaf_forget", with_facts)

    def _call(self, method: str, *arguments: Any) -> list[Any]:
        results: list[Any] = self._engine.collective_rpc(method, args=arguments)
        return results


def _mean(tables: Sequence[list[list[float]]]) -> list[list[float]]:
    """Of equal places in tables of one shape."""
    if len(tables) == 1:
        return tables[0]
    return [
        [sum(values) / len(values) for values in zip(*rows, strict=True)]
        for rows in zip(*tables, strict=True)
    ]


def _scored(output: Any, running: _Running) -> ScoredText:
    start = running.request.score_from or 0
    # Of each token where it was read, and of the last one where something was said.
    known = [*output.prompt_logprobs[start:], *output.outputs[0].logprobs]
    said = [each[token].logprob for token, each in zip(running.request.prompt[start:], known, strict=True)]
    nothing = [0.0] * len(running.request.facts)
    end = len(running.request.prompt)
    masses = [running.masses.get(at, nothing) for at in range(start - 1, end - 1)]
    return ScoredText(output.request_id, said, [max(shares) for shares in zip(*masses, strict=True)])
