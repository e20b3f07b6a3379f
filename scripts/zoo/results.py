"""What is known of a model: one JSON object a line, the last one of a step counts."""

from __future__ import annotations

import json
from pathlib import Path

# Outcomes of a step that a second try cannot better.
GOOD = ("built", "inspected", "pruned")


class Results:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: dict[tuple[str, str], dict] = {}
        # A run that was killed may have left half a line.
        for text in path.read_text().splitlines() if path.exists() else []:
            try:
                line = json.loads(text)
            except json.JSONDecodeError:
                continue
            self.lines[line["kind"], line["step"]] = line

    def add(self, line: dict) -> None:
        self.lines[line["kind"], line["step"]] = line
        # A line that was left half written ends here; an empty one is skipped like it.
        with self.path.open("a") as file:
            file.write("\n" + json.dumps(line) + "\n")

    def outcome(self, kind: str, step: str) -> str | None:
        line = self.lines.get((kind, step))
        return line and line["outcome"]

    def is_settled(self, kind: str, step: str, again: bool) -> bool:
        outcome = self.outcome(kind, step)
        return outcome in GOOD or (outcome is not None and not again)
