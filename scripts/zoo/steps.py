"""The steps that each archive goes through. A step returns its line: at least `outcome` and `seconds`, and which `engine`
took it, where one did.

Outcomes: `built`, `inspected`, `pruned`; `refused` with the code and the words of the refusal, which the user can act
on; `unreachable` with the most that can go; `failed` for everything that must not happen.
"""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from pathlib import Path

import torch

import archives
from catalogue import Model
from limited import Ended, Limits, call, run_command

METHODS = ("uniform", "global_l2")
STEPS = ("inspect", *METHODS)
TARGET = 0.5
TOLERANCE = 0.01
BATCHES = (1, 3)


@dataclass(frozen=True)
class Run:
    model: Model
    kind: str
    archive: Path
    secateur: Path
    # The build of the engine that the program runs.
    engine: str
    scratch: Path
    limits: Limits

    def build(self) -> dict:
        started = time.monotonic()
        result = call(lambda: archives.write_archive(self.model, self.kind, self.archive), self.limits)
        seconds = round(time.monotonic() - started, 1)
        if isinstance(result, Exception):
            return {"outcome": "not_built", "reason": archives.reason_of(result), "seconds": seconds}
        return {"outcome": "built", "bytes": self.archive.stat().st_size, "seconds": seconds}

    def take(self, step: str) -> dict:
        line = self.inspect() if step == "inspect" else self.prune(step)
        return {**line, "engine": self.engine}

    def inspect(self) -> dict:
        ended = self.command("inspect", "--json")
        if ended.code != 0:
            return refusal(ended)
        summary = json.loads(ended.stdout)
        groups = [group for group in summary["groups"] if group["unprunable"] is None]
        frozen = [group for group in summary["groups"] if group["unprunable"] is not None]
        reasons: dict[str, int] = {}
        for group in frozen:
            reasons[group["unprunable"]] = reasons.get(group["unprunable"], 0) + group["channels"]
        return {
            "outcome": "inspected",
            "macs": summary["base"]["macs"],
            "params": summary["base"]["params"],
            "groups": len(groups),
            "channels": sum(group["channels"] for group in groups),
            "frozen_channels": sum(group["channels"] for group in frozen),
            "reasons": sorted(reasons, key=lambda reason: -reasons[reason])[:8],
            "reachable": summary["reachable"],
            **cost(ended),
        }

    def prune(self, method: str) -> dict:
        pruned, report = self.scratch / f"{method}.pt", self.scratch / f"{method}.json"
        ended = self.command(
            "prune",
            "--flops",
            str(TARGET),
            "--method",
            method,
            "--no-fine-tune",
            "-o",
            str(pruned),
            "--report",
            str(report),
        )
        if ended.code != 0:
            return refusal(ended)
        found = json.loads(report.read_text())
        removed = found["reduction"]["flops_reduction"]
        line = {
            "outcome": "pruned",
            "flops_reduction": removed,
            "params_reduction": found["reduction"]["params_reduction"],
            "equivalence": found["equivalence"],
            "export": found["export"]["kind"],
            "export_reason": found["export"]["reason"],
            "edits": len(found["export"]["edits"]),
            **cost(ended),
        }
        problems = [] if abs(removed - TARGET) <= TOLERANCE else [f"removed {removed:.4f} instead of {TARGET}"]
        equivalence = found["equivalence"]
        if equivalence["max_abs_diff"] > equivalence["tolerance"]:
            problems.append(f"the oracle differs by {equivalence['max_abs_diff']:.1e}")
        kept = found["kept"]
        loaded = call(lambda: run_in_pytorch(self.model, self.archive, pruned, kept), self.limits)
        problems += [str(loaded)] if isinstance(loaded, Exception) else loaded
        sizes = call(lambda: run_at_other_size(self.model, self.archive, pruned, kept), self.limits)
        line["other_size"], other_problems = ("failed", [str(sizes)]) if isinstance(sizes, Exception) else sizes
        # A recording says that its size is fixed.
        problems += other_problems if line["export"] == "patched" else []
        pruned.unlink()
        return {**line, "outcome": "failed", "reason": "; ".join(problems)} if problems else line

    def command(self, name: str, *options: str) -> Ended:
        shapes = ["--input-shape", ",".join(map(str, self.model.shape))] * self.model.inputs
        command = [str(self.secateur), name, str(self.archive), *shapes, *options]
        return run_command(command, self.limits, self.scratch)


def cost(ended: Ended) -> dict:
    """Seconds of the command and of its stages, and peak memory."""
    stages = {
        stage: float(seconds) for stage, seconds in re.findall(r"^(\w+): done, ([\d.]+) s$", ended.stderr, re.MULTILINE)
    }
    return {"seconds": round(ended.seconds, 1), "stages": stages, "peak_bytes": ended.peak_bytes}


