"""Draws a comparison of methods as an SVG: a panel for each network, test accuracy over the share of multiply-accumulates that was removed.

    python3 benches/methods/figure.py RESULTS.jsonl FIGURE.svg

RESULTS.jsonl is what compare.py wrote. A point is the mean over the seeds, its bar one standard deviation to either side.
"""

import json
import statistics
import sys
from dataclasses import dataclass
from html import escape
from pathlib import Path

COLOURS = {
    "sacp": "#c0392b",
    "uniform": "#7f8c8d",
    "global_l1": "#27ae60",
    "global_l2": "#2471a3",
    "torch_pruning": "#8e44ad",
    "torch_pruning_each_layer": "#d7a9e3",
    "untrained": "#e59866",
}
NAMES = {
    "torch_pruning": "Torch-Pruning",
    "torch_pruning_each_layer": "… each layer",
    "untrained": "sacp without training",
}
WIDTH, HEIGHT, LEFT, TOP, GAP = 260, 200, 48, 34, 56
ENTRY = 130
"""Width of an entry of the legend."""
SPREAD = 7
"""How far apart the methods' points at one target are drawn, so that their bars can be told apart."""


@dataclass(frozen=True)
class Point:
    mean: float
    deviation: float


def main() -> None:
    results, figure = Path(sys.argv[1]), Path(sys.argv[2])
    panels, bases = read(results)
    figure.parent.mkdir(parents=True, exist_ok=True)
    figure.write_text(draw(panels, bases))


def read(results: Path) -> tuple[dict[str, dict[str, dict[float, Point]]], dict[str, float]]:
    """Of each network the points of every method by target, and the original's accuracy; all in %."""
    accuracies: dict[tuple[str, str, float], list[float]] = {}
    bases: dict[str, float] = {}
    for line in filter(None, results.read_text().splitlines()):
        found = json.loads(line)
        run = json.loads(found["key"])
        if run["study"] == "methods":
            accuracies.setdefault((run["network"], run["setting"], run["target"]), []).append(
                100 * found["pruned"]["test"]
            )
            bases[run["network"]] = 100 * found["base"]["test"]
    panels: dict[str, dict[str, dict[float, Point]]] = {}
    for (network, method, target), values in sorted(accuracies.items()):
        point = Point(statistics.mean(values), statistics.stdev(values) if len(values) > 1 else 0.0)
        panels.setdefault(network, {}).setdefault(method, {})[target] = point
    return panels, bases


def draw(panels: dict[str, dict[str, dict[float, Point]]], bases: dict[str, float]) -> str:
    methods = [name for name in COLOURS if any(name in panel for panel in panels.values())]
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    width = columns * (WIDTH + GAP) + 20
    entries = (width - LEFT) // ENTRY
    legend = rows * (HEIGHT + GAP) + 20
    height = legend + 20 * -(-len(methods) // entries)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="11">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for index, (network, panel) in enumerate(panels.items()):
        x, y = LEFT + index % columns * (WIDTH + GAP), TOP + index // columns * (HEIGHT + GAP)
        parts += draw_panel(network, panel, bases[network], methods, x, y)
    for index, name in enumerate(methods):
        x, y = LEFT + index % entries * ENTRY, legend + index // entries * 20
        parts.append(f'<circle cx="{x}" cy="{y - 4}" r="4" fill="{COLOURS[name]}"/>')
        parts.append(f'<text x="{x + 8}" y="{y}">{escape(NAMES.get(name, name))}</text>')
    return "\n".join([*parts, "</svg>", ""])


def draw_panel(
    network: str, panel: dict[str, dict[float, Point]], base: float, methods: list[str], left: int, top: int
) -> list[str]:
    targets = sorted({target for points in panel.values() for target in points})
    low = min(point.mean - point.deviation for points in panel.values() for point in points.values())
    step = next(step for step in (0.5, 1, 2, 5, 10, 20) if (base - low) / step <= 6)
    bottom = low // step * step

    def at_y(value: float) -> float:
        return top + HEIGHT * (base + step / 4 - value) / (base + step / 4 - bottom)

    def at_x(target: float, method: str) -> float:
        middle = left + WIDTH * (targets.index(target) + 0.5) / len(targets)
        return middle + SPREAD * (methods.index(method) - (len(methods) - 1) / 2)

    parts = [
        f'<text x="{left}" y="{top - 12}" font-weight="bold">{escape(network)}, test accuracy in %</text>',
        f'<rect x="{left}" y="{top}" width="{WIDTH}" height="{HEIGHT}" fill="none" stroke="#999"/>',
    ]
    value = bottom
    while value <= base:
        y = at_y(value)
        parts.append(f'<line x1="{left}" x2="{left + WIDTH}" y1="{y:.1f}" y2="{y:.1f}" stroke="#e5e5e5"/>')
        parts.append(f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
        value += step
    y = at_y(base)
    parts.append(
        f'<line x1="{left}" x2="{left + WIDTH}" y1="{y:.1f}" y2="{y:.1f}" stroke="#333" stroke-dasharray="4 3"/>'
    )
    parts.append(
        f'<text x="{left + WIDTH - 4}" y="{y + 12:.1f}" text-anchor="end" fill="#333">original {base:.1f}</text>'
    )
    for target in targets:
        x = left + WIDTH * (targets.index(target) + 0.5) / len(targets)
        parts.append(f'<text x="{x:.1f}" y="{top + HEIGHT + 15}" text-anchor="middle">{target:.0%} removed</text>')
    for method, points in panel.items():
        colour = COLOURS[method]
        places = [(at_x(target, method), point) for target, point in sorted(points.items())]
        line = " ".join(f"{x:.1f},{at_y(point.mean):.1f}" for x, point in places)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-opacity="0.5"/>')
        for x, point in places:
            ends = [at_y(point.mean + sign * point.deviation) for sign in (1, -1)]
            parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{ends[0]:.1f}" y2="{ends[1]:.1f}" stroke="{colour}"/>')
            parts.append(f'<circle cx="{x:.1f}" cy="{at_y(point.mean):.1f}" r="3.5" fill="{colour}"/>')
    return parts


if __name__ == "__main__":
    main()
