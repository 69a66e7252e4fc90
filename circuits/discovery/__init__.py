"""Which parts of a model, joined how, are enough for a behaviour: edges scored, a circuit chosen, drawn and judged.

- `graph`: the model as nodes and edges.
- `wiring`: runs the model with edges that carry, or do not carry, what their source says.
- `scoring`: what each edge is worth: EAP, EAP-IG along two paths, and exactly.
- `circuit`: a choice of edges; dead ends pruned; JSON and DOT.
- `gates`: whole nodes, open as far as one likes, and what each is worth so.
- `exchange`: a choice of nodes made better.
- `choosing`: from scores to a circuit, by rounds.
- `judging`: the circuit alone, against the model, what is left of it, and random circuits of its size.
- `picture`: the circuit as SVG.
"""
