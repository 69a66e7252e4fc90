"""Questions that somebody has read and answered by hand: which of the stored relations of its subject each asks for.

    python -m bench.reader_questions draw FOLDER     # questions.txt to be read, items.jsonl with what was meant
    python -m bench.reader_questions join FOLDER     # with answers.json, {"0": 3, "1": 0, ...}: bench/reader.jsonl.gz

The questions are drawn as `bench.encoder` draws them, of another seed. In questions.txt the relations are numbered
from 1; the answer 0 says that none of them is asked for. What was meant is not in that file.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.encoder_questions import Asker, Case
from bench.encoder_world import InventedWorld, invented_world
from bench.service_run import tokenizer_of
from editors.kv.phrases import load

READ = Path(__file__).with_name("reader.jsonl.gz")
_SEED, _FACTS, _EACH = 11, 10_000, 100
_PRESENT = ("right_phrasing", "right_relation", "right_chat")
_ABSENT = "absent_same_subject"


@dataclass(frozen=True, slots=True)
class Item:
    """`facts`: relation and object of all that is stored of the subject; `wanted`: the relation that is asked for;
    `picked`: the stored one that the reader took it to ask for."""

    cell: str
    prompt: str
    chat: bool
    subject: str
    facts: tuple[tuple[str, str], ...]
    wanted: str
    picked: str | None = None

    @property
    def stored(self) -> bool:
        """Whether what is asked for is there."""
        return any(relation == self.wanted for relation, _ in self.facts)


def draw(world: InventedWorld, asker: Asker, each: int, rng: random.Random) -> list[Item]:
    """In an order that tells nothing."""
    subjects = {subject.name: subject.facts for subject in world.subjects}
    present = asker.present(each)
    cases: list[Case] = [case for cell in _PRESENT for case in present[cell]]
    cases += asker.absent(each)[_ABSENT]
    items = []
    for case in cases:
        facts = [(fact.relation.name, fact.object) for fact in subjects[case.subject]]
        rng.shuffle(facts)
        wanted = case.facts[0].relation.name
        items.append(Item(case.cell, case.prompt, case.chat, case.subject, tuple(facts), wanted))
    rng.shuffle(items)
    return items


def to_be_read(items: Sequence[Item]) -> str:
    """The questions and what is stored, and nothing else."""
    parts = []
    for number, item in enumerate(items):
        names = "; ".join(f"{place}={relation}" for place, (relation, _) in enumerate(item.facts, 1))
        parts.append(f"#{number}\nTEXT: {item.prompt}\nSTORED: {names}\n")
    return "\n".join(parts)


def join(items: Sequence[Item], answers: dict[str, int]) -> list[Item]:
    """ValueError where an answer is missing or names a relation that is not there."""
    read = []
    for number, item in enumerate(items):
        answer = answers.get(str(number))
        if answer is None or not 0 <= answer <= len(item.facts):
            raise ValueError(f"question {number}: no answer, or none of 0 to {len(item.facts)}")
        picked = item.facts[answer - 1][0] if answer else None
        read.append(Item(**(_fields(item) | {"picked": picked})))
    return read


def save(items: Sequence[Item], path: Path) -> None:
    """The same bytes for the same items."""
    text = "".join(json.dumps(asdict(item), ensure_ascii=False) + "\n" for item in items)
    data = text.encode()
    path.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)


def load_items(path: Path = READ) -> list[Item]:
    """As they were saved."""
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
    items = []
    for line in text.splitlines():
        fields = json.loads(line)
        items.append(
            Item(**(fields | {"facts": tuple((relation, told) for relation, told in fields["facts"])}))
        )
    return items


def _fields(item: Item) -> dict[str, Any]:
    return {name: getattr(item, name) for name in Item.__slots__}


def main(argv: Sequence[str] | None = None) -> None:
    """Runs a command."""
    parser = argparse.ArgumentParser(prog="bench.reader_questions", description=__doc__)
    parser.add_argument("what", choices=("draw", "join"))
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args(argv)
    folder: Path = arguments.folder
    if arguments.what == "join":
        answers = json.loads((folder / "answers.json").read_text())
        save(join(load_items(folder / "items.jsonl"), answers), READ)
        return
    folder.mkdir(parents=True, exist_ok=True)
    bank = load()
    world = invented_world(bank, _FACTS, _SEED)
    asker = Asker(world, bank, tokenizer_of("default"), _SEED)
    items = draw(world, asker, _EACH, random.Random(_SEED))
    save(items, folder / "items.jsonl")
    (folder / "questions.txt").write_text(to_be_read(items))


if __name__ == "__main__":
    main()
