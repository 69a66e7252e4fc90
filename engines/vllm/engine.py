"""The vLLM engine as the service sees it: `engines.contract.Engine`, answered by a process of its own.

This side tokenises, names facts, decodes text and keeps what is needed to start the process again; the other side
runs the model. When the process dies, every request in flight fails with EngineLost; the facts are sent again to the
next one as they are needed.
"""

from __future__ import annotations

import functools
import shutil
import tempfile
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from engines.admission import check_facts, check_length, generate_all
from engines.architectures import ModelSpec, spec_for
from engines.contract import GenerateRequest, Generation, InjectedFact, KVAdapter, Message, Scored
from engines.errors import EngineBusy, EngineClosed, EngineError, EngineLost, InvalidRequest
from engines.prompts import PromptEncoder, end_tokens
from engines.request import ActiveRequest, Handle
from engines.sampling import check_sampling
from engines.vllm import adapter_file, wire
from engines.vllm.row_shelf import Loan, RowShelf
from engines.vllm.supervisor import HostCommand, Supervisor
from engines.words import Words

_SEEDS = 2**62
_SLACK = 4  # the process has this many times the slots that we fill, so that holes between rows do no harm


@dataclass(frozen=True, slots=True)
class VllmSettings:
    """Limits of an engine, and how its process is started."""

    host: tuple[str, ...]  # the words that start the process: see `host_words`
    max_batch: int = 32
    max_queue: int = 256
    max_context: int | None = None
    dtype: torch.dtype = torch.float32
    cache_bytes: int = 2**30
    fact_tokens: int = 65_536  # held by the process at a time
    request_fact_tokens: int = 16_384  # that one request may see
    eager: bool = True
    threads: int | None = None  # of the process; None: its own choice
    start_seconds: float = 600.0
    options: Mapping[str, Any] = field(default_factory=dict)  # further arguments of vLLM's engine


def host_words(python: str) -> tuple[str, ...]:
    """With the interpreter of the environment that has vLLM and this package."""
    return (python, "-m", "engines.vllm.host")


@dataclass(frozen=True, slots=True)
class _Generating:
    active: ActiveRequest
    facts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Scoring:
    future: Future[tuple[list[float], list[float]]]
    facts: tuple[str, ...]


