"""ROME against FT-M by layer, as the Knowledge Circuits paper puts it: three statements, each with its figures.

For each fact and each of five layers, evenly spread: the edit by r-ROME and by FT-M, with the layer's other settings
as measured; then one look inside. `peak_after`: layers between the edited one and the one after which the new
object's rank at the last token falls most. `jump`: octaves that the rank falls in the edited layer itself. `mlp`: what
the edited MLP adds to the new object's logit over the old one's, less what it added before. `spill`: how much
likelier, in nats a token, the object became behind unrelated beginnings; `leaks`: the share of those whose likeliest
token it became. `movers`: heads among whose five most-said tokens the object's first token now is and was not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from statistics import fmean
from typing import Any

from bench.common import sample_keys
from bench.editors_ring import Ring
from bench.kept import Kept
from editors.comparison.compare import UNRELATED, jump, peak
from editors.comparison.inside import Inside, look_inside
from editors.metrics.counterfact import EditCase
from editors.metrics.speaking import Forced, ModelSpeaker, plainly
from editors.weights.model import EditableModel
from service.pictures.chart import Line, line_chart

METHODS = ("rrome", "ftm")
PLACES = 5
Row = dict[str, Any]


def edited_layers(count: int) -> list[int]:
    """The first, the last, and evenly between."""
    return sorted({round(at * (count - 1) / (PLACES - 1)) for at in range(PLACES)})


def by_layer(ring: Ring, kept: Kept, cases: Sequence[EditCase]) -> None:
    """A row for each fact, with all layers and both methods, so that what is there can be paired."""
    if not set(METHODS) <= set(ring.settings):
        return
    for case in cases:
        kept.row(_name(ring, case), partial(_studied, ring, case))


def layer_keys(ring: Ring, kept: Kept, cases: Sequence[EditCase]) -> tuple[dict[str, Any], list[Row]]:
    """By method and layer, over both; and the statements' figures: r-ROME less FT-M, fact by fact."""
    if not set(METHODS) <= set(ring.settings):
        return {"layer_facts": 0}, []
    rows = [row for case in cases if (row := kept.get(_name(ring, case)))]
    keys: dict[str, Any] = {"layer_facts": len(rows)}
    if not rows:
        return keys, []
    for method in METHODS:
        for figure in ("peak_after", "jump", "mlp", "spill", "leaks", "movers"):
            for layer in rows[0][method]:
                keys[f"layer{layer}_{figure}_{method}"] = fmean(row[method][layer][figure] for row in rows)
            keys |= sample_keys(f"layers_{figure}_{method}", [_mean(row[method], figure) for row in rows])
    for figure in ("peak_after", "jump", "mlp", "spill"):
        pairs = [_mean(row["rrome"], figure) - _mean(row["ftm"], figure) for row in rows]
        keys |= sample_keys(f"layers_{figure}_difference", pairs)
    # The paper's statements; null: the interval leaves it open.
    keys["rome_peaks_later"] = _holds(keys, "layers_peak_after_difference", more=True)
    keys["ftm_jumps_at_edit"] = _holds(keys, "layers_jump_difference", more=False)
    keys["ftm_dominates"] = _holds(keys, "layers_mlp_difference", more=False)
    keys["ftm_spills_more"] = _holds(keys, "layers_spill_difference", more=False)
    return keys, rows


def trajectories(rows: Sequence[Row], layer: str) -> str:
    """A picture: how the new object's rank at the last token goes through the layers, when this one is edited."""
    ways = {"r-ROME": [row["rrome"][layer]["ranks"] for row in rows]}
    ways |= {
        "FT-M": [row["ftm"][layer]["ranks"] for row in rows],
        "unedited": [row["plain_ranks"] for row in rows],
    }
    lines = [
        Line(name, [(at, fmean(map(math.log2, ranks))) for at, ranks in enumerate(zip(*mine, strict=True))])
        for name, mine in ways.items()
    ]
    title = f"Layer {layer} edited: rank of the new object, mean of {len(rows)} facts"
    return line_chart(title, "layer", "log2 of rank", lines, marks=[float(layer)])


def _holds(keys: dict[str, Any], name: str, *, more: bool) -> bool | None:
    low, high = keys[f"{name}_lo"], keys[f"{name}_hi"]
    if low > 0:
        return more
    return not more if high < 0 else None


def _mean(by_layer: dict[str, Row], figure: str) -> float:
    return fmean(row[figure] for row in by_layer.values())


def _name(ring: Ring, case: EditCase) -> str:
    both = "/".join(ring.row(name, name) for name in METHODS)
    return f"layers/{both}/{case.request.prompt}|{case.request.target}"


def _studied(ring: Ring, case: EditCase) -> Row:
    editable = ring.editable
    speaker = ModelSpeaker(editable.model, editable.tokenizer)
    plain, spoken = _look(editable, case), _spoken(speaker, case)
    first = editable.prompts.encode_pair(case.request.prompt, " " + case.request.target)[1][0]
    movers = plain.says_most(editable, first)
    row: Row = {"fact": case.request.prompt, "new": case.request.target}
    for method in METHODS:
        row[method] = {}
        for layer in edited_layers(len(editable.spec.layers)):
            delta = ring.editor(method, layer=layer).compute(editable, [case.request], ring.means)
            with editable.applied(delta):
                now, said = _look(editable, case), _spoken(speaker, case)
            row[method][str(layer)] = _figures(layer, plain, now, spoken, said)
            new = now.says_most(editable, first) & ~movers
            row[method][str(layer)] |= {
                "movers": int(new.sum()),
                "mover_heads": [[int(at), int(head)] for at, head in new.nonzero()][:12],
            }
    row["plain_ranks"] = plain.ranks[:, 0].tolist()
    return row


def _look(editable: EditableModel, case: EditCase) -> Inside:
    return look_inside(editable, case.request, case.true, lambda: plainly([]))


def _spoken(speaker: ModelSpeaker, case: EditCase) -> list[Forced]:
    return speaker.forced([(prompt, case.request.target) for prompt in UNRELATED])


def _figures(layer: int, then: Inside, now: Inside, before: Sequence[Forced], after: Sequence[Forced]) -> Row:
    return {
        "ranks": now.ranks[:, 0].tolist(),
        "peak_after": peak(now) - layer,
        "jump": jump(now, layer),
        "mlp": float(now.mlps[layer] - then.mlps[layer]),
        "spill": fmean(a.mean - b.mean for a, b in zip(after, before, strict=True)),
        "leaks": fmean(float(a.ranks[0] == 1 and b.ranks[0] > 1) for a, b in zip(after, before, strict=True)),
    }
