"""Calls at a rate that does not wait for answers (open loop), and what became of them.

A generator that sends the next call when the last one is answered slows down with the server, and hides what users
see. Here calls leave at times that are drawn beforehand; a call's time counts from when it should have left.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2

from bench.common import percentile
from interleaf.v1 import (
    facts_pb2,
    facts_pb2_grpc,
    inference_pb2,
    inference_pb2_grpc,
    namespaces_pb2,
    namespaces_pb2_grpc,
)

_CHANNELS = 4
_FILLING = (
    1 / 3
)  # of a phase: in that time the first calls are answered, and the server is as full as it will be
Send = Callable[[int, float], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """`due`, `sent` and `ended` in seconds of one clock. `how`: ok, refused (with a time to come back), or the code."""

    due: float
    sent: float
    ended: float
    how: str

    @property
    def seconds(self) -> float:
        """As the user sees it."""
        return self.ended - self.due


@dataclass(frozen=True)
class Phase:
    """A time at one rate."""

    name: str
    seconds: float
    outcomes: tuple[Outcome, ...]
    began: float

    def of(self, how: str) -> list[Outcome]:
        """Those that ended so."""
        return [outcome for outcome in self.outcomes if outcome.how == how]

    @property
    def goodput(self) -> float:
        """Answers a second that came while calls were sent, once the server was full of them. Counted from the
        beginning, when nothing can be answered yet, it would lack what is answered behind the phase."""
        opens, closes = self.began + _FILLING * self.seconds, self.began + self.seconds
        return sum(opens < item.ended <= closes for item in self.of("ok")) / (closes - opens)

    @property
    def answered(self) -> list[int]:
        """Answers in each second, those behind the phase too."""
        counts = Counter(int(item.ended - self.began) for item in self.of("ok"))
        return [counts[second] for second in range(max(counts, default=-1) + 1)]

    def percentile(self, percent: float) -> float | None:
        """Milliseconds of answers."""
        answers = [outcome.seconds * 1000 for outcome in self.of("ok")]
        return percentile(answers, percent) if answers else None

    def refused_ms(self, percent: float) -> float | None:
        """From sending to the refusal."""
        times = [(outcome.ended - outcome.sent) * 1000 for outcome in self.of("refused")]
        return percentile(times, percent) if times else None

    @property
    def others(self) -> dict[str, int]:
        """Neither answered nor refused with a time: what should not be."""
        strange = [outcome.how for outcome in self.outcomes if outcome.how not in ("ok", "refused")]
        return {how: strange.count(how) for how in sorted(set(strange))}

    def row(self) -> dict[str, Any]:
        """For the result file."""
        count = len(self.outcomes)
        lag = [outcome.sent - outcome.due for outcome in self.outcomes]
        return {
            "phase": self.name,
            "seconds": self.seconds,
            "calls": count,
            "offered_rps": count / self.seconds,
            "goodput_rps": self.goodput,
            "ok": len(self.of("ok")),
            "answered_each_second": self.answered,
            "refused": len(self.of("refused")),
            "others": self.others,
            "p50_ms": self.percentile(50),
            "p99_ms": self.percentile(99),
            "refused_p50_ms": self.refused_ms(50),
            "refused_p99_ms": self.refused_ms(99),
            "sender_lag_p99_ms": 1000 * percentile(lag, 99) if lag else None,
        }


class Caller:
    """Connections to a server, and the calls that are made over them, without retries."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._undo = AsyncExitStack()
        self._stubs: list[tuple[Any, Any]] = []

    async def __aenter__(self) -> Caller:
        options = [("grpc.use_local_subchannel_pool", 1)]
        for _ in range(_CHANNELS):
            channel = await self._undo.enter_async_context(
                grpc.aio.insecure_channel(self._address, options=options)
            )
            await channel.channel_ready()
            self._stubs.append((inference_pb2_grpc.InferenceStub(channel), facts_pb2_grpc.FactsStub(channel)))
        self._spaces = namespaces_pb2_grpc.NamespacesStub(channel)
        return self

    async def __aexit__(self, *failure: object) -> None:
        await self._undo.aclose()

    async def space(self, name: str) -> None:
        """Makes a namespace."""
        await self._spaces.CreateNamespace(namespaces_pb2.CreateNamespaceRequest(namespace_id=name))

    async def searchable(self, name: str, revision: int) -> None:
        """Waits until the namespace can be searched at that revision."""
        request = namespaces_pb2.GetNamespaceRequest(name=f"namespaces/{name}")
        while (await self._spaces.GetNamespace(request)).searchable_revision < revision:
            await asyncio.sleep(0.1)

    async def generate(self, number: int, timeout: float, namespace: str, prompt: str, tokens: int) -> Any:
        """One answer."""
        stub = self._stubs[number % _CHANNELS][0]
        request = inference_pb2.GenerateRequest(
            parent=f"namespaces/{namespace}", prompt=prompt, sampling={"max_tokens": tokens}
        )
        return await stub.Generate(request, timeout=timeout)

    async def create(self, number: int, timeout: float, namespace: str, fact: facts_pb2.Fact) -> Any:
        """One fact."""
        stub = self._stubs[number % _CHANNELS][1]
        request = facts_pb2.CreateFactRequest(parent=f"namespaces/{namespace}", fact=fact)
        return await stub.CreateFact(request, timeout=timeout)

    async def delete(self, number: int, timeout: float, name: str) -> Any:
        """A fact is gone."""
        stub = self._stubs[number % _CHANNELS][1]
        return await stub.DeleteFact(facts_pb2.DeleteFactRequest(name=name), timeout=timeout)