class VllmEngine:
    """Implements `engines.contract.Engine`. `model` is read for its shape and its digest and is not kept."""

    def __init__(
        self,
        path: Path,
        model: Any,
        tokenizer: Any,
        adapter: KVAdapter | None,
        settings: VllmSettings,
        *,
        name: str = "model",
        digest: str = "",
    ) -> None:
        self._settings, self._adapter = settings, adapter
        self._spec: ModelSpec = spec_for(model)
        self._context = min(self._spec.context, settings.max_context or self._spec.context)
        self._name, self._digest = name, digest
        self._prompts = PromptEncoder(tokenizer)
        self._end_tokens, self._words = end_tokens(model, tokenizer), Words.of(tokenizer)
        self._decode = functools.partial(
            tokenizer.decode, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        self._lock = threading.RLock()
        self._running: dict[str, _Generating | _Scoring] = {}
        self._shelf = RowShelf(settings.fact_tokens, settings.request_fact_tokens)
        self._count = 0
        self._closing = False
        self._folder = Path(tempfile.mkdtemp(prefix="interleaf-vllm-"))
        try:
            self._supervisor = Supervisor(self._command(path), self._hear, self._lost)
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise

    @property
    def model_name(self) -> str:
        """For people."""
        return self._name

    @property
    def model_digest(self) -> str:
        """Names the weights."""
        return self._digest

    @property
    def max_context(self) -> int:
        """Tokens of prompt and answer together."""
        return self._context

    @property
    def load(self) -> tuple[int, int]:
        """Requests that are being decoded, requests that wait."""
        with self._lock:
            count = len(self._running)
        return min(count, self._settings.max_batch), max(0, count - self._settings.max_batch)

    @property
    def supervisor(self) -> Supervisor:
        """Of the process."""
        return self._supervisor

    def wait_ready(self) -> None:
        """Until the first process answers (blocking). EngineError with its last words when it does not."""
        self._supervisor.wait_ready(self._settings.start_seconds)

    def submit(self, request: GenerateRequest) -> Handle:
        """Sends a request; returns at once. See `engines.contract.Engine`. EngineLost while there is no process."""
        check_sampling(request.sampling)
        check_facts(request.facts, self._adapter, self._spec)
        ids = self._prompts.encode(request.prompt)
        check_length(len(ids) + 1, self._context)
        active = ActiveRequest(request, ids, self._decode, self._end_tokens, self._context, self._words)
        sampling = request.sampling
        wanted = {
            "prompt": ids,
            "max_tokens": active.room,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "seed": None if sampling.seed is None else sampling.seed % _SEEDS,
            "end_tokens": sorted(self._end_tokens),
            "scope": request.scope,
            "is_turn": not isinstance(request.prompt, str),
        }
        with self._lock:
            self._check_room(1)
            loan = self._shelf.lend(request.facts)
            name = self._send(wanted, request.facts, loan, _Generating(active, loan.rows))
            if len(self._running) <= self._settings.max_batch:
                active.admit()
        active.handle.on_cancel = lambda: self._cancel(name, active)
        return active.handle

    def generate(self, requests: Sequence[GenerateRequest]) -> list[Generation]:
        """Submits all and waits; none is left behind when one is refused."""
        return generate_all(self.submit, requests)

    def score(
        self,
        prompt: str | Sequence[Message],
        continuations: Sequence[str],
        facts: Sequence[InjectedFact] = (),
        *,
        original: bool = False,
    ) -> list[Scored]:
        """Log-probabilities of each continuation; attention: a fact's largest share at any of its tokens.

        `original` changes nothing: this engine's weights are never edited.
        """
        check_facts(facts, self._adapter, self._spec)
        pairs = [self._prompts.encode_pair(prompt, text) for text in continuations]
        for index, (head, tail) in enumerate(pairs):
            if not tail:
                raise InvalidRequest(f"continuations[{index}]", "has no tokens")
            check_length(len(head) + len(tail), self._context)
        waiting: list[Future[tuple[list[float], list[float]]]] = []
        with self._lock:
            self._check_room(len(pairs))
            for head, tail in pairs:
                loan = self._shelf.lend(facts)
                future: Future[tuple[list[float], list[float]]] = Future()
                wanted = {"prompt": [*head, *tail], "score_from": len(head)}
                self._send(wanted, facts, loan, _Scoring(future, loan.rows))
                waiting.append(future)
        results = []
        for (_, tail), future in zip(pairs, waiting, strict=True):
            said, masses = future.result()
            attention: dict[str, float] = {}
            for fact, mass in zip(facts, masses, strict=True):
                attention[fact.tokens.key] = attention.get(fact.tokens.key, 0.0) + mass
            results.append(Scored(self._prompts.pieces(tail), tuple(tail), tuple(said), attention))
        return results

    def count_tokens(self, prompt: str | Sequence[Message]) -> int:
        """Length of the prompt as the model sees it."""
        return len(self._prompts.encode(prompt))

    def close(self) -> None:
        """Cancels what runs; returns when the process is gone."""
        with self._lock:
            self._closing = True
            running, self._running = list(self._running.values()), {}
            for item in running:
                if isinstance(item, _Generating):
                    item.active.end_cancelled()
                else:
                    item.future.set_exception(EngineClosed(f"engine {self._name} is shutting down"))
        self._supervisor.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _command(self, path: Path) -> HostCommand:
        settings, adapter = self._settings, None
        if self._adapter is not None:
            adapter = self._folder / "adapter.safetensors"
            adapter_file.write(self._adapter, self._words, adapter)
        core = {
            "model": str(path),
            "adapter": None if adapter is None else str(adapter),
            "dtype": str(settings.dtype).removeprefix("torch."),
            "max_context": self._context,
            "max_batch": settings.max_batch,
            "cache_bytes": settings.cache_bytes,
            "row_slots": _SLACK * settings.fact_tokens,
            "request_slots": settings.request_fact_tokens,
            "eager": settings.eager,
            "options": dict(settings.options),
        }
        # Without a compiler at start there is none for the little functions either, which vLLM compiles in any case.
        environment = {"TORCH_COMPILE_DISABLE": "1"} if settings.eager else {}
        if settings.threads:
            environment["OMP_NUM_THREADS"] = str(settings.threads)
        return HostCommand(settings.host, core, environment, settings.start_seconds)

    def _check_room(self, wanted: int) -> None:
        if self._closing:
            raise EngineClosed(f"engine {self._name} is shutting down")
        limit = self._settings.max_batch + self._settings.max_queue
        if len(self._running) + wanted > limit:
            raise EngineBusy(f"{len(self._running)} requests are running or waiting already")

    def _send(
        self,
        wanted: dict[str, Any],
        facts: Sequence[InjectedFact],
        loan: Loan,
        item: _Generating | _Scoring,
    ) -> str:
        """Facts first, then the request: the process obeys in order."""
        self._count += 1
        name = str(self._count)
        used = [(row, fact.bias, fact.order) for row, fact in zip(loan.rows, facts, strict=True)]
        try:
            for row in loan.drop:
                self._supervisor.send({"type": "drop", "row": row})
            for row, tokens in loan.put:
                head, body = wire.pack(tokens.keys, tokens.values)
                said = list(tokens.said)
                self._supervisor.send({"type": "put", "row": row, "said": said, "tokens": head}, body)
            self._supervisor.send({"type": "run", "name": name, "request": wanted, "facts": used})
        except EngineLost:
            self._shelf.forget()  # whatever was sent went with the process
            raise
        self._running[name] = item
        return name

    def _cancel(self, name: str, active: ActiveRequest) -> None:
        with self._lock:
            if self._leave(name) is not None:
                active.end_cancelled()
                self._tell_cancelled(name)

    def _tell_cancelled(self, name: str) -> None:
        with suppress(EngineLost):
            self._supervisor.send({"type": "cancel", "name": name})

    def _leave(self, name: str) -> _Generating | _Scoring | None:
        item = self._running.pop(name, None)
        if item is not None:
            self._shelf.give_back(item.facts)
        return item

    # What follows runs on the supervisor's thread.

    def _hear(self, message: wire.Message) -> None:
        with self._lock:
            if message["type"] == "tokens":
                for produced in message["tokens"]:
                    self._accept(*produced)
            elif message["type"] == "scored":
                item = self._leave(message["name"])
                if isinstance(item, _Scoring):
                    item.future.set_result((message["log_probabilities"], message["mass"]))
            elif message["type"] == "refused":
                self._refused(message)

    def _accept(
        self,
        name: str,
        token: int,
        said: float,
        mass: Sequence[float],
        layers: Sequence[Sequence[float]],
        finished: bool,
    ) -> None:
        item = self._running.get(name)
        if not isinstance(item, _Generating):
            return  # cancelled meanwhile
        item.active.admit()
        names = () if self._adapter is None else self._adapter.layers
        shares = [dict(zip(names, each, strict=False)) for each in layers]
        going = item.active.accept(token, said, mass, shares)
        if going and finished:
            item.active.handle.fail(EngineError("the engine's process ended an answer before its end"))
        if not going or finished:
            self._leave(name)
            if not finished:  # by a stop string, which only this side knows
                self._tell_cancelled(name)

    def _refused(self, message: wire.Message) -> None:
        if message["row"] is not None:
            self._shelf.discard(message["row"])
        item = None if message["name"] is None else self._leave(message["name"])
        if item is not None:
            _fail(item, InvalidRequest(message["field"], message["message"]))

    def _lost(self, words: str) -> None:
        with self._lock:
            running, self._running = list(self._running.values()), {}
            self._shelf.forget()
            for item in running:
                error = EngineLost("the engine's process has died; another is being started")
                error.__cause__ = EngineError(words)
                _fail(item, error)


def _fail(item: _Generating | _Scoring, error: EngineError) -> None:
    if isinstance(item, _Generating):
        item.active.handle.fail(error)
    else:
        item.future.set_exception(error)
