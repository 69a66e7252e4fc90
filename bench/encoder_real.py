"""The seed table: true facts of the built-in bank as they are, permuted within their relation, and changed.

Asked are subjects on the held-out side by their names, in the bank's own phrasings. The model knows some of these
facts by itself (`none`), so following a wrong one, and giving up the truth for it, can be seen.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench.answers import says_first
from bench.common import Bench
from bench.encoder_asking import ABSENT_TOKENS, Asking, Record
from bench.service_run import Ask, Service
from editors.kv.phrases import is_held_out
from interleaf import Answer
from kb_store.factbank import RelationInfo, load_facts_with_relation
from kb_store.model import Content

_ROOM = 24  # tokens: more than any object of the bank that is asked for


@dataclass(frozen=True, slots=True)
class RealFact:
    """A true fact and its relation."""

    info: RelationInfo
    content: Content

    def changed(self, value: str) -> RealFact:
        """The same with another object."""
        return replace(self, content=replace(self.content, object=value))


class RealWorld:
    """`count` built-in facts, of which `asked` are asked for."""

    def __init__(self, count: int, asked: int, seed: int) -> None:
        self._random = random.Random(f"bench/encoder/real/{seed}")
        everything = [
            RealFact(info, content)
            for info, content in load_facts_with_relation()
            if info.single_valued and info.templates
        ]
        self._random.shuffle(everything)
        others = [fact for fact in everything if not is_held_out(fact.content.subject)]
        self.asked = [fact for fact in everything if is_held_out(fact.content.subject)][:asked]
        self.facts = [*self.asked, *others[: count - len(self.asked)]]
        self._objects: dict[str, list[str]] = {}
        for fact in everything:
            self._objects.setdefault(fact.info.relation_id, []).append(fact.content.object)
        self._rest: dict[str, list[RealFact]] = {}
        for fact in everything:
            self._rest.setdefault(fact.content.subject, []).append(fact)

    def prompt(self, fact: RealFact) -> str:
        """The same for the same fact always."""
        chosen = random.Random(f"{fact.info.relation_id}/{fact.content.subject}").choice(fact.info.templates)
        return chosen.replace("{s}", fact.content.subject)

    def shuffled(self) -> list[RealFact]:
        """Every fact with another's object: the objects of a relation move on by one place among those that
        differ; a relation with a single object keeps it."""
        moved: dict[int, str] = {}
        by_relation: dict[str, list[int]] = {}
        for place, fact in enumerate(self.facts):
            by_relation.setdefault(fact.info.relation_id, []).append(place)
        for places in by_relation.values():
            ordered = sorted(places, key=lambda place: self.facts[place].content.object)
            values = [self.facts[place].content.object for place in ordered]
            # Sorted, and turned by the size of the largest group: no group meets itself.
            turn = max(values.count(value) for value in set(values))
            moved |= {place: values[(i + turn) % len(values)] for i, place in enumerate(ordered)}
        return [fact.changed(moved[place]) for place, fact in enumerate(self.facts)]

    def changed(self, facts: Sequence[RealFact]) -> list[RealFact]:
        """These facts with an object that is another's in truth."""
        return [fact.changed(self._other(fact)) for fact in facts]

    def other_relations(self, count: int) -> list[tuple[RealFact, RealFact]]:
        """A fact and a fact of another relation about the same subject."""
        pairs = []
        for facts in self._rest.values():
            if len({fact.info.relation_id for fact in facts}) > 1 and is_held_out(facts[0].content.subject):
                for fact in facts:
                    others = [other for other in facts if other.info.relation_id != fact.info.relation_id]
                    pairs.append((fact, self._random.choice(others)))
        self._random.shuffle(pairs)
        once: dict[str, tuple[RealFact, RealFact]] = {}
        for pair in pairs:
            once.setdefault(f"{pair[0].content.subject}/{pair[0].info.relation_id}", pair)
        return list(once.values())[:count]

    def _other(self, fact: RealFact) -> str:
        values = sorted(set(self._objects[fact.info.relation_id]) - {fact.content.object})
        return self._random.choice(values) if values else fact.content.object


