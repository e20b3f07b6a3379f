"""docs/coverage.md, from the results in a folder."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from archives import KINDS
from catalogue import CLASSIFICATION, MODELS, SEGMENTATION, TIMM, VIDEO, Model
from results import Results
from steps import METHODS, TARGET

HEAD = """# Which networks are pruned

Written by `make zoo`; not by hand. The zoo takes the smallest model of every torchvision classification and segmentation
family, two video networks, and one of each of {timm} timm families, with random weights. Each becomes a TorchScript file by `torch.jit.trace`
and, where torch can, by `torch.jit.script`. Each file goes through `secateur prune --flops {target} --no-fine-tune`
with the methods {methods}; nothing but the file and the shape of its input is given.

*pruned* means, for both methods: half of the multiply-accumulates went, within one percentage point; the cut network
computes what the original with the removed input columns zeroed computes (the oracle in the engine, before anything is tuned);
the file that was written loads in stock PyTorch with the same names in its `state_dict` and the shapes that the
report says, and gives finite outputs of the original's shapes at two batch sizes.

*refused* is an answer with a reason before anything is written; *unreachable* means that less than half can go; *failed* would be a
crash or a wrong result.
"""

PEER = """
## Beside Torch-Pruning

Torch-Pruning prunes live Python modules. It publishes two lists for the 85 models of torchvision 0.13 that it tried: 77 pruned and 8 not
(ShuffleNetV2 four times, Swin three times, RAFT), and in a later one 81 and 4 (Swin three times, RAFT). A model counts there when
its pruned form runs; what it computes is not compared. Its 77 are {families} families in several sizes each, and ten detectors,
which are not TorchScript files of tensors in and tensors out and are not in this zoo.

| | Torch-Pruning | Secateur |
|---|---|---|
| starts from | the Python module | the TorchScript file |
| torchvision classification families | all but Swin | {classification} |
| torchvision segmentation models | 4 of 4 | {segmentation} |
| ShuffleNetV2 | no (77 of 85), yes (81 of 85) | {shufflenet} |
| Swin, Swin V2 | no, not tried | {swin} |
| timm families | no list | {timm} |
| target | channel ratio | multiply-accumulates within one point |
| checked | that it runs | exactness, reload, names, shapes |
"""


def write(folder: Path) -> str:
    results = {model.key: Results(folder / f"{model.key}.jsonl") for model in MODELS}
    sections = [
        ("torchvision: classification", CLASSIFICATION),
        ("torchvision: segmentation", SEGMENTATION),
        ("torchvision: video", VIDEO),
        ("timm", TIMM),
    ]
    text = HEAD.format(timm=len(TIMM), target=TARGET, methods=" and ".join(f"`{method}`" for method in METHODS))
    text += "\n| | models |" + "".join(f" {kind}: {outcome} |" for kind in KINDS for outcome in ("pruned", "of"))
    text += "\n|---|---|" + "---|" * (2 * len(KINDS)) + "\n"
    for title, models in sections:
        cells = [f"{pruned} | {built}" for pruned, built in (count(models, results, kind) for kind in KINDS)]
        text += f"| {title} | {len(models)} | " + " | ".join(cells) + " |\n"
    text += peer(results)
    for title, models in sections:
        text += f"\n## {title}\n\n"
        text += "| family | model | input | " + " | ".join(KINDS) + " | most that can go | what keeps more |\n"
        text += "|---|---|---|" + "---|" * (len(KINDS) + 2) + "\n"
        text += "".join(row(model, results[model.key]) for model in models)
    return text + times(results)


def count(models: list[Model], results: dict[str, Results], kind: str) -> tuple[int, int]:
    """Models that were pruned, and those of which torch made a file."""
    verdicts = [verdict(results[model.key], kind)[0] for model in models]
    pruned = sum(verdict.startswith("pruned") for verdict in verdicts)
    return pruned, len(verdicts) - verdicts.count("no file") - verdicts.count("not run")


def verdict(results: Results, kind: str) -> tuple[str, str]:
    """One word for a kind of file, and the reason where it is not `pruned`."""
    ran = [method for method in METHODS if (kind, method) in results.lines]
    for step in ("build", "inspect", *ran):
        line = results.lines.get((kind, step))
        if line is None:
            return "not run", ""
        if line["outcome"] == "not_built":
            return "no file", line["reason"]
        if line["outcome"] not in ("built", "inspected", "pruned"):
            hint = f" Hint: {line['hint']}." if line.get("hint") else ""
            return line["outcome"], f"{line.get('code', '')} {line['reason']}{hint}".strip()
    missing = [method for method in METHODS if method not in ran]
    return ("not run" if len(missing) == len(METHODS) else "pruned" + "".join(f", {method} not run" for method in missing)), ""


def row(model: Model, results: Results) -> str:
    verdicts = [verdict(results, kind) for kind in KINDS]
    inspected = results.lines.get(("traced", "inspect"), {})
    most = inspected.get("reachable", {}).get("flops_reduction")
    # What torch says about a file that it cannot make is not about this program.
    reasons = [reason for word, reason in verdicts if reason and word != "no file"]
    # Every model has inputs and outputs.
    held = [reason for reason in inspected.get("reasons", []) if reason.startswith(("at node", "node"))]
    notes = reasons[:1] or held[:2]
    shape = "×".join(map(str, model.shape))
    words = " | ".join(word for word, _ in verdicts)
    share = f"{most:.0%}" if most is not None else "–"
    note = "; ".join(notes).replace("|", "\\|").replace("\n", " ")[:400]
    return f"| {model.family} | `{model.name}` | {shape} | {words} | {share} | {note} |\n"


def peer(results: dict[str, Results]) -> str:
    def share(models: list[Model]) -> str:
        pruned, ran = count(models, results, "traced")
        return f"{pruned} of {ran}" + (f" ({len(models) - ran} not run)" if ran < len(models) else "")

    def named(*keys: str) -> str:
        return ", ".join(verdict(results[f"torchvision-{key}"], "traced")[0] for key in keys)

    return PEER.format(
        families=len(CLASSIFICATION) - 1,
        classification=share(CLASSIFICATION),
        segmentation=share(SEGMENTATION),
        shufflenet=named("shufflenet_v2_x0_5"),
        swin=named("swin_t", "swin_v2_t"),
        timm=share(TIMM),
    )


def times(results: dict[str, Results]) -> str:
    lines = [
        (key, kind, line)
        for key, found in results.items()
        for (kind, step), line in found.lines.items()
        if step == "inspect" and line["outcome"] == "inspected"
    ]
    if not lines:
        return ""
    seconds = lambda line: sum(line["stages"].get(stage, 0) for stage in ("import", "graph"))
    key, kind, slowest = max(lines, key=lambda found: seconds(found[2]))
    outcomes = Counter(line["outcome"] for found in results.values() for line in found.lines.values())
    told = ", ".join(f"{number} {outcome}" for outcome, number in sorted(outcomes.items()))
    return (
        f"\n## Time\n\nImport and grouping took {seconds(slowest):.1f} s for the slowest file ({key}, {kind}) and "
        f"{sorted(seconds(line) for _, _, line in lines)[len(lines) // 2]:.1f} s for the median one.\n\nSteps: {told}.\n"
    )
