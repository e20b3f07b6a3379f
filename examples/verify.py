"""Checks with stock PyTorch that a pruned TorchScript file is a drop-in replacement for its original.

    python verify.py ORIGINAL.pt PRUNED.pt DATA.npz --mean 4.9 --std 6.0
    python verify.py ORIGINAL.pt PRUNED.pt --input-shape 1,8,8

Only torch and numpy are imported: nothing of Secateur is needed to use what it makes. Exit code 0: all checks passed.
"""

import argparse
import sys

import numpy as np
import torch
from torch import Tensor

BATCH_SIZES = (1, 7)


def main() -> int:
    arguments = parse_arguments()
    original = torch.jit.load(arguments.original, map_location="cpu").eval()
    pruned = torch.jit.load(arguments.pruned, map_location="cpu").eval()

    problems = compare_state(original.state_dict(), pruned.state_dict())
    problems += compare_trainable(original, pruned)

    batch = torch.randn(max(BATCH_SIZES), *sample_shape(arguments))
    problems += compare_forward(original, pruned, batch)
    problems += check_train_mode(pruned, batch)

    if arguments.data:
        print_accuracy(original, pruned, arguments)
    before, after = parameter_count(original), parameter_count(pruned)
    print(f"parameters: {before} -> {after} ({1 - after / before:.1%} fewer)")

    for problem in problems:
        print(f"MISMATCH: {problem}")
    print("FAILED" if problems else "OK: loads, runs and trains in stock PyTorch with the same state_dict keys")
    return 1 if problems else 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("original")
    parser.add_argument("pruned")
    parser.add_argument("data", nargs="?", help=".npz with x_test [N, C, H, W] and y_test [N]")
    parser.add_argument(
        "--mean", type=number_list, default=[0.0], help="one number, or one per channel: 4.9 or 125,123,114"
    )
    parser.add_argument("--std", type=number_list, default=[1.0])
    parser.add_argument(
        "--input-shape", type=shape, help="one sample without batch, e.g. 3,32,32; taken from DATA if absent"
    )
    arguments = parser.parse_args()
    if not arguments.data and not arguments.input_shape:
        parser.error("give DATA.npz or --input-shape")
    return arguments


def number_list(text: str) -> list[float]:
    return [float(part) for part in text.split(",")]


def shape(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def sample_shape(arguments: argparse.Namespace) -> list[int]:
    if arguments.input_shape:
        return arguments.input_shape
    with np.load(arguments.data) as data:
        return list(data["x_test"].shape[1:])


def compare_state(original: dict[str, Tensor], pruned: dict[str, Tensor]) -> list[str]:
    problems = []
    missing = [name for name in original if name not in pruned]
    added = [name for name in pruned if name not in original]
    if missing or added:
        problems.append(f"state_dict keys differ: {len(missing)} missing {missing[:3]}, {len(added)} added {added[:3]}")
    elif list(original) != list(pruned):
        problems.append("state_dict keys are in another order")
    for name in original:
        if name not in pruned:
            continue
        before, after = original[name], pruned[name]
        if before.dtype != after.dtype or before.dim() != after.dim():
            problems.append(f"{name}: {before.dtype} of {before.dim()} dims became {after.dtype} of {after.dim()}")
        elif any(small > large for small, large in zip(after.shape, before.shape, strict=True)):
            problems.append(f"{name}: {list(before.shape)} grew to {list(after.shape)}")
        elif before.shape != after.shape:
            print(f"  {name}: {list(before.shape)} -> {list(after.shape)}")
    return problems


def compare_trainable(original: torch.jit.ScriptModule, pruned: torch.jit.ScriptModule) -> list[str]:
    def trainable(model: torch.jit.ScriptModule) -> list[tuple[str, bool]]:
        return [(name, parameter.requires_grad) for name, parameter in model.named_parameters()]

    if trainable(original) != trainable(pruned):
        return ["the parameters, or which of them require a gradient, differ"]
    return []


def compare_forward(original: torch.jit.ScriptModule, pruned: torch.jit.ScriptModule, batch: Tensor) -> list[str]:
    problems = []
    with torch.no_grad():
        for size in BATCH_SIZES:
            expected, actual = original(batch[:size]), pruned(batch[:size])
            if expected.shape != actual.shape or expected.dtype != actual.dtype:
                problems.append(f"batch of {size}: output {list(expected.shape)} became {list(actual.shape)}")
            elif not torch.isfinite(actual).all():
                problems.append(f"batch of {size}: output is not finite")
    return problems


def check_train_mode(pruned: torch.jit.ScriptModule, batch: Tensor) -> list[str]:
    state = {name: tensor.clone() for name, tensor in pruned.state_dict().items()}
    pruned.train()
    pruned(batch).sum().backward()
    without_gradient = [
        name for name, parameter in pruned.named_parameters() if parameter.requires_grad and parameter.grad is None
    ]
    pruned.zero_grad()
    pruned.eval()
    pruned.load_state_dict(state)  # the step in train mode moved the batch-norm statistics
    return [f"no gradient reaches {without_gradient}"] if without_gradient else []


def print_accuracy(
    original: torch.jit.ScriptModule, pruned: torch.jit.ScriptModule, arguments: argparse.Namespace
) -> None:
    with np.load(arguments.data) as data:
        x, y = torch.from_numpy(data["x_test"]).float(), torch.from_numpy(data["y_test"])
    per_channel = [1, -1] + [1] * (x.dim() - 2)
    x = (x - torch.tensor(arguments.mean).view(per_channel)) / torch.tensor(arguments.std).view(per_channel)
    before, after = accuracy(original, x, y), accuracy(pruned, x, y)
    print(f"test accuracy: {before:.4f} -> {after:.4f} ({len(y)} samples)")


def accuracy(model: torch.jit.ScriptModule, x: Tensor, y: Tensor) -> float:
    with torch.no_grad():
        return sum(
            (model(part).argmax(1) == labels).sum().item()
            for part, labels in zip(x.split(256), y.split(256), strict=True)
        ) / len(y)


def parameter_count(model: torch.jit.ScriptModule) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


if __name__ == "__main__":
    sys.exit(main())
