"""Stands between the servicers and the network: every call passes here once its request is read, however it came.

Services are added to it as to a gRPC server. A method without a row in the rules is refused then, so that a new one
cannot be served unguarded.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any, Protocol

import grpc
from google.protobuf import descriptor_pool

from service.access.grants import EVERYWHERE
from service.access.rules import RULES, Rule
from service.calls import KINDS, current
from service.errors import NotAllowed
from service.interceptors.wrapping import Behaviour, behaviour_of, with_behaviour
from service.rates import Rates
from service.turns import Turns


class Registry(Protocol):
    """What services are added to."""

    def add_generic_rpc_handlers(self, handlers: Sequence[Any]) -> None:
        """As `grpc.aio.Server` has it."""
        ...

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Any]) -> None:
        """As `grpc.aio.Server` has it."""
        ...


class Gate:
    """A registry before another one."""

    def __init__(
        self, server: Registry, rates: Rates, turns: Mapping[str, Turns], rules: Mapping[str, Rule] = RULES
    ) -> None:
        self._server, self._rates, self._turns, self._rules = server, rates, turns, rules

    def add_generic_rpc_handlers(self, handlers: Sequence[Any]) -> None:
        """Adds services with their methods guarded."""
        self._server.add_generic_rpc_handlers([self._guarded_service(handler) for handler in handlers])

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Any]) -> None:
        """The same methods once more, by name."""
        guarded = {name: self._guarded(f"/{service}/{name}", handler) for name, handler in handlers.items()}
        self._server.add_registered_method_handlers(service, guarded)

    def _guarded_service(self, handler: Any) -> Any:
        service = descriptor_pool.Default().FindServiceByName(handler.service_name())
        methods = {}
        for method in service.methods:
            name = f"/{service.full_name}/{method.name}"
            methods[method.name] = self._guarded(name, handler.service(_Asked(name)))
        return grpc.method_handlers_generic_handler(service.full_name, methods)

    def _guarded(self, method: str, handler: Any) -> Any:
        rule = self._rules.get(method)
        if rule is None:
            raise LookupError(f"{method} has no row in service/access/rules.py")
        return with_behaviour(handler, self._behaviour(method, rule, handler))

    def _behaviour(self, method: str, rule: Rule, handler: Any) -> Behaviour:
        inner = behaviour_of(handler)

        async def unary(request: Any, context: Any) -> Any:
            async with self._turn(method, self._admit(method, rule, request)):
                return await inner(request, context)

        async def streamed(requests: AsyncIterator[Any], context: Any) -> Any:
            first = await anext(requests, None)
            # Only the first message says where to: without one there is nothing to be written.
            namespace = EVERYWHERE if first is None else self._admit(method, rule, first)
            async with self._turn(method, namespace):
                return await inner(_with_first(first, requests), context)

        return streamed if handler.request_streaming else unary

    def _turn(self, method: str, namespace: str) -> AbstractAsyncContextManager[None]:
        turns = self._turns.get(KINDS[method])
        return nullcontext() if turns is None else turns.turn(namespace, current().remaining(math.inf))

    def _admit(self, method: str, rule: Rule, request: Any) -> str:
        """NotAllowed, or RateExceeded; otherwise the namespace whose turn the call will need."""
        namespaces, grants = rule.namespaces(request), current().grants
        if grants is not None and rule.scope is not None:
            for namespace in sorted(namespaces):
                if not grants.allows(rule.scope, namespace):
                    raise NotAllowed(rule.scope, namespace)
        for namespace in sorted(namespaces - {EVERYWHERE}):
            self._rates.take(KINDS[method], namespace)
        return min(namespaces, default=EVERYWHERE)


class _Asked:
    """What a generic handler is asked with."""

    invocation_metadata: tuple[tuple[str, str], ...] = ()

    def __init__(self, method: str) -> None:
        self.method = method


async def _with_first(first: Any, others: AsyncIterator[Any]) -> AsyncIterator[Any]:
    if first is not None:
        yield first
    async for message in others:
        yield message
