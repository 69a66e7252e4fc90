"""Which parts of a model say an edit's object, found anew for each method, and how many of them were needed before.

Compared with the unedited model's circuit for the old object behind the same prompt: an edit that lets the model's own
parts say something else keeps them, one that shouts them down does not need them.
"""

from __future__ import annotations

from torch import Tensor

from circuits.discovery.choosing import Budget, discover
from circuits.discovery.circuit import Circuit
from circuits.discovery.graph import Graph
from circuits.discovery.scoring import Case
from circuits.lab import Lab
from editors.weights.model import EditableModel
from editors.weights.request import EditRequest

# Few looks: a comparison finds one circuit for each fact and method.
_BUDGET = Budget(nodes=0.2, edges=0.05, rounds=2, steps=2, exchanges=0)


class CircuitFinder:
    """Implements `editors.comparison.compare.Needed`: looks at the model as it is at the time of the call."""

    def __init__(self, editable: EditableModel, budget: Budget = _BUDGET) -> None:
        self._lab = Lab(editable.model, editable.tokenizer, rows=1)
        self._graph, self._budget = Graph.of(editable.spec), budget

    def __call__(self, request: EditRequest, said: str) -> tuple[frozenset[int], frozenset[int]]:
        """Numbers of the nodes and of the edges that the object needs behind the request's prompt."""
        head, tail = self._lab.prompts.encode_pair(request.prompt, " " + said)
        case = Case(tuple(head), tuple(tail))
        found: Circuit = discover(self._lab, self._graph, [case], budget=self._budget)
        return _numbers(found.nodes), _numbers(found.kept.flatten())


def _numbers(chosen: Tensor) -> frozenset[int]:
    return frozenset(chosen.nonzero().flatten().tolist())
