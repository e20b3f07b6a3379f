"""Parameters and buffers: whether they are the original's, and what takes their place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from .. import errors
from .slicing import Kept

if TYPE_CHECKING:
    import torch


def named_tensors(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Every parameter and buffer, under each of its names."""
    tensors: dict[str, torch.Tensor] = dict(module.named_parameters(remove_duplicate=False))
    return tensors | dict(module.named_buffers(remove_duplicate=False))


def pruned_tensors(module: torch.nn.Module, script: torch.nn.Module, kept: Kept) -> dict[str, torch.Tensor]:
    """The pruned network's tensors for a module that has the original's.

    Raises:
        ModuleMismatch: A tensor of the pruned network is missing in the module, or has another shape there than in the original.
    """
    own = named_tensors(module)
    pruned = {name: tensor.detach() for name, tensor in named_tensors(script).items()}
    missing = [name for name in pruned if name not in own]
    if missing:
        raise errors.ModuleMismatch(
            f"the module has no tensor `{missing[0]}`, and the pruned network has: it is not the module that was pruned",
            missing[0].rpartition(".")[0],
        )
    for name, tensor in pruned.items():
        _check_shape(name, own[name], tensor, kept.get(name, {}))
    return pruned


def _check_shape(name: str, own: torch.Tensor, pruned: torch.Tensor, axes: Mapping[int, list[int]]) -> None:
    where = name.rpartition(".")[0]
    if axes and own.shape == pruned.shape:
        raise errors.ModuleMismatch(
            f"`{name}` has the shape {list(own.shape)} of the pruned network already: `apply` wants the original module",
            where,
        )
    after = [len(axes[axis]) if axis in axes else size for axis, size in enumerate(own.shape)]
    too_small = any(indices[-1] >= own.shape[axis] for axis, indices in axes.items() if axis < own.dim())
    if after != list(pruned.shape) or too_small:
        raise errors.ModuleMismatch(
            f"`{name}` has the shape {list(own.shape)}, which does not become the pruned network's "
            f"{list(pruned.shape)}: it is not the module that was pruned",
            where,
        )


def replace(module: torch.nn.Module, values: Mapping[str, torch.Tensor], *, keep_types: bool = True) -> None:
    """Gives tensors of a module new shapes and values; device, `requires_grad` and type stay. What is shared stays shared."""
    import torch

    own = named_tensors(module)
    replaced: dict[int, torch.Tensor] = {}
    for name, value in values.items():
        before = own[name]
        if id(before) not in replaced:
            after = value.to(device=before.device, dtype=before.dtype if keep_types else value.dtype, copy=True)
            if isinstance(before, torch.nn.Parameter):
                after = torch.nn.Parameter(after, requires_grad=before.requires_grad)
            replaced[id(before)] = after
        path, _, leaf = name.rpartition(".")
        # By assignment and not in the dictionary: recurrent layers keep a list of their weights beside it.
        setattr(module.get_submodule(path), leaf, replaced[id(before)])
