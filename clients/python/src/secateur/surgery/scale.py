"""The scale of attention that Python computes from the size of a head, which surgery has changed.

`scaled_dot_product_attention` and code such as `q * head_dim ** -0.5` divide by the root of the present size; the pruned TorchScript goes on to
divide by the root of the original one. The difference is a factor, and the projection to queries can hold it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from ..report import ProgramEdit
from .sizes import number_changes


@dataclass(frozen=True)
class Folding:
    """Rows of a submodule's parameters, the whole or the first third, and what to multiply them by."""

    parameters: tuple[str, ...]
    share: int
    factor: float

    def fold(self, module: nn.Module) -> None:
        """Multiplies them, in place."""
        self._multiply(module, self.factor)

    def unfold(self, module: nn.Module) -> None:
        """Takes it back, but for rounding."""
        self._multiply(module, 1 / self.factor)

    def values(self, module: nn.Module) -> Mapping[str, torch.Tensor]:
        """The parameters as they are, by their names in the submodule."""
        return {name: module.get_parameter(name).detach().clone() for name in self.parameters}

    def _multiply(self, module: nn.Module, factor: float) -> None:
        with torch.no_grad():
            for name in self.parameters:
                parameter = module.get_parameter(name)
                parameter[: parameter.shape[0] // self.share] *= factor


def foldings(module: nn.Module, edits: Sequence[ProgramEdit]) -> Iterator[Folding]:
    """What could mend the scale of an attention: each linear layer of it, or the first third of one that makes queries, keys and values, by the
    factor that each change of a size means; the likeliest first.
    """
    changes = number_changes(edits)
    factors = {math.sqrt(after / before) for before, afters in changes.items() for after in afters if before != after}
    for name, layer in _projections(module):
        for share in (3, 1) if _is_packed(layer) else (1, 3):
            if layer.out_features % share == 0:
                for factor in sorted(factors):
                    yield _folding(name, layer, share, factor)


def likeliest(module: nn.Module, edits: Sequence[ProgramEdit]) -> Folding | None:
    """What mends the scale of a `scaled_dot_product_attention`, by the name of the layer that makes the queries; `None` where no scale changed,
    or no layer is called so.
    """
    scales = [_SCALE.fullmatch(edit["after"]) for edit in edits if edit["operator"] == _ATTENTION]
    found = next((float(match[1]) for match in scales if match is not None), None)
    projection = next(iter(_projections(module)), None)
    if found is None or projection is None or not _makes_queries(projection[0]):
        return None
    before = round(found**-2)
    after = next(iter(number_changes(edits).get(before, ())), None)
    if after is None:
        return None
    name, layer = projection
    return _folding(name, layer, 3 if _is_packed(layer) else 1, found * math.sqrt(after))


_ATTENTION = "aten::scaled_dot_product_attention"
_SCALE = re.compile(r"(?:, )?scale=([0-9.e+-]+)")


def _projections(module: nn.Module) -> list[tuple[str, nn.Linear]]:
    """The linear layers of a submodule, those first that are called after queries."""
    found = [(name, layer) for name, layer in module.named_modules() if name and isinstance(layer, nn.Linear)]
    return sorted(found, key=lambda projection: not _makes_queries(projection[0]))


def _makes_queries(name: str) -> bool:
    leaf = name.rpartition(".")[2].lower()
    return leaf.startswith("q") or leaf in ("to_q", "wq", "wqkv", "to_qkv", "c_attn", "in_proj") or "query" in leaf


def _is_packed(layer: nn.Linear) -> bool:
    """Whether a layer may make queries, keys and values of one size from vectors of the model's."""
    return layer.out_features % 3 == 0 and layer.out_features > layer.in_features


def _folding(name: str, layer: nn.Linear, share: int, factor: float) -> Folding:
    parameters = tuple(f"{name}.{part}" for part in ("weight", "bias") if getattr(layer, part) is not None)
    return Folding(parameters, share, factor)
