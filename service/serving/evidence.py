"""The retriever's evidence as the encoder wants it: the same functions in training and in service."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from editors.kv.closer import CloserLook, weighed
from editors.kv.contract import Evidence, FactText, spoken
from editors.kv.meaning import FLOOR, Meaning
from editors.kv.prior import MIN_SUBJECT_COVER
from editors.kv.problems import Scorer
from kb_store.contract import Embedder
from kb_store.keys import key_text, query_text
from kb_store.scoring import Candidate, Cover, Described, Question
from service.serving.examples import NOTHING_SAID, Asking, key_of
from service.serving.judging import Relation, judging

# Of what is said about a subject only the words around its last mention matter: more is not embedded.
_MOST_WORDS = 96
_MOST_RELATIONS = 8192  # whose vectors are kept: 20 MiB
_AHEAD = (
    8  # names that are read at once where nobody waits for them: some tenth of a second of the engine's time
)


class EvidenceReader:
    """Judges candidates of a text. May be called from any thread; blocks while it embeds."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._judges: WeakKeyDictionary[Meaning, _Judge] = WeakKeyDictionary()

    def read(
        self,
        texts: Sequence[str],
        candidates: Sequence[Described],
        meaning: Meaning,
        named: bool = False,
        asking: Asking = NOTHING_SAID,
    ) -> list[list[Evidence]]:
        """Evidence for every candidate, per text, all measured here; all candidates' relations are rivals.

        `named`: the caller vouches that the candidates' subjects are meant. `asking`: see service.serving.examples.
        """
        asked = self._embedder.embed([query_text(text) for text in texts])
        known = self._embedder.embed([key_text(item.relation, item.subject) for item in candidates])
        dense = (asked @ known.T).clip(0.0, 1.0)
        questions = [Question(text) for text in texts]
        covers = [question.score(candidates) for question in questions]
        if named:
            covers = [[Cover(1.0, cover.relation) for cover in row] for row in covers]
        relations = dict.fromkeys(item.relation for item in candidates)
        meanings = self.meanings(questions, candidates, covers, meaning, asking, list(relations))
        return [
            [
                Evidence(cover.subject, cover.relation, float(similarity), fit)
                for cover, similarity, fit in zip(*row, strict=True)
            ]
            for row in zip(covers, dense, meanings, strict=True)
        ]

    def meanings(
        self,
        questions: Sequence[Question],
        candidates: Sequence[Described],
        covers: Sequence[Sequence[Cover]],
        meaning: Meaning,
        asking: Asking = NOTHING_SAID,
        rivals: Sequence[str] = (),
    ) -> list[list[float]]:
        """How well each candidate's relation fits what each text says of the candidate's subject. `rivals`: relations
        that the text may ask for instead, of whomever they are stored."""
        texts: dict[str, int] = {}
        wanted: list[tuple[int, int, list[int]]] = []
        for row, (question, row_covers) in enumerate(zip(questions, covers, strict=True)):
            said: dict[tuple[str, tuple[str, ...]], list[int]] = {}
            for place, (item, cover) in enumerate(zip(candidates, row_covers, strict=True)):
                if cover.subject < MIN_SUBJECT_COVER:
                    continue
                subject = (item.subject, tuple(item.aliases))
                if subject not in said:
                    said[subject] = [
                        texts.setdefault(_tail(text), len(texts)) for text in question.about(*subject)
                    ]
                wanted.append((row, place, said[subject]))
        found = [[FLOOR] * len(candidates) for _ in questions]
        if not wanted:
            return found
        names = list(dict.fromkeys(candidates[place].relation for _, place, _ in wanted))
        column = {name: place for place, name in enumerate(names)}
        of_interest: list[dict[int, None]] = [{} for _ in texts]
        for _, place, rows in wanted:
            for text in rows:
                of_interest[text][column[candidates[place].relation]] = None
        fits = self._judge(meaning).fits(
            list(texts),
            _described(names, asking),
            _described(rivals, asking),
            [list(own) for own in of_interest],
        )
        for row, place, rows in wanted:
            found[row][place] = max(fits[text][column[candidates[place].relation]] for text in rows)
        return found

    def prepare(self, meaning: Meaning) -> None:
        """Loads what this judge reads with, so that no question has to wait for it."""
        self._judge(meaning)

    def read_ahead(
        self, relations: Sequence[str], meaning: Meaning, asking: Asking, go_on: Callable[[], bool]
    ) -> None:
        """Reads the names that no question has met yet, so that none has to wait for them. `go_on` is asked before
        every few of them, and may wait."""
        self._judge(meaning).read_ahead(_described(relations, asking), go_on)

    def _judge(self, meaning: Meaning) -> _Judge:
        return self._judges.get(meaning) or self._judges.setdefault(meaning, _Judge(self._embedder, meaning))


