"""A circuit as one SVG: layers upwards, heads beside their MLP, edges as wide as they are worth."""

from __future__ import annotations

from circuits.discovery.circuit import Circuit
from engines.svg import written

_FOR, _AGAINST = "#0072b2", "#d55e00"  # told apart by colour-blind people too
_HEAD, _MLP, _END = "#e8f1f8", "#f4ecd8", "#eeeeee"
_ROW, _BOX, _TALL, _GAP = 64, 58, 22, 26
_LEFT, _TOP, _FOOT = 96, 90, 30
_WIDEST = 5.0


def picture(circuit: Circuit, title: str = "Circuit", edges: int = 120) -> str:
    """At most so many edges, the strongest; hovering over an edge or a node says what it is."""
    graph = circuit.graph
    names = [int(at) for at in circuit.nodes.nonzero()]
    levels = sorted({_level(circuit, number) for number in names})
    columns = sorted({_column(circuit, number) for number in names if number not in (0, graph.sources)})
    width = max(_LEFT + len(columns) * (_BOX + _GAP) + 40, 560)
    bottom = _TOP + (len(levels) - 1) * _ROW
    places = {}
    for number in names:
        level, is_end = _level(circuit, number), number in (0, graph.sources)
        middle = len(columns) / 2 if is_end else columns.index(_column(circuit, number)) + 0.5
        # An MLP stands a little higher than the heads, which it reads.
        raised = 0 if is_end or _column(circuit, number) < graph.heads else _ROW * 0.42
        places[number] = (_LEFT + middle * (_BOX + _GAP), bottom - levels.index(level) * _ROW - raised)
    height = bottom + _ROW + _FOOT
    shown = list(circuit.edges())[:edges]
    largest = max((abs(score) for _, _, score in shown), default=1.0) or 1.0
    drawn = [
        line
        for source, port, score in reversed(shown)
        for line in _edge(circuit, places, source, port, score, largest)
    ]
    text = (
        f"{circuit.node_count} of {graph.nodes} nodes, {circuit.edge_count} of {int(graph.possible.sum())} edges"
        + (f", the strongest {len(shown)} drawn" if len(shown) < circuit.edge_count else "")
    )
    return (
        "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
                'font-family="system-ui, sans-serif" font-size="11">',
                f"<title>{written(title)}</title>",
                f'<rect width="{width}" height="{height}" fill="#fff"/>',
                f'<text x="20" y="30" font-size="17" font-weight="600">{written(title)}</text>',
                f'<text x="20" y="50" fill="#666">{written(text)}</text>',
                *drawn,
                *(
                    f'<text x="20" y="{bottom - at * _ROW + 4:.0f}" fill="#999">layer {level}</text>'
                    for at, level in enumerate(levels)
                    if 0 <= level < graph.layers
                ),
                *(_node(circuit, number, *places[number]) for number in names),
                *_legend(height - 16),
                "</svg>",
            ]
        )
        + "\n"
    )


def _level(circuit: Circuit, number: int) -> int:
    """-1 the input; the layer; at last the output."""
    graph = circuit.graph
    if number in (0, graph.sources):
        return -1 if number == 0 else graph.layers
    return (number - 1) // (graph.heads + 1)


def _column(circuit: Circuit, number: int) -> int:
    """A head's number in its layer; MLPs stand behind the heads."""
    return (number - 1) % (circuit.graph.heads + 1)


def _edge(
    circuit: Circuit,
    places: dict[int, tuple[float, float]],
    source: int,
    port: int,
    score: float,
    largest: float,
) -> list[str]:
    share = abs(score) / largest
    name = f"{circuit.graph.node_name(source)} to {circuit.graph.port_name(port)}: {score:+.4f}"
    lines = []
    for reader in circuit.readers(port):
        (x, y), (to_x, to_y) = places[source], places[reader]
        y, to_y = y - _TALL / 2, to_y + _TALL / 2
        rise = y - to_y
        # Edges swing to the side, so that those of one column do not run through its boxes.
        swing = (-1 if source % 2 else 1) * (10 + min(rise, 900) * 0.09)
        lines.append(
            f'<path d="M{x:.1f} {y:.1f} C{x + swing:.1f} {y - rise * 0.4:.1f} '
            f'{to_x + swing:.1f} {to_y + rise * 0.4:.1f} {to_x:.1f} {to_y:.1f}"'
            f' fill="none" stroke="{_FOR if score >= 0 else _AGAINST}" '
            f'stroke-width="{0.4 + (_WIDEST - 0.4) * share:.2f}" stroke-opacity="{0.18 + 0.6 * share:.2f}">'
            f"<title>{written(name)}</title></path>"
        )
    return lines


def _node(circuit: Circuit, number: int, x: float, y: float) -> str:
    graph = circuit.graph
    name = graph.node_name(number)
    colour = _END if number in (0, graph.sources) else _MLP if name.startswith("MLP") else _HEAD
    says = circuit.scores[number] if number < graph.sources else None
    hover = name if says is None else f"{name}: its edges are worth {float(says.sum()):+.4f}"
    return (
        f'<g><title>{written(hover)}</title><rect x="{x - _BOX / 2:.1f}" y="{y - _TALL / 2:.1f}" width="{_BOX}" '
        f'height="{_TALL}" rx="4" fill="{colour}" stroke="#888" stroke-width="0.8"/>'
        f'<text x="{x:.1f}" y="{y + 4:.1f}" text-anchor="middle">{written(name)}</text></g>'
    )


def _legend(y: float) -> list[str]:
    parts = []
    for x, colour, text in ((20, _FOR, "speaks for the answer"), (200, _AGAINST, "speaks against it")):
        parts.append(
            f'<line x1="{x}" y1="{y - 4}" x2="{x + 28}" y2="{y - 4}" stroke="{colour}" stroke-width="4"/>'
        )
        parts.append(f'<text x="{x + 34}" y="{y}" fill="#444">{text}</text>')
    return parts
