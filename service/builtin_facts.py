"""The built-in facts as a JSONL file, for `interleaf facts import --builtin` (entry-point group `interleaf.data`)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from kb_store.factbank import load_facts
from kb_store.formats import FileFormat, writer

_FACTS_PER_PIECE = 500


def open_builtin() -> Iterator[bytes]:
    """The file from its start, in pieces of many lines."""
    file = writer(FileFormat.JSONL)
    yield file.begin()
    facts = load_facts()
    while piece := b"".join(file.add(content) for content in islice(facts, _FACTS_PER_PIECE)):
        yield piece