class _Judge:
    """Judges by meaning. Relations come again: kept. May be used from any thread."""

    def __init__(self, embedder: Embedder, meaning: Meaning) -> None:
        self._vectors, self._closer = judging(embedder, meaning)
        self._meaning = copy(meaning)
        self._kept: dict[Relation, Tensor] = {}

    def fits(
        self,
        texts: Sequence[str],
        relations: Sequence[Relation],
        rivals: Sequence[Relation],
        of_interest: Sequence[Sequence[int]],
    ) -> list[list[float]]:
        """[texts][relations]. `of_interest`: of each text, the relations that are looked at closer."""
        known = self._known([*relations, *rivals])
        fits = self._meaning(self._vectors.texts(texts), known[: len(relations)], known[len(relations) :])
        found: list[list[float]] = fits.tolist()
        if self._closer is not None:
            self._look_closer(self._closer, found, texts, relations, of_interest)
        return found

    def _look_closer(
        self,
        look: CloserLook,
        fits: list[list[float]],
        texts: Sequence[str],
        relations: Sequence[Relation],
        of_interest: Sequence[Sequence[int]],
    ) -> None:
        """Each relation by its name and by the texts that ask for it; what fits best stands for it."""
        known = [(spoken(name), *examples) for name, examples in relations]
        sheets = []
        for text, row, own in zip(texts, fits, of_interest, strict=True):
            likeliest = sorted(
                own, key=row.__getitem__, reverse=True
            )  # long sheets are cut: the best stay together
            sheets.append((text, [(place, words) for place in likeliest for words in known[place]]))
        read = look([(text, tuple(words for _, words in named)) for text, named in sheets])
        for row, (_, named), odds in zip(fits, sheets, read, strict=True):
            best: dict[int, float] = {}
            for (place, _), each in zip(named, odds, strict=True):
                best[place] = max(best.get(place, each), each)
            for place, each in best.items():
                row[place] = weighed(row[place], each)

    def read_ahead(self, relations: Sequence[Relation], go_on: Callable[[], bool]) -> None:
        """As many as there is room for: those that questions have met stay."""
        missing = [relation for relation in dict.fromkeys(relations) if relation not in self._kept]
        for start in range(0, len(missing), _AHEAD):
            batch = missing[start : start + _AHEAD]
            if len(self._kept) + len(batch) > _MOST_RELATIONS or not go_on():
                return
            self._known(batch)

    def _known(self, relations: Sequence[Relation]) -> Tensor:
        """Those that are new are read together: one by one each would cost a run of the models."""
        kept = self._kept
        if missing := [relation for relation in dict.fromkeys(relations) if relation not in kept]:
            # Another one, not changed in place: who looks into the old one meanwhile finds what it has seen there.
            old = kept if len(kept) + len(missing) <= _MOST_RELATIONS else {}
            wanted = {relation: kept[relation] for relation in relations if relation in kept}
            kept = {**old, **wanted, **dict(zip(missing, self._vectors.relations(missing), strict=True))}
            self._kept = kept
        return torch.stack([kept[relation] for relation in relations])


def scorer(embedder: Embedder, asking: Asking = NOTHING_SAID) -> Scorer:
    """Evidence as training asks for it. `asking`: how some relations are asked for."""
    reader = EvidenceReader(embedder)

    def score(prompts: Sequence[str], facts: Sequence[FactText], meaning: Meaning) -> list[list[Evidence]]:
        candidates = [Candidate(fact.subject, fact.relation) for fact in facts]
        return reader.read(prompts, candidates, meaning, asking=asking)

    return score


def _described(relations: Sequence[str], asking: Asking) -> list[Relation]:
    return [(name, asking.get(key_of(name), ())) for name in relations]


def _tail(text: str) -> str:
    return " ".join(text.split()[-_MOST_WORDS:])