def refusal(ended: Ended) -> dict:
    said = re.search(r"^error: (?:(\w+): )?(.*)$", ended.stderr, re.MULTILINE)
    hint = re.search(r"^hint: (.*)$", ended.stderr, re.MULTILINE)
    code = said[1] if said else None
    if ended.code != 1 or code is None or code == "internal":
        reason = said[0] if said else f"ended with code {ended.code}"
        return {"outcome": "failed", "reason": reason[:1000], **cost(ended)}
    outcome = "unreachable" if code == "target_unreachable" else "refused"
    return {"outcome": outcome, "code": code, "reason": said[2][:600], "hint": hint and hint[1], **cost(ended)}


def run_in_pytorch(model: Model, original: Path, pruned: Path, kept: dict) -> list[str]:
    """What is wrong with the pruned file as stock PyTorch sees it."""
    before, after = torch.jit.load(str(original)).eval(), torch.jit.load(str(pruned)).eval()
    old, new = before.state_dict(), after.state_dict()
    problems = [] if list(old) == list(new) else ["the names of its state_dict differ"]
    if not kept:
        problems.append("the report names no tensor that was cut")
    for name, axes in kept.items():
        cut = find_tensor(after, name)
        # Constants in the code of the original have no name there.
        source = cut if name.startswith("CONSTANTS.") else find_tensor(before, name)
        if source is None or cut is None:
            problems.append(f"{name}, which the report names, is not in both files")
            continue
        expected = list(source.shape)
        for axis, indices in axes.items():
            expected[int(axis)] = len(indices)
        if list(cut.shape) != expected:
            problems.append(f"{name} has the shape {list(cut.shape)}, the report says {expected}")
    with torch.no_grad():
        for batch in BATCHES:
            inputs = archives.random_inputs(model, batch)
            originals, outputs = (tensors(network(*inputs)) for network in (before, after))
            if not outputs:
                problems.append(f"no tensor comes out at batch {batch}")
            if [tensor.shape for tensor in originals] != [tensor.shape for tensor in outputs]:
                problems.append(f"the outputs at batch {batch} have other shapes")
            if not all(bool(tensor.isfinite().all()) for tensor in outputs):
                problems.append(f"the outputs at batch {batch} are not finite")
    # The first ones say enough, and few fit into the pipe of `call`.
    return problems[:20]


def run_at_other_size(model: Model, original: Path, pruned: Path, kept: dict) -> tuple[str, list[str]]:
    """How the pruned file does at a second size that the original accepts: `same` when it computes what the original does with the
    removed input columns at zero, `shapes` where that cannot be said (a normalisation over cut channels), `fixed` when the
    original accepts no other."""
    before, after = torch.jit.load(str(original)).eval(), torch.jit.load(str(pruned)).eval()
    at_home, elsewhere = (archives.random_inputs(shaped, 2) for shaped in (model, model.at_other_size()))
    with torch.no_grad():
        try:
            expected = tensors(before(*elsewhere))
        except Exception:
            return "fixed", []
        try:
            outputs = tensors(after(*elsewhere))
        except Exception as error:
            return "lost", [f"it fails at another size: {archives.reason_of(error)}"]
        if [(tensor.shape, tensor.dtype) for tensor in outputs] != [
            (tensor.shape, tensor.dtype) for tensor in expected
        ]:
            return "lost", ["its outputs at another size have other shapes"]
        zero_removed_columns(before, kept)
        if differs(tensors(before(*at_home)), tensors(after(*at_home))):
            return "shapes", []
        if differs(tensors(before(*elsewhere)), outputs):
            return "wrong", ["it computes something else at another size"]
    return "same", []


def zero_removed_columns(network: torch.jit.ScriptModule, kept: dict) -> None:
    """Of all weights, those columns that read a removed channel."""
    for name, axes in kept.items():
        tensor = find_tensor(network, name)
        if tensor is None or tensor.dim() < 2 or "1" not in axes:
            continue
        removed = torch.ones(tensor.shape[1], dtype=torch.bool)
        removed[axes["1"]] = False
        with torch.no_grad():
            tensor[:, removed] = 0


def differs(expected: list[torch.Tensor], actual: list[torch.Tensor]) -> bool:
    def scale(tensor: torch.Tensor) -> float:
        return max(float(tensor.abs().max()), 1e-2)

    floats = [(a, b) for a, b in zip(expected, actual, strict=True) if a.is_floating_point()]
    return any(float((a - b).abs().max()) > 1e-3 * scale(a) for a, b in floats)


def find_tensor(script: torch.jit.ScriptModule, name: str) -> torch.Tensor | None:
    """A tensor by its dotted name: of the state_dict, or what a module holds as an attribute or in a dictionary (a cache of biases)."""
    # The object below Python's wrapper, in which an attribute called `cpu` is not hidden by the method of that name.
    found: object = script._c
    for part in name.split("."):
        if isinstance(found, dict):
            found = found.get(part)
        else:
            found = found.getattr(part) if hasattr(found, "hasattr") and found.hasattr(part) else None
    return found if isinstance(found, torch.Tensor) else None


def tensors(output: object) -> list[torch.Tensor]:
    if isinstance(output, torch.Tensor):
        return [output]
    if isinstance(output, dict):
        return [tensor for part in output.values() for tensor in tensors(part)]
    if isinstance(output, (tuple, list)):
        return [tensor for part in output for tensor in tensors(part)]
    return []
