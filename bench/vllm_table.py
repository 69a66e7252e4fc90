"""The encoder's table on both engines: the same questions to the same service, which differs in its engine only."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any

from bench.common import Bench, share_keys
from bench.encoder_asking import ABSENT_TOKENS, Asking, grounded_mass, is_right
from bench.encoder_questions import Asker
from bench.encoder_world import invented_world
from bench.service_run import KeptEmbedder, Service, running, tokenizer_of
from editors.kv.phrases import load

_KB = 1000  # facts
_NAMESPACE = "invented"
_SIDES = ("transformers", "vllm")
Pieces = Callable[[str, Sequence[str], Callable[[str], dict[str, Any]]], list[Any]]


class Table:
    """Every cell whose facts are stored, and those whose facts are not, from a base of a thousand facts."""

    def __init__(self, bench: Bench, count: int) -> None:
        self._bench = bench
        self._world = invented_world(load(), _KB, bench.seed)
        self._tokenizer = tokenizer_of(bench.args.model)
        asker = Asker(self._world, load(), self._tokenizer, bench.seed)
        self._absent = asker.absent(count)
        self._cells = {cell: cases for cell, cases in (asker.present(count) | self._absent).items() if cases}
        self._embedder: KeptEmbedder | None = None
        self.keys: dict[str, Any] = {}

    def measure(self, pieces: Pieces) -> None:
        """One engine after the other; cell by cell."""
        found: dict[str, dict[str, Any]] = {}
        for kind in _SIDES:
            with _Side(self, kind) as side:
                names = [f"{kind}/{cell}" for cell in self._cells]
                for row in pieces("table", names, side.piece):
                    found[f"{row['engine']}/{row['cell']}"] = row
        same: list[bool] = []
        furthest = 0.0
        for cell in self._cells:
            rows = [found.get(f"{kind}/{cell}") for kind in _SIDES]
            if rows[0] is None or rows[1] is None:
                continue
            self.keys |= share_keys(f"table_{cell}_transformers", rows[0]["good"])
            self.keys |= share_keys(f"table_{cell}", rows[1]["good"])
            same += [a == b for a, b in zip(rows[0]["answers"], rows[1]["answers"], strict=True)]
            pairs = zip(rows[0]["mass"], rows[1]["mass"], strict=True)
            furthest = max(furthest, *(abs(a - b) for a, b in pairs))
        if same:
            self.keys |= {"table_answers": len(same), "table_same_text": sum(same)}
            self.keys |= {"table_max_dattention": furthest}

    async def open(self, stack: AsyncExitStack, kind: str) -> Service:
        """A service on that engine, with the facts stored."""
        arguments = self._bench.args
        engine: dict[str, Any] = {"kind": kind, "threads": arguments.threads, "max_context": 2048}
        if kind == "vllm":
            engine |= {"vllm_python": arguments.python, "vllm_compile": arguments.compile}
        self._embedder = self._embedder or KeptEmbedder()
        service = await stack.enter_async_context(
            running(model=arguments.model, encoder=arguments.encoder, embedder=self._embedder, engine=engine)
        )
        await service.store(_NAMESPACE, self._world.contents(_KB))
        return service

    async def ask(self, service: Service, cell: str) -> dict[str, Any]:
        """good: the object is said; for an absent fact: the answer is the plain model's."""
        asking, cases = Asking(service, self._tokenizer), self._cells[cell]
        if cell in self._absent:
            answers = await asking.answers(_NAMESPACE, cases, tokens=ABSENT_TOKENS)
            plain = await asking.answers(_NAMESPACE, cases, tokens=ABSENT_TOKENS, use_facts=False)
            good = [a.text == p.text for a, p in zip(answers, plain, strict=True)]
        else:
            answers = await asking.answers(_NAMESPACE, cases)
            good = [is_right(case, answer) for case, answer in zip(cases, answers, strict=True)]
        return {
            "cell": cell,
            "prompts": [case.prompt for case in cases],
            "answers": [answer.text for answer in answers],
            "mass": [grounded_mass(answer) for answer in answers],
            "good": good,
        }


class _Side:
    """One engine's service, started with the first cell that is missing."""

    def __init__(self, table: Table, kind: str) -> None:
        self._table, self._kind = table, kind
        self._runner = asyncio.Runner()
        self._stack = AsyncExitStack()
        self._service: Service | None = None

    def __enter__(self) -> _Side:
        return self

    def piece(self, name: str) -> dict[str, Any]:
        """`name`: engine and cell."""
        cell = name.partition("/")[2]
        if self._service is None:
            self._service = self._runner.run(self._table.open(self._stack, self._kind))
        return {"engine": self._kind, **self._runner.run(self._table.ask(self._service, cell))}

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._runner.run(self._stack.aclose())
        finally:
            self._runner.close()
