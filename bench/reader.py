"""What is shown for a question, beside what a careful reader takes it to ask for: how far the judge is from what can be
known from the words alone.

    python -m bench.reader --size quick|full --seed N [--encoder FOLDER --model FOLDER]

400 questions (quick: a quarter, drawn by the seed) about invented subjects, a hundred of each kind: in phrasings never
seen, of relations never seen, chat, and such whose fact is not stored while others of the subject are. Somebody
has read each with the names of the relations that are stored of its subject, and said which of them it asks for, or
none (bench/reader_questions.py; a large language model that saw nothing else). All these subjects' facts are in one
namespace and each question is weighed by the service (WeighFacts). right_X: the fact that was meant is shown, and none
fits better; wrong_X: another one is; X is judge or reader. absent_wrong_X: one is shown although what is asked for is
not stored. CELL_X: right_X of one kind of question.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from typing import Any

from bench.common import Bench, share_keys
from bench.reader_questions import Item, load_items
from bench.service_run import Service, concurrently, model_arguments, running
from engines.models import resolve_model
from interleaf import Weighing, Weight
from kb_store.model import Content

_NAMESPACE = "reader"
_QUICK = 4  # one question in so many


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the benchmark."""
    bench = Bench("reader", description=__doc__ or "", argv=argv, add_arguments=model_arguments)
    every = load_items()
    items = every if bench.full else random.Random(bench.seed).sample(every, len(every) // _QUICK)
    shown = asyncio.run(_weighed(bench, items, stored(every)))
    picks = {"judge": shown, "reader": [item.picked for item in items]}
    bench.finish(
        figures(items, picks) | {"facts": len(stored(every))},
        n=len(items),
        model=resolve_model(bench.args.model).name,
        rows=[
            {"cell": item.cell, "prompt": item.prompt, "wanted": item.wanted}
            | {name: picked[place] for name, picked in picks.items()}
            for place, item in enumerate(items)
        ],
        configuration={"encoder": bench.args.encoder},
    )


def stored(items: Sequence[Item]) -> list[Content]:
    """All facts of the subjects that are asked about, each once."""
    return list(
        dict.fromkeys(
            Content(item.subject, relation, told) for item in items for relation, told in item.facts
        )
    )


def figures(items: Sequence[Item], picks: Mapping[str, Sequence[str | None]]) -> dict[str, Any]:
    """Of each of those who picked."""
    keys: dict[str, Any] = {}
    for who, picked in picks.items():
        pairs = list(zip(items, picked, strict=True))
        present = [(item, pick) for item, pick in pairs if item.stored]
        keys |= share_keys(f"right_{who}", [pick == item.wanted for item, pick in present])
        keys |= share_keys(f"wrong_{who}", [pick not in (None, item.wanted) for item, pick in present])
        keys |= share_keys(
            f"absent_wrong_{who}", [pick is not None for item, pick in pairs if not item.stored]
        )
        for cell in dict.fromkeys(item.cell for item, _ in present):
            keys |= share_keys(
                f"{cell}_{who}", [pick == item.wanted for item, pick in present if item.cell == cell]
            )
    return keys


async def _weighed(bench: Bench, items: Sequence[Item], contents: Sequence[Content]) -> list[str | None]:
    """What each question is shown, of several facts the one that fits best."""
    async with running(model=bench.args.model, encoder=bench.args.encoder) as service:
        with bench.stage(f"{len(contents)} facts"):
            await service.store(_NAMESPACE, contents)
        with bench.stage(f"{len(items)} questions"):
            return await concurrently(lambda item: _shown(service, item), items)


async def _shown(service: Service, item: Item) -> str | None:
    weighing: Weighing = await service.space(_NAMESPACE).weigh(item.prompt, complete=not item.chat)
    shown = [fact for fact in weighing.facts if fact.weight is Weight.SHOWN]
    if not shown:
        return None
    best = max(shown, key=lambda fact: fact.fit)
    return best.relation if best.subject == item.subject else f"{best.relation} of {best.subject}"


if __name__ == "__main__":
    main()
