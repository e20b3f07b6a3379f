"""Draws the figures of docs/concepts.md from real jobs, as SVG into docs/images.

    python3 docs/figures.py SECATEUR [--report REPORT.json] [--inspection INSPECTION.json] [--images FOLDER]

SECATEUR is the binary, with secateur-engine beside it. It inspects examples/resnet20-digits.pt, and prunes examples/resnet20-shapes.pt with
examples/shapes.npz (which examples/make_shapes.py writes) by SPEC, which takes some minutes on two cores. What was written by an earlier run can
be given instead: then nothing is run. Needs nothing but Python 3's standard library; `make figures` calls it.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
from collections import Counter
from html import escape
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"
SPEC = {
    "target": {"flops_reduction": 0.7},
    "preset": "quick",
    "input": {"mean": 100, "std": 64},
    "fine_tune": {"epochs": 8},
    "diagnostics": True,
}
WIDTH, LEFT, RIGHT, TOP, BOTTOM = 720, 60, 24, 44, 48
INK, GREY, LIGHT, RED, BLUE, GREEN = "#333333", "#999999", "#e5e5e5", "#c0392b", "#2471a3", "#27ae60"
OF_GROUPS = ("#c0392b", "#2471a3", "#27ae60", "#8e44ad", "#e59866", "#16a085")
BASELINES = ("uniform", "global_l1", "global_l2", "greedy_sensitivity")
ROUNDS = {"screened_accuracy": "screened", "light_accuracy": "lightly tuned", "tuned_accuracy": "tuned"}


class Figure:
    """Marks of an SVG; y grows upwards between the margins, in units of the figure's own scale."""

    def __init__(self, title: str, height: int, x: tuple[float, float], y: tuple[float, float]) -> None:
        self.height, self.x_range, self.y_range = height, x, y
        self.parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12">',
            f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        ]
        self.text(LEFT, 20, title, weight="bold")

    def x(self, value: float) -> float:
        low, high = self.x_range
        return LEFT + (WIDTH - LEFT - RIGHT) * (value - low) / (high - low)

    def y(self, value: float) -> float:
        low, high = self.y_range
        return self.height - BOTTOM - (self.height - TOP - BOTTOM) * (value - low) / (high - low)

    def text(
        self, x: float, y: float, words: str, anchor: str = "start", weight: str = "normal", colour: str = INK
    ) -> None:
        self.parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}" fill="{colour}">{escape(words)}</text>'
        )

    def line(self, points: list[tuple[float, float]], colour: str, width: float = 1, dashed: bool = False) -> None:
        """Through points in pixels."""
        dashes = ' stroke-dasharray="5 4"' if dashed else ""
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self.parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width}"{dashes}/>')

    def dot(self, x: float, y: float, colour: str, radius: float = 4) -> None:
        self.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{colour}"/>')

    def bar(self, x: float, y: float, width: float, height: float, colour: str) -> None:
        self.parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}"/>')

    def scale_y(self, step: float, form: str) -> None:
        """Lines across, and their values at the left."""
        low, high = self.y_range
        count = int((high - low) / step + 1e-9)
        for value in (low + step * index for index in range(count + 1)):
            self.line([(LEFT, self.y(value)), (WIDTH - RIGHT, self.y(value))], LIGHT)
            self.text(LEFT - 8, self.y(value) + 4, form.format(value), "end")

    def legend(self, entries: list[tuple[str, str]]) -> None:
        x = float(LEFT)
        for words, colour in entries:
            self.dot(x + 4, self.height - 12, colour)
            self.text(x + 13, self.height - 8, words)
            x += 28 + 6.2 * len(words)

    def write(self, path: Path) -> None:
        path.write_text("\n".join([*self.parts, "</svg>", ""]))
        print(path)


def main() -> None:
    arguments = parse_arguments()
    inspection = json.loads(arguments.inspection.read_text() if arguments.inspection else inspect(arguments.binary))
    report = json.loads(arguments.report.read_text() if arguments.report else prune(arguments.binary))
    arguments.images.mkdir(parents=True, exist_ok=True)
    groups(inspection).write(arguments.images / "concepts-groups.svg")
    ranking(report).write(arguments.images / "concepts-ranking.svg")
    rounds(report).write(arguments.images / "concepts-rounds.svg")
    recovery(report).write(arguments.images / "concepts-recovery.svg")
    widths(report).write(arguments.images / "concepts-widths.svg")
    if choice := report["channel_choice"]:
        own, random = choice["own_criterion"], choice["random"]
        print(
            f"channel choice: {own} {choice['own']:.3f}, l1 {choice['l1']:.3f}, random {random['mean']:.3f} ± {random['std']:.3f}"
        )


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", type=Path)
    parser.add_argument("--report", type=Path, help="of an earlier run, instead of a job")
    parser.add_argument("--inspection", type=Path, help="of an earlier run, as `secateur inspect --json` prints it")
    parser.add_argument("--images", type=Path, default=ROOT / "docs" / "images")
    return parser.parse_args()