async def measure_real(
    bench: Bench, service: Service, asking: Asking, record: Record, facts: int, asked: int
) -> None:
    """`none`, `right_real`, `shuffled_follows`, `shuffled_truth`, `counterfactual`, `other_relation_unchanged`."""
    world = RealWorld(facts, asked, bench.seed)
    changed = world.changed(world.asked)
    stored = {
        "real": world.facts,
        "real-shuffled": world.shuffled(),
        "real-changed": [*changed, *world.facts[len(changed) :]],
    }
    answers: dict[str, list[Answer]] = {}
    for namespace, held in stored.items():
        with bench.stage(f"{namespace}: {len(held)} facts"):
            await service.store(namespace, [fact.content for fact in held])
            answers[namespace] = await _answers(service, namespace, world, world.asked)
    none = await _answers(service, "real", world, world.asked, use_facts=False)
    truth = [fact.content.object for fact in world.asked]
    wrong = [fact.content.object for fact in stored["real-shuffled"][: len(truth)]]
    moved = [place for place, (true, false) in enumerate(zip(truth, wrong, strict=True)) if true != false]
    _share(record, world, "none", none, truth)
    _share(record, world, "right_real", answers["real"], truth)
    shuffled = [answers["real-shuffled"][place] for place in moved]
    _share(record, world, "shuffled_follows", shuffled, [wrong[place] for place in moved], moved)
    _share(record, world, "shuffled_truth", shuffled, [truth[place] for place in moved], moved)
    _share(record, world, "none_shuffled", [none[place] for place in moved], [truth[p] for p in moved], moved)
    new = [fact.content.object for fact in changed]
    _share(record, world, "counterfactual", answers["real-changed"], new)
    _share(record, world, "counterfactual_none", none, new)
    await _other_relations(bench, service, record, world, asked)


async def _answers(
    service: Service, namespace: str, world: RealWorld, facts: Sequence[RealFact], *, use_facts: bool = True
) -> list[Answer]:
    return await service.ask_all(
        [Ask(namespace, world.prompt(fact), _ROOM, use_facts=use_facts) for fact in facts]
    )


def _share(
    record: Record,
    world: RealWorld,
    name: str,
    answers: Sequence[Answer],
    values: Sequence[str],
    places: Sequence[int] | None = None,
) -> None:
    asked = world.asked if places is None else [world.asked[place] for place in places]
    said = [says_first(answer.text, value) for answer, value in zip(answers, values, strict=True)]
    record.share(name, said, [fact.info.relation_id for fact in asked])
    record.keep(
        [
            {"cell": name, "prompt": world.prompt(f), "objects": [value], "answer": a.text, "good": good}
            for f, a, value, good in zip(asked, answers, values, said, strict=True)
        ]
    )


async def _other_relations(
    bench: Bench, service: Service, record: Record, world: RealWorld, asked: int
) -> None:
    """One relation of a subject is changed; what is asked about is another, of which nothing is stored."""
    pairs = world.other_relations(asked)
    questions = [other for _, other in pairs]
    edits = {
        (fact.content.subject, fact.content.relation): fact for fact in world.changed([f for f, _ in pairs])
    }
    free = [other for other in questions if (other.content.subject, other.content.relation) not in edits]
    with bench.stage("edits of another relation"):
        await service.store("real-edited", [fact.content for fact in edits.values()])
        asks = [Ask("real-edited", world.prompt(fact), ABSENT_TOKENS) for fact in free]
        edited = await service.ask_all(asks)
        plain = await service.ask_all([replace(ask, use_facts=False) for ask in asks])
    same = [a.text == b.text for a, b in zip(edited, plain, strict=True)]
    record.share("other_relation_unchanged", same, [fact.info.relation_id for fact in free])
    record.keep(
        [
            {"cell": "other_relation", "prompt": ask.prompt, "plain": b.text, "answer": a.text, "good": good}
            for ask, a, b, good in zip(asks, edited, plain, same, strict=True)
        ]
    )
