"""Makes the judge of what a text asks for: the embedder is taught, the model's states are mapped, the background read.

Nothing of it depends on facts, and the embedder's part not on the model either: where an encoder that is shipped was
taught just so, its embedder is taken. What an interrupted run has made already is taken from its folder.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from editors.kv.closer_teaching import CloserSettings, teach_closer
from editors.kv.matching import MatchSettings, match_relations
from editors.kv.meaning import Meaning
from editors.kv.phrases import PhraseBank
from editors.kv.state_matching import StateMatchSettings, match_states
from editors.kv.states import StateMaps, bind_to_model, state_layers
from editors.kv.storage import load_changes, load_closer, write_tensors
from editors.kv.trained import SHIPPED
from engines.architectures import spec_for
from engines.embedder import SentenceEmbedder
from engines.reader import reader_path
from kb_store.scoring import Question
from service.encoders.background import background
from service.serving.judging import JudgeVectors

Report = Callable[[str, float], None]


def teach_judge(
    model: Any,
    tokenizer: Any,
    embedder: SentenceEmbedder,
    bank: PhraseBank,
    matching: MatchSettings,
    states: StateMatchSettings,
    closer: CloserSettings,
    folder: Path,
    report: Report,
    taught: Path | None = None,
) -> Meaning:
    """Bound to the model. `embedder`: retrieval's, which is taught where the settings name no other reader. `taught`:
    an encoder whose embedder is taken as it is, see `taught_alike`, and what looks closer, where that was too."""
    folder.mkdir(parents=True, exist_ok=True)
    if matching.reader:
        embedder = SentenceEmbedder.load(reader_path(matching.reader))
    if taught:
        changes = load_changes(taught)
    else:
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
    meaning.reader, meaning.changes = matching.reader, changes
    if taught and closer_alike(taught, closer):
        meaning.closer = load_closer(taught)
    else:
        meaning.closer = _closer(embedder, changes, bank, matching, closer, folder, report)
    return meaning


def taught_alike(
    embedder: SentenceEmbedder, bank: PhraseBank, settings: MatchSettings, shipped: Path = SHIPPED
) -> Path | None:
    """The folder of a shipped encoder whose embedder was taught on the same bank by the same settings."""
    if settings.afresh or not settings.steps:
        return None
    for path in sorted(shipped.glob("*/manifest.json")):
        manifest = json.loads(path.read_text(encoding="utf-8"))
        data = {"phrases": bank.digest, "embedder": embedder.digest}
        same_settings = _teaching(settings).items() <= manifest["recipe"]["matching"].items()
        if same_settings and data.items() <= manifest["data"].items():
            return path.parent
    return None


def closer_alike(taught: Path, settings: CloserSettings) -> bool:
    """Whether what looks closer was taught by the same settings to this encoder, whose embedder is taken."""
    manifest = json.loads((taught / "manifest.json").read_text(encoding="utf-8"))
    return bool(settings.steps) and manifest["recipe"].get("closer") == asdict(settings)


def _teaching(settings: MatchSettings) -> dict[str, Any]:
    """What decides how the embedder is taught."""
    return {name: value for name, value in asdict(settings).items() if name not in ("recalled", "afresh")}


def _changes(
    embedder: SentenceEmbedder, bank: PhraseBank, settings: MatchSettings, path: Path, report: Report
) -> dict[str, Tensor]:
    """To the embedder."""
    if not settings.steps:
        return {}
    if path.is_file():
        return load_file(path)
    half_way = path.with_name("matching.safetensors")
    changes = match_relations(
        embedder.model,
        embedder.encode,
        bank,
        _about,
        settings,
        lambda share: report("matching", share),
        half_way,
    )
    write_tensors(changes, path)
    half_way.unlink(missing_ok=True)
    return changes


def _closer(
    embedder: SentenceEmbedder,
    changes: dict[str, Tensor],
    bank: PhraseBank,
    matching: MatchSettings,
    settings: CloserSettings,
    folder: Path,
    report: Report,
) -> dict[str, Tensor]:
    """What looks closer; nothing where no steps are asked for."""
    if not settings.steps:
        return {}
    path, half_way = folder / "closer.safetensors", folder / "looking.safetensors"
    if path.is_file():
        return load_file(path)
    made = teach_closer(
        embedder,
        changes,
        bank,
        _about,
        matching,
        settings,
        lambda share: report("looking closer", share),
        half_way,
    )
    write_tensors(made, path)
    half_way.unlink(missing_ok=True)
    return made


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
