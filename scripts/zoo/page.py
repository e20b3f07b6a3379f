"""docs/coverage.md, from the results in a folder."""

from __future__ import annotations

import textwrap
from collections import Counter
from pathlib import Path

from archives import KINDS
from catalogue import AUDIO, CLASSIFICATION, FLOW, MODELS, SEGMENTATION, TIMM, TRANSFORMERS, VIDEO, Model
from results import Results
from steps import METHODS, STEPS, TARGET

WIDTH = 128

HEAD = """# Which networks are pruned

Written by `make zoo`; not by hand. The zoo takes the smallest model of every torchvision classification, segmentation and
video family, one for optical flow, one of each of {timm} timm families, and some of the transformers library and of torchaudio in
small configurations, all with random weights. Each becomes a TorchScript file by `torch.jit.trace` and, where torch can, by
`torch.jit.script`. Each file goes through `secateur prune --flops {target} --no-fine-tune` with the methods {methods};
nothing but the file and the shape of its input is given.

*pruned* means, for both methods: half of the multiply-accumulates went, within one percentage point; the cut network
computes what the original with the removed input columns zeroed computes (the oracle in the engine, before anything is tuned);
the file that was written loads in stock PyTorch with the same names in its `state_dict` and the shapes that the
report says, and gives finite outputs of the original's shapes at two batch sizes.

*patched* is a file that is the user's own program with smaller tensors and a few changed literals; *recorded* is a program printed
from one run, for inputs of one size. The file is run at a second size of input where the original accepts one: it *computes the
same* as the original with the removed input columns at zero, or it only *runs* where a normalisation over cut channels leaves nothing to
compare with. A dash: the step was taken before this was written down.

*refused* is an answer with a reason before anything is written; *unreachable* means that less than half can go; *failed* would be a
crash or a wrong result; *not run* is a step that has not been taken yet. *pruned¹* is a file that has gone through one of the
methods, {last} unless the other is named, and counts as pruned in the sums.
"""

PEER = """
## Beside Torch-Pruning

Torch-Pruning prunes live Python modules. Its figures are not measured here: they are the two lists that its repository
(github.com/VainF/Torch-Pruning) gives for the 85 models of torchvision 0.13 that it tried. `benchmarks/prunability/readme.md`
at commit 04b07be4 has 77 pruned and 8 not (ShuffleNetV2 four times, Swin three times, RAFT), `examples/timm_models/readme.md`
at commit 44b625ae has 81 and 4 (Swin three times, RAFT). A model counts there when its pruned form runs
(`benchmarks/prunability/torchvision_pruning.py`); what it computes is not compared. The 77 are 19 of the classification rows
of this page and its 4 segmentation ones, in several sizes each, and ten detectors, which are not TorchScript files of tensors in
and tensors out and are not in this zoo.

| | Torch-Pruning | Secateur |
|---|---|---|
| starts from | the Python module | the TorchScript file |
| torchvision classification families | 19 (77 of 85), 20 (81 of 85); not Swin; RegNetX, Swin V2 and MaxViT not tried | {classification} |
| torchvision segmentation models | 4 of 4 | {segmentation} |
| RAFT | no (both lists) | {raft} |
| ShuffleNetV2 | no (77 of 85), yes (81 of 85) | {shufflenet} |
| Swin, Swin V2 | no, not tried | {swin} |
| timm families | no list of results | {timm} |
| target | channel ratio | multiply-accumulates within one point |
| checked | that it runs | exactness, reload, names, shapes |
"""


def write(folder: Path, engine: str) -> str:
    """The page, for a reader who has the build `engine`."""
    results = {model.key: Results(folder / f"{model.key}.jsonl") for model in MODELS}
    sections = [
        ("torchvision: classification", CLASSIFICATION),
        ("torchvision: segmentation", SEGMENTATION),
        ("torchvision: video", VIDEO),
        ("torchvision: optical flow", FLOW),
        ("timm", TIMM),
        ("transformers, in small", TRANSFORMERS),
        ("torchaudio", AUDIO),
    ]
    text = HEAD.format(
        timm=len(TIMM),
        target=TARGET,
        methods=" and ".join(f"`{method}`" for method in METHODS),
        last=f"`{METHODS[-1]}`",
    )
    text += "\n| | models |" + "".join(f" {kind}: {outcome} |" for kind in KINDS for outcome in ("pruned", "of"))
    text += "\n|---|---|" + "---|" * (2 * len(KINDS)) + "\n"
    for title, models in sections:
        cells = [f"{pruned} | {built}" for pruned, built in (count(models, results, kind) for kind in KINDS)]
        text += f"| {title} | {len(models)} | " + " | ".join(cells) + " |\n"
    text += "\n" + textwrap.fill(builds(results, engine) + by_one_method(results), WIDTH) + "\n"
    text += peer(results)
    for title, models in sections:
        text += f"\n## {title}\n\n"
        text += (
            "| family | model | input | " + " | ".join(KINDS) + " | the file | most that can go | what keeps more |\n"
        )
        text += "|---|---|---|" + "---|" * (len(KINDS) + 3) + "\n"
        text += "".join(row(model, results[model.key]) for model in models)
    return text + times(results)


