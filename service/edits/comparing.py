"""Comparing methods of editing on the same facts, as plain values that can be sent to another process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from service.encoders.jobs import Cancelled, Note, stages

if TYPE_CHECKING:
    from editors.comparison.contenders import Contender
    from editors.metrics.counterfact import EditCase
    from editors.metrics.portability import Hop, Step
    from editors.weights.contract import Means
    from editors.weights.model import EditableModel

KV = "kv"
METHODS = ("rrome", "rome", "ft_m", "ft_l", "memit", KV)
_HOPS = 3  # for each case at most


@dataclass(frozen=True, slots=True)
class CompareJob:
    """`cases` as `edit_shelf.case_values` gives them; `encoder` is a folder, empty where there is none."""

    lab: Mapping[str, Any]  # of Lab
    methods: Sequence[str]
    cases: Sequence[Mapping[str, Any]]
    encoder: str = ""
    calibration: str = ""
    circuits: bool = False

    def run(self, note: Note, cancelled: Cancelled) -> dict[str, Any]:
        """`methods`, `left_out`, `svg`: as interleaf.v1.EditComparison."""
        from editors.comparison.compare import compare
        from editors.comparison.picture import picture
        from service.edits.circuits import CircuitFinder
        from service.edits.jobs import Lab
        from service.edits.shelf import case_of

        stage = stages(note, cancelled)
        editable, means = Lab(**self.lab).set_up(stage)
        cases = [case_of(values) for values in self.cases]
        contenders, left_out = self._contenders(editable, means, cases)
        hops = {at: hops_of(case) for at, case in enumerate(cases)}
        needed = CircuitFinder(editable) if self.circuits else None
        found = compare(editable, contenders, cases, stage, hops, needed)
        return {"methods": found.methods, "left_out": left_out, "svg": picture(found)}

    def _contenders(
        self, editable: EditableModel, means: Means, cases: Sequence[EditCase]
    ) -> tuple[list[Contender], dict[str, str]]:
        """Those that can take part, and why the others cannot."""
        from editors.comparison.contenders import WeightEdit
        from editors.weights.errors import EditError
        from editors.weights.methods import named_method
        from editors.weights.session import measured_settings

        contenders: list[Contender] = []
        left_out: dict[str, str] = {}
        for name in self.methods:
            try:
                if name == KV:
                    contenders.append(self._facts(editable, cases))
                else:
                    method, _ = named_method(name)
                    settings = measured_settings(editable.digest, method, {})
                    contenders.append(WeightEdit(editable, name, settings, means))
            except EditError as error:
                left_out[name] = str(error)
        return contenders, left_out

    def _facts(self, editable: EditableModel, cases: Sequence[EditCase]) -> Contender:
        from editors.kv.trained import load_encoder
        from editors.weights.errors import InvalidEdit, Unmeasured
        from engines.embedder import SentenceEmbedder
        from service.edits.fact_contender import FactContender

        if not self.encoder:
            raise Unmeasured("the server's model has no encoder")
        if not all(case.request.relation for case in cases):
            raise InvalidEdit("relation", "not every fact has one")
        calibration = Path(self.calibration) if self.calibration else None
        encoder = load_encoder(self.encoder, "", calibration)
        return FactContender(editable, encoder, SentenceEmbedder.load())


def hops_of(case: EditCase) -> list[Hop]:
    """What follows from an edit by the built-in facts; none where its relation is not named."""
    from editors.metrics.portability import hop_of

    if not case.request.relation:
        return []
    found = [hop_of(case, case.request.relation, step) for step in _steps()]
    return [hop for hop in found if hop is not None][:_HOPS]


@cache
def _steps() -> list[Step]:
    """The built-in single-valued relations as ways to go on."""
    from editors.metrics.portability import Step
    from kb_store.factbank import load_facts_with_relation, relations

    facts: dict[str, dict[str, str]] = {}
    for info, content in load_facts_with_relation():
        if info.single_valued:
            facts.setdefault(info.relation_id, {})[content.subject] = content.object
    return [
        Step(f"The {info.name} of {{s}} is", facts[info.relation_id])
        for info in relations()
        if info.relation_id in facts
    ]
