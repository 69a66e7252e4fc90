"""Teaches the closer look (editors/kv/closer.py) from the phrase bank: texts, and the relations of the same kind of
subject that may be stored of it, with the one that is asked for among them or not."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from editors.kv.closer import AT_ONCE, Closer, Sheet, closer_tensors
from editors.kv.contract import spoken
from editors.kv.low_rank import low_rank, tiles
from editors.kv.matching import Draw, MatchSettings
from editors.kv.moments import keep, resumed
from editors.kv.phrases import PhraseBank, Relation
from engines.embedder import SentenceEmbedder

About = Callable[[str, str], Sequence[str]]

_CHECKPOINT_EVERY = 25  # steps: a minute
_NEAREST = 24  # by name: the near rivals are drawn from these
_HEAD = 1e-2  # learning rate of the bias


@dataclass(frozen=True, slots=True)
class CloserSettings:
    """The defaults are the recipe of the shipped encoder."""

    steps: int = 1000  # 0: no closer look is taken
    batch: int = 32  # texts
    rank: int = 32
    learning_rate: float = 7e-4
    warmup: int = 20
    absent: float = 0.4  # of the texts, those whose relation is not among the names
    near: float = 0.4  # of the rivals, those with a name like it
    by_example: float = 0.15  # how often a relation is known by a text that asks for it, not by its name
    seed: int = 0


def teach_closer(
    embedder: SentenceEmbedder,
    changes: Mapping[str, Tensor],
    bank: PhraseBank,
    about: About,
    matching: MatchSettings,
    settings: CloserSettings,
    progress: Callable[[float], None] = lambda share: None,
    checkpoint: Path | None = None,
) -> dict[str, Tensor]:
    """As `CloserLook` takes it. It begins with the `changes` that were taught to `embedder`, which stays as it was."""
    torch.manual_seed(settings.seed)
    begun = embedder.adapted(changes)
    lessons = _Lessons(begun, bank, about, matching, settings)
    head = Closer(begun.dimension)
    with low_rank(begun.model, settings.rank) as more:
        named: dict[str, Tensor] = {**more, **dict(head.named_parameters())}
        optimiser = torch.optim.AdamW(
            [
                {"params": [value for name, value in named.items() if name != "bias"], "weight_decay": 0.01},
                {"params": [head.bias], "weight_decay": 0.0, "base": _HEAD},
            ],
            lr=settings.learning_rate,
        )
        for step in range(resumed(checkpoint, optimiser, named), settings.steps):
            factor = min(1.0, (step + 1) / settings.warmup)
            factor *= 0.05 + 0.475 * (1 + math.cos(math.pi * step / settings.steps))
            for group in optimiser.param_groups:
                group["lr"] = group.get("base", settings.learning_rate) * factor
            sheets, asked = lessons.lesson(random.Random(f"closer/{settings.seed}/{step}"))
            with torch.autocast("cpu", torch.bfloat16, enabled=tiles()):
                judged = head(begun.model, begun.tokenizer, sheets)
            optimiser.zero_grad(set_to_none=True)
            closer_loss(judged, asked).backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(list(more.values()), 1.0)
            optimiser.step()
            if checkpoint and (step + 1) % _CHECKPOINT_EVERY == 0:
                keep(checkpoint, optimiser, named, step + 1)
            progress((step + 1) / settings.steps)
        return closer_tensors(head, _joined(changes, more))


def closer_loss(judged: Sequence[Tensor], asked: Sequence[int | None]) -> Tensor:
    """Which of the names, or none; and of each by itself, whether it is asked for."""
    parts = []
    for row, place in zip(judged, asked, strict=True):
        choices = torch.cat([row, row.new_zeros(1)])
        right = torch.tensor(len(row) if place is None else place)
        wanted = torch.zeros_like(row)
        if place is not None:
            wanted[place] = 1.0
        parts.append(
            F.cross_entropy(choices, right)
            + 0.5 * F.binary_cross_entropy_with_logits(row, wanted, reduction="sum")
        )
    return torch.stack(parts).mean()


class _Lessons:
    """Sheets, and the place of the name that is asked for; none where it is not there."""

    def __init__(
        self,
        embedder: SentenceEmbedder,
        bank: PhraseBank,
        about: About,
        matching: MatchSettings,
        settings: CloserSettings,
    ) -> None:
        self._draw, self._settings = Draw(bank, about, matching), settings
        self._near: dict[str, tuple[list[Relation], list[Relation]]] = {}
        for known in self._draw.kinds.values():
            vectors = torch.from_numpy(embedder.embed([spoken(relation.name) for relation in known]))
            order = (vectors @ vectors.T).argsort(dim=-1, descending=True)
            for relation, row in zip(known, order.tolist(), strict=True):
                rivals = [known[place] for place in row if known[place] is not relation]
                self._near[relation.name] = rivals[:_NEAREST], rivals[_NEAREST:]

    def lesson(self, rng: random.Random) -> tuple[list[Sheet], list[int | None]]:
        """One batch."""
        sheets, places = [], []
        for _ in range(self._settings.batch):
            asked = rng.choice(self._draw.relations)
            there = self._rivals(asked, rng)
            if not there or rng.random() >= self._settings.absent:
                there.append(asked)
            rng.shuffle(there)
            text = self._draw.text(rng, asked)
            sheets.append((text, tuple(self._known_by(item, rng, text) for item in there)))
            places.append(there.index(asked) if asked in there else None)
        return sheets, places

    def _rivals(self, asked: Relation, rng: random.Random) -> list[Relation]:
        near, far = self._near[asked.name]
        count = rng.randrange(1, AT_ONCE)
        from_near = sum(rng.random() < self._settings.near for _ in range(count))
        chosen = rng.sample(near, min(from_near, len(near)))
        return chosen + rng.sample(far, min(count - len(chosen), len(far)))

    def _known_by(self, relation: Relation, rng: random.Random, text: str) -> str:
        if rng.random() < self._settings.by_example and (like := self._draw.text(rng, relation)) != text:
            return like
        return spoken(self._draw.name(rng, relation))


def _joined(changes: Mapping[str, Tensor], more: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Both changes in one: what is added to a map is the sum of both."""
    joined = {}
    for name, value in more.items():
        before = changes.get(name)
        axis = 0 if name.endswith(".down") else 1
        joined[name] = value if before is None else torch.cat([before.to(value.dtype), value], dim=axis)
    return joined