def inspect(binary: Path) -> str:
    command = [binary, "inspect", "--json", EXAMPLES / "resnet20-digits.pt"]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def prune(binary: Path) -> str:
    data = EXAMPLES / "shapes.npz"
    if not data.is_file():
        sys.exit(f"{data} is missing: python examples/make_shapes.py writes it")
    with tempfile.TemporaryDirectory() as folder:
        spec, report = Path(folder, "spec.json"), Path(folder, "report.json")
        spec.write_text(json.dumps(SPEC))
        command = [binary, "prune", EXAMPLES / "resnet20-shapes.pt", "--data", data, "--spec", spec]
        subprocess.run([*command, "--report", report, "--output", Path(folder, "pruned.pt")], check=True)
        return report.read_text()


def groups(inspection: dict[str, Any]) -> Figure:
    """The layers with weights in program order, each as high as its output channels and in its group's colour."""
    layers = [layer for layer in inspection["layers"] if layer["type"] in ("convolution", "linear")]
    most = max(layer["channels_out"] for layer in layers)
    figure = Figure(
        "Output channels of every layer of a ResNet-20; a colour is a group", 300, (0, len(layers)), (0, most)
    )
    figure.scale_y(16, "{:.0f}")
    sizes = Counter(layer["group"] for layer in layers if not layer["unprunable"])
    coupled = [name for name, count in sizes.items() if count > 1]
    colours = dict(zip(coupled, OF_GROUPS, strict=False))
    step = figure.x(1) - figure.x(0)
    for index, layer in enumerate(layers):
        colour = "#f2f2f2" if layer["unprunable"] else colours.get(layer["group"], "#bbbbbb")
        top = figure.y(layer["channels_out"])
        figure.bar(figure.x(index) + step * 0.12, top, step * 0.76, figure.y(0) - top, colour)
        if layer["unprunable"]:
            left, right = figure.x(index) + step * 0.12, figure.x(index) + step * 0.88
            corners = [(left, figure.y(0)), (left, top), (right, top), (right, figure.y(0)), (left, figure.y(0))]
            figure.line(corners, GREY, dashed=True)
    figure.text(figure.x(0), figure.height - BOTTOM + 16, layers[0]["layer"])
    figure.text(WIDTH - RIGHT, figure.height - BOTTOM + 16, layers[-1]["layer"], "end")
    named = [(f"{sizes[name]} coupled layers", colours[name]) for name in coupled]
    figure.legend([*named, ("a group of its own", "#bbbbbb"), ("cannot be pruned", LIGHT)])
    return figure


def ranking(report: dict[str, Any]) -> Figure:
    """Of every screened network the divergence that was predicted, and the accuracy that was measured."""
    known = [
        found
        for found in report["candidates"]
        if found.get("predicted_divergence") is not None and found["screened_accuracy"] is not None
    ]
    predicted = [found["predicted_divergence"] for found in known]
    low, high = grid([100 * found["screened_accuracy"] for found in known], 5)
    right = max(predicted) * 1.05
    correlation = report["sensitivity_correlation"]
    rho = f"rho {correlation['rho']:.2f}, p {correlation['p_value']:.2g}, {correlation['samples']} networks"
    title = "Validation accuracy in % before training, over the predicted divergence"
    figure = Figure(title, 320, (min(0, *predicted), right), (low, high))
    figure.scale_y(5, "{:.0f}")
    for found in known:
        colour = BLUE if found["origin"] in BASELINES else RED
        figure.dot(figure.x(found["predicted_divergence"]), figure.y(100 * found["screened_accuracy"]), colour)
    step = 10 ** math.floor(math.log10(right))
    for index in range(int(right / step) + 1):
        figure.text(figure.x(step * index), figure.height - BOTTOM + 16, f"{step * index:.2g}", "middle")
    figure.text(WIDTH - RIGHT, 38, rho, "end")
    figure.text(WIDTH - RIGHT, figure.height - 8, "predicted divergence, nats", "end")
    figure.legend([("searched", RED), ("baseline", BLUE)])
    return figure