async def one(send: Send, number: int, due: float, timeout: float) -> Outcome:
    """Makes the call and says how it ended."""
    sent = time.monotonic()
    try:
        await send(number, timeout)
        how = "ok"
    except grpc.aio.AioRpcError as error:
        how = _how(error)
    return Outcome(due, sent, time.monotonic(), how)


def _how(error: grpc.aio.AioRpcError) -> str:
    if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
        for key, value in error.trailing_metadata() or ():
            if key == "grpc-status-details-bin":
                kinds = [detail.type_url for detail in status_pb2.Status.FromString(value).details]
                if any(kind.endswith(error_details_pb2.RetryInfo.DESCRIPTOR.full_name) for kind in kinds):
                    return "refused"
    return str(error.code().name)


async def open_loop(
    name: str, send: Send, rate: float, seconds: float, rng: random.Random, timeout: float
) -> Phase:
    """Calls at random times, `rate` a second on average; returns when all of them have ended."""
    dues, at = [], rng.expovariate(rate)
    while at < seconds:
        dues.append(at)
        at += rng.expovariate(rate)
    began = time.monotonic()
    calls: list[asyncio.Task[Outcome]] = []
    for number, due in enumerate(dues):
        await asyncio.sleep(max(0.0, began + due - time.monotonic()))
        calls.append(asyncio.create_task(one(send, number, began + due, timeout)))
    await asyncio.sleep(max(0.0, began + seconds - time.monotonic()))
    return Phase(name, seconds, tuple(await asyncio.gather(*calls)), began)


async def closed_loop(send: Send, clients: int, seconds: float, timeout: float) -> float:
    """Answers a second when so many clients ask as soon as they are answered: the capacity."""
    began, ended = time.monotonic(), [0.0]
    count = [0]

    async def client(first: int) -> None:
        number = first
        while time.monotonic() < began + seconds:
            outcome = await one(send, number, time.monotonic(), timeout)
            if outcome.how != "ok":
                raise RuntimeError(f"a call failed while capacity was measured: {outcome.how}")
            count[0] += 1
            ended[0] = outcome.ended
            number += clients

    async with asyncio.TaskGroup() as group:
        for first in range(clients):
            group.create_task(client(first))
    return count[0] / (ended[0] - began)


def recovery(after: Phase, baseline_ms: float, in_a_row: int = 5) -> float | None:
    """Seconds of a phase until so many answers in a row took no longer than the baseline; None: not within it."""
    ordered: Sequence[Outcome] = sorted(after.outcomes, key=lambda outcome: outcome.due)
    good = [outcome.how == "ok" and outcome.seconds * 1000 <= baseline_ms for outcome in ordered]
    for start in range(len(good) - in_a_row + 1):
        if all(good[start : start + in_a_row]):
            return max(0.0, ordered[start].due - after.began)
    return None
