"""Makes the judge of what a text asks for: the embedder is taught, the model's states are mapped, the background read.

Nothing of it depends on facts. What an interrupted run has made already is taken from its folder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from editors.kv.matching import MatchSettings, match_relations
from editors.kv.meaning import Meaning
from editors.kv.phrases import PhraseBank
from editors.kv.state_matching import StateMatchSettings, match_states
from editors.kv.states import StateMaps, bind_to_model, state_layers
from editors.kv.storage import write_tensors
from engines.architectures import spec_for
from engines.embedder import MiniLMEmbedder
from kb_store.scoring import Question
from service.encoders.background import background
from service.serving.judging import JudgeVectors

Report = Callable[[str, float], None]


def teach_judge(
    model: Any,
    tokenizer: Any,
    embedder: MiniLMEmbedder,
    bank: PhraseBank,
    matching: MatchSettings,
    states: StateMatchSettings,
    folder: Path,
    report: Report,
) -> Meaning:
    """Bound to the model."""
    folder.mkdir(parents=True, exist_ok=True)
    changes = _changes(embedder, bank, matching, folder / "embedder.safetensors", report)
    maps = _maps(model, tokenizer, bank, states, folder / "states.safetensors", report)
    bind_to_model(maps, model, tokenizer)
    vectors = JudgeVectors(embedder, changes, maps)
    meaning = background(
        bank,
        vectors,
        recalled=matching.recalled if matching.steps else 0,
        progress=lambda share: report("recalling", share),
    )
    meaning.changes = changes
    return meaning


def _changes(
    embedder: MiniLMEmbedder, bank: PhraseBank, settings: MatchSettings, path: Path, report: Report
) -> dict[str, Tensor]:
    """To the embedder."""
    if not settings.steps:
        return {}
    if path.is_file():
        return load_file(path)
    changes = match_relations(
        embedder.model, embedder.encode, bank, _about, settings, lambda share: report("matching", share)
    )
    write_tensors(changes, path)
    return changes


def _maps(
    model: Any, tokenizer: Any, bank: PhraseBank, settings: StateMatchSettings, path: Path, report: Report
) -> StateMaps | None:
    """Of the model's states; half precision, as they are kept."""
    if not settings.steps:
        return None
    if not path.is_file():
        made = match_states(model, tokenizer, bank, _about, settings, lambda share: report("states", share))
        write_tensors({name: value.half().contiguous() for name, value in made.state_dict().items()}, path)
    maps = StateMaps(spec_for(model).hidden, state_layers(model), settings.width)
    maps.load_state_dict({name: value.float() for name, value in load_file(path).items()})
    return maps


def _about(text: str, subject: str) -> Sequence[str]:
    return Question(text).about(subject)
