"""What to call a network with, where nobody said it."""

from __future__ import annotations

from typing import Any

import torch

from .. import errors
from ..model import Arguments, Inputs
from ..report import Report

_BATCH = 2


def example_arguments(example_inputs: Inputs | None, report: Report) -> Arguments:
    """The example inputs, on the CPU, or random ones of the sizes that the job pruned at.

    Raises:
        UsageError: The report does not say what the inputs are.
    """
    if example_inputs is not None:
        given = Arguments.of(example_inputs)
        named = None if given.named is None else {name: _to_cpu(value) for name, value in given.named.items()}
        return Arguments(tuple(_to_cpu(value) for value in given.positional), named)
    specs: list[dict[str, Any]] = list(report["spec"].get("inputs") or [])
    shapes = [sizes["shape"] for sizes in (report.get("sizes") or {}).get("inputs", [])]
    if not shapes or (specs and len(specs) != len(shapes)):
        raise errors.UsageError("`apply` compares outputs: give `example_inputs`, what `forward` is called with")
    generator = torch.Generator().manual_seed(0)
    return Arguments(
        tuple(_draw(shape, spec, generator) for shape, spec in zip(shapes, specs or [{}] * len(shapes), strict=True))
    )


def _to_cpu(value: Any) -> Any:
    return value.detach().cpu() if isinstance(value, torch.Tensor) else value


def _draw(shape: list[int], spec: dict[str, Any], generator: torch.Generator) -> Any:
    if spec.get("value") is not None:
        return spec["value"]
    dtype: torch.dtype = getattr(torch, spec.get("dtype") or "float32")
    if dtype.is_floating_point:
        return torch.randn(_BATCH, *shape, generator=generator).to(dtype)
    return torch.randint(0, int(spec.get("max") or 1) + 1, (_BATCH, *shape), generator=generator).to(dtype)
