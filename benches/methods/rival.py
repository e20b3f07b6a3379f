"""What a user does today who has the network's Python code: Torch-Pruning cuts it, and a usual script trains what is left.

    python rival.py NETWORK FILE DATA MEAN STD REDUCTION SEED EPOCHS --packages FOLDER [--each-layer] [--device cuda]

Torch-Pruning 1.6.1 (Fang et al., "DepGraph", CVPR 2023) removes channels in 400 steps, by the L2 norm of their coupled group, until enough
multiply-accumulates are gone; that is how its repository prunes to a speed-up. With `--each-layer` every layer loses the same share, else
channels of all layers compete. SGD with Nesterov momentum at
0.05 (AdamW at 0.001 for the transformer), a cosine and the labels train it, and the epoch that is best on the validation split is kept. Prints one line of JSON.
"""

import argparse
import copy
import importlib
import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

HERE = Path(__file__).resolve().parent
sys.path += [str(HERE.parent / "recover"), str(HERE.parents[1] / "examples")]

import fashion  # noqa: E402

STEPS, LR, VIT_LR, BATCH = 400, 0.05, 1e-3, 64

CLASSES = {
    "resnet20-digits": ("train", "ResNet20"),
    "vgg-digits": ("train", "Vgg"),
    "resnet20-shapes": ("train_shapes", "NarrowResNet20"),
    "resnet56-shapes": ("deep", "ResNet56"),
    "fashion-resnet20": ("fashion", "resnet20"),
    "fashion-vgg": ("fashion", "vgg"),
    "fashion-mobilenet": ("fashion", "mobilenet"),
    "fashion-vit": ("fashion", "Vit"),
}
"""The networks as Python makes them: a module of examples/, ../recover/ or here, and what to call in it."""

Split = tuple[Tensor, Tensor]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", choices=sorted(CLASSES))
    parser.add_argument("file", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("mean", type=float)
    parser.add_argument("std", type=float)
    parser.add_argument("reduction", type=float)
    parser.add_argument("seed", type=int)
    parser.add_argument("epochs", type=int)
    parser.add_argument("--packages", type=Path, required=True, help="the folder that scripts/setup-rival.sh prints")
    parser.add_argument("--each-layer", action="store_true")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    arguments = parser.parse_args()
    sys.path.insert(0, str(arguments.packages))
    torch.manual_seed(arguments.seed)

    network = build(arguments.network)
    network.load_state_dict(torch.jit.load(str(arguments.file), map_location="cpu").state_dict())
    network.to(arguments.device).eval()
    splits = {
        part: (x.to(arguments.device), y.to(arguments.device))
        for part, (x, y) in load(arguments.data, arguments.mean, arguments.std).items()
    }
    base = accuracies(network, splits)
    example = splits["train"][0][:1]
    whole = macs(network, example)
    started = time.monotonic()
    cut(network, example, (1 - arguments.reduction) * whole, is_global=not arguments.each_layer)
    removed = 1 - macs(network, example) / whole
    network = train(network, splits, arguments.epochs)
    seconds = time.monotonic() - started
    found = {"base": base, "pruned": accuracies(network, splits), "reduction": removed, "seconds": seconds}
    print(json.dumps(found))


def build(network: str) -> nn.Module:
    module, name = CLASSES[network]
    return getattr(importlib.import_module(module), name)()


def load(file: Path, mean: float, std: float) -> dict[str, Split]:
    with np.load(file) as arrays:
        parts = {"train": "", "val": "_val", "test": "_test"}
        return {
            part: (
                (torch.from_numpy(arrays[f"x{suffix}"]).float() - mean) / std,
                torch.from_numpy(arrays[f"y{suffix}"].astype(np.int64)),
            )
            for part, suffix in parts.items()
        }


def cut(network: nn.Module, example: Tensor, most: float, *, is_global: bool) -> None:
    """Removes channels until no more than `most` multiply-accumulates are left."""
    import torch_pruning as tp

    head = next(module for module in reversed(list(network.modules())) if isinstance(module, nn.Linear))
    # Without them heads would be left with unlike widths.
    heads = {
        layer: module.heads
        for module in network.modules()
        if isinstance(module, fashion.Attention)
        for layer in (module.query, module.key, module.value)
    }
    pruner = tp.pruner.BasePruner(
        network,
        example,
        importance=tp.importance.GroupMagnitudeImportance(p=2),
        global_pruning=is_global,
        pruning_ratio=1.0,
        iterative_steps=STEPS,
        ignored_layers=[head],
        num_heads=heads,
    )
    for _ in range(STEPS):
        if macs(network, example) <= most:
            return
        pruner.step()
    sys.exit(f"after {STEPS} steps {macs(network, example)} multiply-accumulates are left, more than {most}")


def macs(network: nn.Module, example: Tensor) -> int:
    """Multiply-accumulates of the convolutions and linear layers for one sample."""
    total = 0

    def count(module: nn.Module, _: object, output: Tensor) -> None:
        nonlocal total
        total += output.numel() * module.weight[0].numel()

    layers = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    with torch.no_grad():
        network(example)
    for hook in hooks:
        hook.remove()
    return total


def train(network: nn.Module, splits: dict[str, Split], epochs: int) -> nn.Module:
    """The network of the epoch that is best on the validation split."""
    x, y = splits["train"]
    if isinstance(network, fashion.Vit):
        optimizer: torch.optim.Optimizer = torch.optim.AdamW(network.parameters(), VIT_LR, weight_decay=0.05)
    else:
        optimizer = torch.optim.SGD(network.parameters(), LR, momentum=0.9, weight_decay=5e-4, nesterov=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * len(x.split(BATCH)))
    best, best_accuracy = network, -1.0
    for _ in range(epochs):
        network.train()
        for batch in torch.randperm(len(x)).split(BATCH):
            loss = F.cross_entropy(network(x[batch]), y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        found = accuracy(network, *splits["val"])
        if found > best_accuracy:
            best, best_accuracy = copy.deepcopy(network), found
    return best


def accuracies(network: nn.Module, splits: dict[str, Split]) -> dict[str, float]:
    return {part: accuracy(network, *splits[part]) for part in ("val", "test")}


def accuracy(network: nn.Module, x: Tensor, y: Tensor) -> float:
    network.eval()
    with torch.no_grad():
        right = [
            (network(part).argmax(1) == classes).sum() for part, classes in zip(x.split(500), y.split(500), strict=True)
        ]
    return float(sum(right)) / len(x)


if __name__ == "__main__":
    main()
