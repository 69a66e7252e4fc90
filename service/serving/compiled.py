"""Facts compiled to key/value tokens: kept by the most recent use, within a bound of memory."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from editors.kv.contract import FactEncoder, FactText
from engines.contract import KVTokens
from kb_store.model import Fact

_Key = tuple[str, int]


def version_key(fact: Fact) -> str:
    """Names a fact's revision in the engine: attention comes back under this key."""
    return f"{fact.uid}@{fact.revision}"


def size_of(tokens: KVTokens) -> int:
    """Bytes of a fact's tokens."""
    return sum(tensor.numel() * tensor.element_size() for tensor in (tokens.keys, tokens.values))


@dataclass(frozen=True, slots=True)
class CacheFigures:
    """Of a cache of tokens, since the start."""

    facts: int = 0
    used_bytes: int = 0
    capacity_bytes: int = 0
    hits: int = 0
    misses: int = 0


class CompiledFacts:
    """Tokens by (uid, revision) for one encoder. May be called from any thread.

    A revision never changes, so nothing here can be out of date; what is deleted falls out unused.
    """

    def __init__(self, encoder: FactEncoder, capacity_bytes: int, batch: int) -> None:
        self.encoder = encoder
        self._capacity, self._batch = capacity_bytes, batch
        self._kept: OrderedDict[_Key, KVTokens] = OrderedDict()
        self._bytes = 0
        self._hits = self._misses = 0
        self._lock = threading.Lock()

    @property
    def figures(self) -> CacheFigures:
        """How full it is, and how well it serves."""
        with self._lock:
            return CacheFigures(len(self._kept), self._bytes, self._capacity, self._hits, self._misses)

    def ready(self, fact: Fact) -> bool:
        """Whether this revision's tokens are at hand."""
        with self._lock:
            return (fact.uid, fact.revision) in self._kept

    def full(self) -> bool:
        """Whether further facts would push others out soon."""
        with self._lock:
            return self._bytes >= 0.9 * self._capacity

    def tokens(self, facts: Sequence[Fact], *, ahead: bool = False) -> list[KVTokens]:
        """The tokens of each fact, compiling those that are missing. Blocks while it does.

        `ahead`: no question waits for them, so that it says nothing of how well the cache serves.
        """
        found = self._look_up(facts)
        if not ahead:
            with self._lock:
                self._hits += len(found)
                self._misses += len(facts) - len(found)
        missing = [fact for fact in facts if (fact.uid, fact.revision) not in found]
        for start in range(0, len(missing), self._batch):
            chunk = missing[start : start + self._batch]
            for fact, tokens in zip(
                chunk, self.encoder.compile([_text(fact) for fact in chunk]), strict=True
            ):
                found[(fact.uid, fact.revision)] = tokens
                self._keep((fact.uid, fact.revision), tokens)
        return [found[(fact.uid, fact.revision)] for fact in facts]

    def _look_up(self, facts: Sequence[Fact]) -> dict[_Key, KVTokens]:
        found: dict[_Key, KVTokens] = {}
        with self._lock:
            for fact in facts:
                key = (fact.uid, fact.revision)
                if key in self._kept:
                    self._kept.move_to_end(key)
                    found[key] = self._kept[key]
        return found

    def _keep(self, key: _Key, tokens: KVTokens) -> None:
        with self._lock:
            if key in self._kept:
                return
            self._kept[key] = tokens
            self._bytes += size_of(tokens)
            while self._bytes > self._capacity and len(self._kept) > 1:
                self._bytes -= size_of(self._kept.popitem(last=False)[1])


def _text(fact: Fact) -> FactText:
    content = fact.content
    return FactText(version_key(fact), content.subject, content.relation, content.object)
