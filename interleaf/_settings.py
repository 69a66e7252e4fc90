"""What both clients hold: the connection, the session, timeouts and retries. And the rules to use them."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from interleaf._calls import Kind
from interleaf._options import DEFAULT_NAMESPACE, DEFAULT_TARGET, TLS, Connection, Retry, Timeout
from interleaf._retry import Attempts
from interleaf._session import Revisions, Session


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything about a client but its channel."""

    connection: Connection
    session: Session
    timeout: Timeout = field(default_factory=Timeout)
    retry: Retry = field(default_factory=Retry)

    @classmethod
    def make(
        cls,
        target: str = DEFAULT_TARGET,
        namespace: str = DEFAULT_NAMESPACE,
        api_key: str | None = None,
        tls: TLS | None = None,
        timeout: Timeout | float | None = None,
        retry: Retry | None = None,
        read_your_writes: bool = True,
    ) -> Settings:
        """Checks and gathers what a client's constructor was given."""
        return cls(
            connection=Connection(target, tls, api_key),
            session=Session(namespace, read_your_writes, Revisions()),
            timeout=as_timeout(timeout),
            retry=retry or Retry(),
        )

    def changed(
        self, namespace: str | None, timeout: Timeout | float | None, retry: Retry | None
    ) -> Settings:
        """A copy that shares the memory of what was written."""
        return replace(
            self,
            session=replace(self.session, namespace=namespace or self.session.namespace),
            timeout=self.timeout if timeout is None else as_timeout(timeout),
            retry=retry or self.retry,
        )

    def attempts(self, kind: Kind) -> Attempts:
        """The attempts of a new logical call."""
        seconds: float | None = getattr(self.timeout, kind)
        return Attempts(self.retry, seconds)


def as_timeout(given: Timeout | float | None) -> Timeout:
    """A bare number of seconds holds for reads, writes and generation."""
    if given is None:
        return Timeout()
    return given if isinstance(given, Timeout) else Timeout(call=given, generate=given)


def poll_delays(first: float = 0.05, longest: float = 1.0) -> Iterator[float]:
    """Pauses between looks at something that takes its time: short ones first."""
    delay = first
    while True:
        yield delay
        delay = min(delay * 1.5, longest)


class WatchedRequests:
    """Requests on their way into gRPC, which hides what went wrong while they were made: `error` keeps it."""

    def __init__(self, requests: Iterator[Any]) -> None:
        self._requests = requests
        self.error: Exception | None = None

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        try:
            return next(self._requests)
        except StopIteration:
            raise
        except Exception as error:
            self.error = error
            raise


def present(method: Callable[..., Any], build: Callable[..., Any], returns: dict[str, str]) -> None:
    """Makes `help()` show the method as a caller sees it: `self`, and the result rather than the `Call`."""
    signature = inspect.signature(build)
    wrapper, _, inner = str(signature.return_annotation).removesuffix("]").partition("[")
    result = returns[wrapper].format(inner)
    own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = [own, *itertools.islice(signature.parameters.values(), 1, None)]
    method.__name__ = build.__name__
    method.__doc__ = build.__doc__
    method.__signature__ = signature.replace(parameters=parameters, return_annotation=result)  # type: ignore[attr-defined]


def serialize(message: Any) -> bytes:
    """The wire form of a protobuf message."""
    data: bytes = message.SerializeToString()
    return data
