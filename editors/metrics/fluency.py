"""Fluency: the entropy of a text's word pairs and triples. A model that repeats itself has little of it."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from statistics import fmean

_WEIGHTS = {2: 2 / 3, 3: 4 / 3}


def ngram_entropy(words: Sequence[str], size: int) -> float:
    """In bits, over the runs of `size` words; 0 for a text shorter than that."""
    counts = Counter(tuple(words[at : at + size]) for at in range(len(words) - size + 1))
    total = sum(counts.values())
    return -sum(count / total * math.log2(count / total) for count in counts.values()) if total else 0.0


def fluency(texts: Sequence[str]) -> float:
    """Mean over texts of (2/3 of the pairs' entropy + 4/3 of the triples') / 2, times 100: ROME's GE.

    Words are runs of letters and digits; every other visible character is a word of its own.
    """
    if not texts:
        raise ValueError("there is no text")
    return 100 * fmean(_weighted(re.findall(r"\w+|[^\w\s]", text)) for text in texts)


def _weighted(words: Sequence[str]) -> float:
    return sum(weight * ngram_entropy(words, size) for size, weight in _WEIGHTS.items()) / len(_WEIGHTS)