def count(models: list[Model], results: dict[str, Results], kind: str) -> tuple[int, int]:
    """Models that were pruned, and those of which torch made a file."""
    verdicts = [verdict(results[model.key], kind)[0] for model in models]
    pruned = sum(verdict.startswith("pruned") for verdict in verdicts)
    return pruned, len(verdicts) - verdicts.count("no file") - verdicts.count("not run")


def builds(results: dict[str, Results], engine: str) -> str:
    """Which builds of the engine took the steps that are shown."""
    lines = [line for found in results.values() for (_, step), line in found.lines.items() if step in STEPS]
    taken = Counter(line.get("engine") for line in lines)
    own, unknown = taken.pop(engine, 0), taken.pop(None, 0)
    text = f"The page was written with the engine whose SHA-256 begins with `{engine}`. "
    if own == len(lines):
        return text + f"All {len(lines)} steps that are shown were taken with it."
    others = [f"{number} with `{build}`" for build, number in taken.most_common()]
    others += [f"{unknown} with builds that were not written down"] if unknown else []
    return text + (
        f"Of the {len(lines)} steps that are shown, {own} were taken with it, {', '.join(others)}; what others took may come "
        "out otherwise with this one."
    )


def by_one_method(results: dict[str, Results]) -> str:
    verdicts = [verdict(found, kind)[0] for found in results.values() for kind in KINDS]
    pruned = [word for word in verdicts if word.startswith("pruned")]
    partly = len(pruned) - pruned.count("pruned")
    return f" Of the {len(pruned)} pruned files, {partly} have gone through one method only." if partly else ""


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
    return ("not run" if len(missing) == len(METHODS) else pruned_by(missing)), ""


def pruned_by(missing: list[str]) -> str:
    """`pruned` by all methods but these."""
    if not missing:
        return "pruned"
    return "pruned¹" if METHODS[-1] not in missing else f"pruned¹ by {METHODS[0]}"


# What a patched file does at a second size of input.
SIZES = {
    "same": "other sizes compute the same",
    "shapes": "other sizes run",
    "fixed": "the original takes one size",
}


def file_of(results: Results) -> str:
    """How the pruned files were written, traced and scripted."""
    words = []
    for kind in KINDS:
        line = results.lines.get((kind, METHODS[-1]), {})
        if line.get("outcome") != "pruned" or "export" not in line:
            continue
        sizes = SIZES.get(line["other_size"], line["other_size"])
        words.append(f"{line['export']}, {sizes}" if line["export"] == "patched" else "recorded")
    return " / ".join(dict.fromkeys(words)) or "–"


def row(model: Model, results: Results) -> str:
    verdicts = [verdict(results, kind) for kind in KINDS]
    inspected = results.lines.get(("traced", "inspect"), {})
    most = inspected.get("reachable", {}).get("flops_reduction")
    # What torch says about a file that it cannot make is not about this program.
    reasons = [reason for word, reason in verdicts if reason and word != "no file"]
    # Every model has inputs and outputs.
    held = [reason for reason in inspected.get("reasons", []) if reason.startswith(("at node", "node"))]
    notes = reasons[:1] or held[:2]
    shape = " and ".join(["×".join(map(str, model.shape))] * model.inputs)
    words = " | ".join(word for word, _ in verdicts)
    share = f"{most:.0%}" if most is not None else "–"
    note = "; ".join(notes).replace("|", "\\|").replace("\n", " ")[:400]
    return f"| {model.family} | `{model.name}` | {shape} | {words} | {file_of(results)} | {share} | {note} |\n"


def peer(results: dict[str, Results]) -> str:
    def share(models: list[Model]) -> str:
        pruned, ran = count(models, results, "traced")
        return f"{pruned} of {ran}" + (f" ({len(models) - ran} not run)" if ran < len(models) else "")

    def named(*keys: str) -> str:
        return ", ".join(verdict(results[f"torchvision-{key}"], "traced")[0] for key in keys)

    return PEER.format(
        classification=share(CLASSIFICATION),
        segmentation=share(SEGMENTATION),
        raft=verdict(results[FLOW[0].key], "traced")[0],
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

    def seconds(line: dict) -> float:
        return sum(line["stages"].values())

    key, kind, slowest = max(lines, key=lambda found: seconds(found[2]))
    outcomes = Counter(line["outcome"] for found in results.values() for line in found.lines.values())
    told = ", ".join(f"{number} {outcome}" for outcome, number in sorted(outcomes.items()))
    return (
        f"\n## Time\n\nImport and grouping took {seconds(slowest):.1f} s for the slowest file ({key}, {kind}) and "
        f"{sorted(seconds(line) for _, _, line in lines)[len(lines) // 2]:.1f} s for the median one.\n\nSteps: {told}.\n"
    )
