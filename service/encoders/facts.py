"""What a namespace has to calibrate on: facts, and how it says they are asked for."""

from __future__ import annotations

import random
from datetime import UTC, datetime

from kb_store.contract import Store
from kb_store.errors import WrongState

_PAGE = 1000
_MOST_FACTS, _READ_FACTS = 2000, 20_000


def sample_of_facts(store: Store, namespace: str, seed: int) -> list[list[str]]:
    """Subject, relation and object of facts that hold now; by chance where there are many. Blocks.

    NotFound without the namespace, WrongState when it has no facts.
    """
    now = datetime.now(UTC)
    found: list[list[str]] = []
    after: int | None = 0
    while after is not None and len(found) < _READ_FACTS:
        page = store.list_facts(namespace, limit=_PAGE, after=after)
        held = [fact.content for fact in page.facts if fact.holds_at(now)]
        found += [[content.subject, content.relation, content.object] for content in held]
        after = page.next_after
    if not found:
        name = f"namespaces/{namespace}"
        raise WrongState(f"{name} has no facts to calibrate on", kind="namespace", name=name)
    chance = random.Random(f"facts/{seed}")  # noqa: S311 - to be repeatable
    return chance.sample(found, min(len(found), _MOST_FACTS))


def examples_of(store: Store, namespace: str) -> dict[str, list[str]]:
    """By relation. Blocks."""
    space = store.get_namespace(namespace)
    return {item.relation: list(item.examples) for item in space.relation_examples}
