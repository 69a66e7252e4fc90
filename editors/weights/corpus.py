"""Ordinary text from which key statistics are estimated: streamed, and named by a digest."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from editors.kv.phrases import load as load_phrases
from engines.models import file_digest

_SENTENCES_PER_TEXT = 12
_PHRASING_ROUNDS = 3
_MIN_LINE = 40  # characters: shorter lines are headings and page numbers


@dataclass(frozen=True, slots=True)
class Corpus:
    """Texts that can be read again and again, always the same in the same order."""

    name: str
    digest: str
    texts: Callable[[], Iterator[str]] = field(repr=False)


def file_corpus(path: Path) -> Corpus:
    """A text file, one text a line; lines of a few words are left out."""

    def lines() -> Iterator[str]:
        with path.open(encoding="utf-8") as file:
            for line in file:
                if len(line) >= _MIN_LINE:
                    yield line.strip()

    return Corpus(path.name, file_digest(path)[:32], lines)


def builtin_corpus(sentences: Iterable[str] = ()) -> Corpus:
    """What comes with Interleaf: the phrase bank's sentences, continuations and phrasings, filled in.

    `sentences`: more of them, such as the built-in facts as sentences. All are shuffled into texts of a dozen.
    """
    pool = [*_phrase_sentences(), *sentences]
    random.Random("corpus").shuffle(pool)
    named = hashlib.sha256("\n".join(pool).encode()).hexdigest()[:32]

    def texts() -> Iterator[str]:
        for start in range(0, len(pool), _SENTENCES_PER_TEXT):
            yield " ".join(pool[start : start + _SENTENCES_PER_TEXT])

    return Corpus("built-in", named, texts)


def _phrase_sentences() -> list[str]:
    bank = load_phrases()
    rng = random.Random("phrases")
    found = list(bank.sentences)
    for _ in range(_PHRASING_ROUNDS):
        for relation in bank.relations:
            subject = bank.subject(relation.subject_kind, rng)
            for phrasing in relation.train_phrasings:
                said = bank.object(relation.object_kind, rng)
                user, start = phrasing.filled(subject, relation.name, said)
                sentence = f"{user} {start} {said}".strip()
                found.append(
                    sentence + rng.choice(bank.continuations).rstrip() + " " + rng.choice(bank.sentences)
                )
    return found
