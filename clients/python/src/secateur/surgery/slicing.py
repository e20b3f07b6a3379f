"""The kept channels of tensors that have the original's shapes, such as an old checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .. import errors
from ..optional import require

if TYPE_CHECKING:
    import torch

#: For every changed tensor, by name, per axis, the kept original indices.
Kept = Mapping[str, Mapping[int, list[int]]]


def slice_state_dict(state_dict: Mapping[str, Any], kept: Kept) -> dict[str, Any]:
    """A copy of a checkpoint in which every changed tensor has its kept indices only; what is no tensor stays as it is.

    Values are the checkpoint's own: what the job repaired and trained is not in them.

    Raises:
        ModuleMismatch: A changed tensor is missing, or has not the original's shape.
    """
    require("torch", "`slice_state_dict`", "torch")
    # Constants in the code of the TorchScript are no tensors of the module.
    missing = [name for name in kept if name not in state_dict and not name.startswith("CONSTANTS.")]
    if missing:
        raise errors.ModuleMismatch(f"the checkpoint lacks {_some(missing)}, which the job cut", missing[0])
    return {
        name: slice_tensor(name, value, kept[name]) if name in kept else value for name, value in state_dict.items()
    }


def slice_tensor(name: str, tensor: torch.Tensor, axes: Mapping[int, list[int]]) -> torch.Tensor:
    """The kept indices of a tensor of any type, axis by axis.

    Raises:
        ModuleMismatch: It has not the original's shape.
    """
    import torch

    for axis, indices in axes.items():
        if axis >= tensor.dim() or indices[-1] >= tensor.shape[axis]:
            raise errors.ModuleMismatch(
                f"`{name}` has the shape {list(tensor.shape)}, in whose axis {axis} there is no index {indices[-1]}: "
                "it is not the original, or was cut already",
                name.rpartition(".")[0],
            )
        tensor = tensor.index_select(axis, torch.tensor(indices, device=tensor.device))
    return tensor


def _some(names: list[str]) -> str:
    shown = ", ".join(f"`{name}`" for name in names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"
