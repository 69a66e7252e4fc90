"""The texts that stand for a fact and for a question in the vector space. Both sides must use these."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np

from kb_store.contract import Embedder, Vectors
from kb_store.model import Content

# The embedder reads 256 tokens; more characters than they can hold would only be cut off again.
_QUERY_CHARACTERS = 1600


def key_text(relation: str, subject: str) -> str:
    """What is embedded for a fact: what it is about, not what it says, so that a corrected object moves nothing.

    Aliases have no vector of their own: the lexical half of retrieval finds them whole.
    """
    return f"{relation} of {subject}"


def query_text(text: str) -> str:
    """The end of the text, from a word's beginning: in a conversation the question stands there."""
    sound = text.encode("utf-8", errors="replace").decode("utf-8")
    if len(sound) <= _QUERY_CHARACTERS:
        return sound
    tail = sound[-_QUERY_CHARACTERS:]
    head, space, rest = tail.partition(" ")
    return rest if space and len(head) < _QUERY_CHARACTERS // 4 else tail


class KeyEmbedder:
    """Embeds facts' keys. Keys come again and again (corrections, many facts of one kind): the last are kept."""

    def __init__(self, embedder: Embedder, capacity: int = 8192) -> None:
        self._embedder = embedder
        self._capacity = capacity
        self._kept: OrderedDict[str, Vectors] = OrderedDict()

    def embed(self, contents: Sequence[Content]) -> Vectors:
        """One row for each content, in order. For one thread."""
        keys = [key_text(content.relation, content.subject) for content in contents]
        vectors = np.empty((len(keys), self._embedder.dimension), dtype=np.float32)
        missing = [key for key in dict.fromkeys(keys) if key not in self._kept]
        fresh = dict(zip(missing, self._embedder.embed(missing), strict=True)) if missing else {}
        for place, key in enumerate(keys):
            vectors[place] = fresh[key] if key in fresh else self._kept[key]
        for key in keys:
            self._kept[key] = fresh[key] if key in fresh else self._kept.pop(key)
        while len(self._kept) > self._capacity:
            self._kept.popitem(last=False)
        return vectors
