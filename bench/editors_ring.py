"""Who takes part in the editors' benchmark: methods with the settings that were measured for the model, and facts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.common import Bench
from editors.comparison.contenders import Contender
from editors.weights.contract import Editor, Means
from editors.weights.errors import Unmeasured
from editors.weights.methods import make_editor, named_method
from editors.weights.model import EditableModel
from editors.weights.specs import spec_of

# What keys are called, and the method's own name.
RIVALS = {"rome": "rome", "rrome": "rrome", "ftl": "ft_l", "ftm": "ft_m", "memit": "memit", "kv": "kv"}
KV = "kv"


@dataclass(frozen=True)
class Ring:
    """`settings`: of the methods whose layer was measured on the model, by the name in keys."""

    editable: EditableModel
    means: Means
    settings: Mapping[str, Mapping[str, Any]]
    facts: Contender | None = None  # kv, where the model has an encoder
    facts_digest: str = ""

    @property
    def names(self) -> list[str]:
        """In the order of RIVALS."""
        there = {*self.settings, *([KV] if self.facts else [])}
        return [name for name in RIVALS if name in there]

    def editor(self, name: str, **changes: Any) -> Editor:
        """With its settings, or some of them changed."""
        base, fixed = named_method(RIVALS[name])
        return make_editor(base, {**self.settings[name], **fixed, **changes})

    def row(self, what: str, name: str) -> str:
        """The beginning of a kept row's name: other settings make other rows."""
        if name not in self.settings:
            return f"{what}/{name}/{self.facts_digest if name == KV else ''}"
        settings = json.dumps(dict(self.settings[name]), sort_keys=True, default=list)
        return f"{what}/{name}/{hashlib.sha256(settings.encode()).hexdigest()[:12]}"


def settings_of(bench: Bench, digest: str, methods: list[str], specs: Path) -> dict[str, Mapping[str, Any]]:
    """Of those whose layer was measured; the others are named in the log."""
    found: dict[str, Mapping[str, Any]] = {}
    for name in methods:
        if name == KV:
            continue
        try:
            found[name] = spec_of(digest, specs).settings(named_method(RIVALS[name])[0])
        except Unmeasured as error:
            bench.log(f"{name}: {error}")
    return found


def facts_beside(bench: Bench, editable: EditableModel, model: str) -> tuple[Contender | None, str]:
    """Facts as served, but one at a time, and the encoder's digest; None for a model without a shipped encoder."""
    from editors.kv.trained import load_encoder
    from engines.embedder import SentenceEmbedder
    from service.edits.fact_contender import FactContender

    try:
        encoder = load_encoder("default", model)
    except FileNotFoundError as error:
        bench.log(f"kv: {error}")
        return None, ""
    return FactContender(editable, encoder, SentenceEmbedder.load()), encoder.digest
