"""Calls of the Circuits service about many questions. The docstrings are those of `client.circuits`'s methods."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, get_args

from interleaf._calls import Started, new_request_id, several
from interleaf._circuit_calls import probe_message, study_call
from interleaf._circuit_types import Probe, Study
from interleaf._session import Session
from interleaf.v1 import circuits_pb2

Ablation = Literal["zero", "mean", "resample"]
EdgeScore = Literal["eap", "eap_ig", "eap_ig_edges"]


def discover_circuit(
    session: Session,
    probes: Iterable[Probe],
    *,
    held_out: Iterable[Probe] = (),
    nodes: float = 0.0,
    edges: float = 0.0,
    ablation: Ablation = "mean",
    score: EdgeScore | None = None,
    others: Sequence[str] = (),
    randoms: int = 0,
    request_id: str | None = None,
    validate_only: bool = False,
) -> Started[Study]:
    """Which nodes and edges are enough for answers of a kind: a CircuitStudy, judged beside random circuits.

        study = client.circuits.discover_circuit(probes, held_out=more, nodes=0.1).result()
        print(study.data.faithfulness, study.data.completeness)

    `probes` are questions of one kind, `held_out` those that the circuit is judged with. `nodes` and `edges` are the
    shares of the model's that it may have. What a node says gives way to nothing, to its mean or to what it says
    elsewhere (`ablation`), as read off `others`; without a `score`, edges are scored as measured best.
    """
    request = circuits_pb2.DiscoverCircuitRequest(
        probes=map(probe_message, probes),
        held_out=map(probe_message, held_out),
        nodes=nodes,
        edges=edges,
        ablation=f"ABLATION_{_one_of(ablation, Ablation).upper()}",
        score=None if score is None else f"EDGE_SCORE_{_one_of(score, EdgeScore).upper()}",
        others=several("others", others),
        randoms=randoms,
        request_id=new_request_id(request_id),
        validate_only=validate_only,
    )
    return study_call("DiscoverCircuit", request)


def locate_heads(
    session: Session,
    probes: Iterable[Probe],
    *,
    held_out: Iterable[Probe] = (),
    per_layer: int = 0,
    unconditioned: bool = False,
    request_id: str | None = None,
    validate_only: bool = False,
) -> Started[Study]:
    """Whose silence costs the answers most: HeadMap's search, layer by layer, beside random heads. LocatedHeads.

    client.circuits.locate_heads(probes, held_out=more, per_layer=2).result().picture.save("located.svg")
    """
    request = circuits_pb2.LocateHeadsRequest(
        probes=map(probe_message, probes),
        held_out=map(probe_message, held_out),
        per_layer=per_layer,
        unconditioned=unconditioned,
        request_id=new_request_id(request_id),
        validate_only=validate_only,
    )
    return study_call("LocateHeads", request)


def study_grafting(
    session: Session,
    *,
    facts: int = 0,
    templates: Sequence[str] = (),
    epochs: int = 0,
    learning_rate: float = 0.0,
    components: bool = False,
    request_id: str | None = None,
    validate_only: bool = False,
) -> Started[Study]:
    """Where a model that is fine-tuned on the namespace's facts keeps them: a GraftingStudy. Nothing of it is kept.

        client.circuits.study_grafting(facts=50, components=True).result().save("grafting")

    `facts` is how many, the oldest first; `templates` are prompts with {subject} and {relation} that objects follow.
    """
    request = circuits_pb2.StudyGraftingRequest(
        parent=session.parent,
        facts=facts,
        templates=several("templates", templates),
        epochs=epochs,
        learning_rate=learning_rate,
        components=components,
        request_id=new_request_id(request_id),
        validate_only=validate_only,
    )
    return study_call("StudyGrafting", request)


def _one_of(word: str, known: object) -> str:
    if word not in get_args(known):
        raise ValueError(f"give one of {', '.join(get_args(known))}, not {word!r}")
    return word