def rounds(report: dict[str, Any]) -> Figure:
    """Of every candidate its accuracy after each round that it reached."""
    base = 100 * report["base"]["accuracy"]["val"]
    reached = [
        [(place, 100 * found[name]) for place, name in enumerate(ROUNDS) if found.get(name) is not None]
        for found in report["candidates"]
    ]
    low, high = grid([value for points in reached for _, value in points] + [base], 10)
    figure = Figure("Validation accuracy in % of every candidate after each round", 340, (-0.3, 2.3), (low, high))
    figure.scale_y(10, "{:.0f}")
    for found, points in zip(report["candidates"], reached, strict=True):
        colour = BLUE if found["origin"] in BASELINES else RED
        places = [(figure.x(place), figure.y(value)) for place, value in points]
        figure.line(places, colour, 1.2)
        for x, y in places:
            figure.dot(x, y, colour, 3)
    draw_original(figure, base)
    for place, name in enumerate(ROUNDS.values()):
        count = sum(place in dict(points) for points in reached)
        figure.text(figure.x(place), figure.height - BOTTOM + 16, f"{name}: {count}", "middle")
    figure.legend([("searched", RED), ("baseline", BLUE)])
    return figure


def recovery(report: dict[str, Any]) -> Figure:
    """The exported network: after the cut, after the repair, and after each epoch."""
    base, repair = 100 * report["base"]["accuracy"]["val"], report["closed_form"]
    exported = max(report["candidates"], key=lambda found: found["tuned_accuracy"] or 0)
    steps = [
        ("statistics", repair["without"]),
        ("closed form", repair["repaired"]),
        ("light", exported["light_accuracy"]),
    ]
    steps += [(f"epoch {epoch['epoch']}", epoch["val_accuracy"]) for epoch in report["epochs"]]
    steps = [(name, 100 * value) for name, value in steps if value is not None]
    low, high = grid([value for _, value in steps] + [base], 20)
    figure = Figure(
        "Validation accuracy in % of the exported network on its way", 320, (-0.5, len(steps) - 0.5), (low, high)
    )
    figure.scale_y(20, "{:.0f}")
    figure.line([(figure.x(index), figure.y(value)) for index, (_, value) in enumerate(steps)], RED, 2)
    for index, (name, value) in enumerate(steps):
        colour = {"statistics": GREY, "closed form": GREEN}.get(name, RED)
        figure.dot(figure.x(index), figure.y(value), colour, 5)
        figure.text(figure.x(index), figure.y(value) - 10, f"{value:.1f}", "middle")
        words = "cut" if name == "statistics" else name.removeprefix("epoch ")
        figure.text(figure.x(index), figure.height - BOTTOM + 16, words, "middle")
    draw_original(figure, base)
    figure.legend([("statistics re-estimated", GREY), ("layers fitted anew", GREEN), ("after so many epochs", RED)])
    return figure


def widths(report: dict[str, Any]) -> Figure:
    """Every layer's width in the original and in the pruned network."""
    layers = [layer for layer in report["layers"] if layer["type"] == "convolution"]
    most = max(layer["channels_before"] for layer in layers)
    removed = report["reduction"]["flops_reduction"]
    title = f"Channels of every convolution before and after {removed:.1%} of the MACs went"
    figure = Figure(title, 300, (0, len(layers)), (0, most))
    figure.scale_y(most / 4, "{:.0f}")
    step = figure.x(1) - figure.x(0)
    for index, layer in enumerate(layers):
        for width, colour in ((layer["channels_before"], "#dddddd"), (layer["channels_after"], RED)):
            top = figure.y(width)
            figure.bar(figure.x(index) + step * 0.12, top, step * 0.76, figure.y(0) - top, colour)
    figure.text(figure.x(0), figure.height - BOTTOM + 16, layers[0]["layer"])
    figure.text(WIDTH - RIGHT, figure.height - BOTTOM + 16, layers[-1]["layer"], "end")
    figure.legend([("removed", "#dddddd"), ("kept", RED)])
    return figure


def draw_original(figure: Figure, base: float) -> None:
    figure.line([(LEFT, figure.y(base)), (WIDTH - RIGHT, figure.y(base))], INK, dashed=True)
    figure.text(LEFT + 4, figure.y(base) - 5, f"original {base:.1f}")


def grid(values: list[float], step: float) -> tuple[float, float]:
    """The multiples of `step` around the values."""
    return min(values) // step * step, -(-max(values) // step) * step


if __name__ == "__main__":
    main()
