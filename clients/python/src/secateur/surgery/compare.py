"""Whether two networks return the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch


def flatten(output: Any) -> list[torch.Tensor]:
    """The tensors of what a network returns, in order: of tuples, lists, mappings and data classes such as those of Hugging Face."""
    if isinstance(output, torch.Tensor):
        return [output]
    if isinstance(output, Mapping):
        return [tensor for value in output.values() for tensor in flatten(value)]
    if isinstance(output, tuple | list):
        return [tensor for value in output for tensor in flatten(value)]
    return []


def difference(got: Any, expected: Any) -> float:
    """Largest difference between elements, as a share of the largest expected element or, where that is below 1, as it is; infinite where
    numbers of tensors or shapes differ.
    """
    pairs = list(zip(flatten(got), flatten(expected), strict=False))
    if len(flatten(got)) != len(flatten(expected)) or any(a.shape != b.shape for a, b in pairs):
        return float("inf")
    return max((_difference(a, b) for a, b in pairs if a.numel()), default=0.0)


def _difference(got: torch.Tensor, expected: torch.Tensor) -> float:
    got, expected = got.detach().double().cpu(), expected.detach().double().cpu()
    # Infinities, of masks, are equal to themselves; NaN to nothing.
    apart = torch.where(got == expected, torch.zeros_like(got), (got - expected).abs())
    finite = expected[expected.isfinite()]
    scale = max(1.0, float(finite.abs().max())) if finite.numel() else 1.0
    largest = float(apart.max())
    return float("inf") if largest != largest else largest / scale
