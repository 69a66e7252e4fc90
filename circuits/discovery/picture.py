"""A circuit as one SVG: layers upwards, heads beside their MLP, edges as wide as they are worth."""

from __future__ import annotations

from collections import defaultdict
from xml.sax.saxutils import escape

from circuits.discovery.circuit import Circuit

_FOR, _AGAINST = "#0072b2", "#d55e00"  # told apart by colour-blind people too
_HEAD, _MLP, _END = "#e8f1f8", "#f4ecd8", "#eeeeee"
_ROW, _BOX, _TALL, _GAP = 46, 58, 22, 8
_LEFT, _TOP, _FOOT = 84, 84, 42
_WIDEST = 5.0


def picture(circuit: Circuit, title: str = "Circuit", edges: int = 250) -> str:
    """At most so many edges, the strongest; hovering over an edge or a node says what it is."""
    graph = circuit.graph
    names = [int(at) for at in circuit.nodes.nonzero()]
    rows: dict[int, list[int]] = defaultdict(list)
    for number in names:
        rows[_row(circuit, number)].append(number)
    places, width = {}, 2 * _LEFT + max(map(len, rows.values()), default=1) * (_BOX + _GAP)
    width = max(width, 560)
    levels = sorted(rows, reverse=True)
    for level, row in enumerate(levels):
        # Rows are shifted against each other so that straight edges do not run through boxes of other rows.
        line = rows[row]
        start = (width - len(line) * (_BOX + _GAP)) / 2 + (17 if level % 2 else -17)
        for at, number in enumerate(line):
            places[number] = (start + at * (_BOX + _GAP) + _BOX / 2, _TOP + level * _ROW)
    height = _TOP + len(levels) * _ROW + _FOOT
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
                f"<title>{escape(title)}</title>",
                f'<rect width="{width}" height="{height}" fill="#fff"/>',
                f'<text x="20" y="30" font-size="17" font-weight="600">{escape(title)}</text>',
                f'<text x="20" y="50" fill="#666">{escape(text)}</text>',
                *drawn,
                *(
                    f'<text x="20" y="{places[rows[row][0]][1] + 4:.0f}" fill="#999">{_level(circuit, row)}</text>'
                    for row in levels
                ),
                *(_node(circuit, number, *places[number]) for number in names),
                *_legend(height - 16),
                "</svg>",
            ]
        )
        + "\n"
    )


def _row(circuit: Circuit, number: int) -> int:
    """0 the input; a layer's heads, then its MLP; at last the output."""
    graph = circuit.graph
    if number in (0, graph.sources):
        return 0 if number == 0 else 2 * graph.layers + 1
    layer, rest = divmod(number - 1, graph.heads + 1)
    return 1 + 2 * layer + (rest == graph.heads)


def _level(circuit: Circuit, row: int) -> str:
    return "" if row in (0, 2 * circuit.graph.layers + 1) else f"layer {(row - 1) // 2}"


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
        bend = (y - to_y) * 0.45
        lines.append(
            f'<path d="M{x:.1f} {y:.1f} C{x:.1f} {y - bend:.1f} {to_x:.1f} {to_y + bend:.1f} {to_x:.1f} {to_y:.1f}"'
            f' fill="none" stroke="{_FOR if score >= 0 else _AGAINST}" '
            f'stroke-width="{0.4 + (_WIDEST - 0.4) * share:.2f}" stroke-opacity="{0.18 + 0.6 * share:.2f}">'
            f"<title>{escape(name)}</title></path>"
        )
    return lines


def _node(circuit: Circuit, number: int, x: float, y: float) -> str:
    graph = circuit.graph
    name = graph.node_name(number)
    colour = _END if number in (0, graph.sources) else _MLP if name.startswith("MLP") else _HEAD
    says = circuit.scores[number] if number < graph.sources else None
    hover = name if says is None else f"{name}: its edges are worth {float(says.sum()):+.4f}"
    return (
        f'<g><title>{escape(hover)}</title><rect x="{x - _BOX / 2:.1f}" y="{y - _TALL / 2:.1f}" width="{_BOX}" '
        f'height="{_TALL}" rx="4" fill="{colour}" stroke="#888" stroke-width="0.8"/>'
        f'<text x="{x:.1f}" y="{y + 4:.1f}" text-anchor="middle">{escape(name)}</text></g>'
    )


def _legend(y: float) -> list[str]:
    parts = []
    for x, colour, text in ((20, _FOR, "speaks for the answer"), (200, _AGAINST, "speaks against it")):
        parts.append(
            f'<line x1="{x}" y1="{y - 4}" x2="{x + 28}" y2="{y - 4}" stroke="{colour}" stroke-width="4"/>'
        )
        parts.append(f'<text x="{x + 34}" y="{y}" fill="#444">{text}</text>')
    return parts
