"""Looking into a forward, and changing what passes. Every context leaves the model as it found it, whatever happens.

Hooks belong to the model, not to a thread: one thread per model. All of it works under `torch.no_grad` and with
gradients, and inside `engines.kv_attention.inject` (enter that first).

- `captured`: what passes at sites of the model.
- `replaced`: what passes is something else; patching and ablation are made of it.
- `ablated`: heads and sub-layers without their say: zero, mean or another prompt's.
- `attended`: attention probabilities, values and masks as the layers use them.
- `blocked`: attention edges that are not there.
- `bypassed`: layers that are not run at all.
- `muted`: layers and heads that do not read injected facts.
"""

from circuits.interventions.ablation import Ablation, Reference, ablated, gather_reference
from circuits.interventions.attention import Attended, Block, attended, blocked
from circuits.interventions.bypassing import bypassed
from circuits.interventions.muting import muted
from circuits.interventions.replacing import Change, captured, replaced
from circuits.interventions.sites import Head, Node, Part, Site

__all__ = [
    "Ablation",
    "Attended",
    "Block",
    "Change",
    "Head",
    "Node",
    "Part",
    "Reference",
    "Site",
    "ablated",
    "attended",
    "blocked",
    "bypassed",
    "captured",
    "gather_reference",
    "muted",
    "replaced",
]
