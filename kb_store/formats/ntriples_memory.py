"""What an N-Triples stream has said about nodes, in bounded memory."""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass, field

from kb_store.formats import ntriples_names as names

# Subject, predicate and object as N-Triples writes them.
Key = tuple[str, str, str]

# What an entry costs besides its texts, roughly.
_ENTRY_BYTES = 400
# The rank of a label in a language we do not prefer is 2.
_NO_LABEL = 3


@dataclass(slots=True)
class NodeNames:
    """Label and aliases of one node."""

    label: str | None = None
    rank: int = _NO_LABEL
    aliases: list[str] = field(default_factory=list)
    size: int = _ENTRY_BYTES


class NameTable:
    """Names of nodes. Forgets the node that was met first when all names together grow beyond `max_bytes`."""

    def __init__(self, max_bytes: int) -> None:
        self._max = max_bytes
        self._size = 0
        self._nodes: OrderedDict[str, NodeNames] = OrderedDict()

    def get(self, node: str) -> NodeNames | None:
        """What is known about the node."""
        return self._nodes.get(node)

    def add_label(self, node: str, text: str, rank: int) -> None:
        """Keeps the label with the lowest rank, and of these the first."""
        entry = self._entry(node)
        if rank < entry.rank:
            self._grow(entry, len(text) - len(entry.label or ""))
            entry.label, entry.rank = text, rank
        self._shrink()

    def add_alias(self, node: str, text: str) -> None:
        """Keeps the aliases in the order of the stream."""
        entry = self._entry(node)
        entry.aliases.append(text)
        self._grow(entry, len(text) + 64)
        self._shrink()

    def _entry(self, node: str) -> NodeNames:
        entry = self._nodes.get(node)
        if entry is None:
            entry = self._nodes[node] = NodeNames()
            self._size += entry.size
            self._grow(entry, len(node))
        return entry

    def _grow(self, entry: NodeNames, size: int) -> None:
        entry.size += size
        self._size += size

    def _shrink(self) -> None:
        while self._size > self._max:
            _, oldest = self._nodes.popitem(last=False)
            self._size -= oldest.size


@dataclass(slots=True)
class Statement:
    """One of our exported facts: the triple it is about, and what a triple cannot carry."""

    line: int
    fact_id: str = ""
    parts: dict[str, str] = field(default_factory=dict)
    aliases: list[str] = field(default_factory=list)
    size: int = _ENTRY_BYTES

    def key(self) -> Key | None:
        """The triple, when all three parts are known."""
        subject, predicate, value = map(
            self.parts.get, (names.RDF_SUBJECT, names.RDF_PREDICATE, names.RDF_OBJECT)
        )
        if subject is None or predicate is None or value is None:
            return None
        return subject, predicate, value


class StatementTable:
    """Statements whose triple has not been given out yet. `size` is for the owner to bound."""

    def __init__(self) -> None:
        self.size = 0
        self._statements: OrderedDict[str, Statement] = OrderedDict()
        self._by_triple: dict[Key, list[str]] = {}

    def add(self, line: int, fact: str, predicate: str, text: str) -> None:
        """Notes what a line says about the fact with this IRI."""
        statement = self._statements.get(fact)
        if statement is None:
            statement = self._statements[fact] = Statement(line, names.own_text(fact) or "")
            self.size += statement.size
        grown = len(fact) + len(predicate) + len(text)
        statement.size += grown
        self.size += grown
        if predicate == names.ALIAS:
            statement.aliases.append(text)
            return
        before = statement.key()
        statement.parts[predicate] = text
        after = statement.key()
        if after != before:
            self._forget_key(before, fact)
            if after is not None:
                self._by_triple.setdefault(after, []).append(fact)

    def claim(self, triple: Key) -> Statement | None:
        """The first statement about this triple; it is then forgotten."""
        facts = self._by_triple.get(triple)
        return self._remove(facts[0]) if facts else None

    def oldest_line(self) -> float:
        """The line on which the oldest statement began; infinity when there is none."""
        return next(iter(self._statements.values())).line if self._statements else math.inf

    def forget_oldest(self) -> None:
        """Gives up the statement that has waited longest for its triple."""
        if self._statements:
            self._remove(next(iter(self._statements)))

    def _remove(self, fact: str) -> Statement:
        statement = self._statements.pop(fact)
        self.size -= statement.size
        self._forget_key(statement.key(), fact)
        return statement

    def _forget_key(self, key: Key | None, fact: str) -> None:
        if key is None:
            return
        facts = self._by_triple[key]
        facts.remove(fact)
        if not facts:
            del self._by_triple[key]
