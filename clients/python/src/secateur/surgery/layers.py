"""The sizes that layers of `torch.nn` keep beside their tensors, read off the tensors that they have now."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from . import attention
from .slicing import Kept

#: What the weight of a layer is called: plain, and under weight or spectral normalisation of either kind.
_WEIGHTS = (
    "weight",
    "weight_v",
    "weight_orig",
    "parametrizations.weight.original1",
    "parametrizations.weight.original",
)


def fit(layer: nn.Module, kept: Kept, prefix: str) -> bool:
    """Sets the sizes of a layer that has its pruned tensors; `False` when it is none of `torch.nn`'s with tensors.

    ``kept`` is the report's, ``prefix`` the layer's dotted name.
    """
    if isinstance(layer, nn.MultiheadAttention):
        if any(name.startswith(f"{prefix}." if prefix else "") for name in kept):
            attention.fit(layer, kept, prefix)
        return True
    if isinstance(layer, nn.RNNBase):
        _fit_recurrent(layer)
        return True
    if isinstance(layer, nn.RNNCellBase):
        layer.input_size, layer.hidden_size = layer.weight_ih.shape[1], layer.weight_hh.shape[1]
        return True
    weight, rows = _weight(layer), _rows(layer, kept, prefix)
    if isinstance(layer, _NormBase):
        sized = weight if weight is not None else layer.running_mean
        if sized is None:
            return False
        layer.num_features = sized.shape[0]
        return True
    if weight is None:
        return False
    if isinstance(layer, _ConvNd):
        _fit_convolution(layer, weight, rows)
    elif isinstance(layer, nn.Linear):
        layer.out_features, layer.in_features = weight.shape
    elif isinstance(layer, nn.Bilinear):
        layer.out_features, layer.in1_features, layer.in2_features = weight.shape
    elif isinstance(layer, nn.Embedding | nn.EmbeddingBag):
        layer.num_embeddings, layer.embedding_dim = weight.shape
    elif isinstance(layer, nn.LayerNorm | nn.RMSNorm):
        layer.normalized_shape = tuple(weight.shape)
    elif isinstance(layer, nn.GroupNorm):
        layer.num_groups = _groups_left(rows, layer.num_channels, layer.num_groups)
        layer.num_channels = weight.shape[0]
    elif isinstance(layer, nn.PReLU):
        layer.num_parameters = weight.shape[0]
    else:
        return False
    return True


def _weight(layer: nn.Module) -> torch.Tensor | None:
    """The weight as the layer computes with it, whatever it is made of."""
    for name in ("weight_v", "weight_orig", "weight"):
        weight = getattr(layer, name, None)
        if isinstance(weight, torch.Tensor):
            return weight.detach()
    return None


def _rows(layer: nn.Module, kept: Kept, prefix: str) -> list[int] | None:
    """The kept indices of the weight's first axis; `None` where all are."""
    for name in _WEIGHTS:
        axes = kept.get(f"{prefix}.{name}" if prefix else name)
        if axes is not None and 0 in axes:
            return axes[0]
    return None


def _fit_convolution(layer: Any, weight: torch.Tensor, rows: list[int] | None) -> None:
    first = layer.in_channels if isinstance(layer, _ConvTransposeNd) else layer.out_channels
    layer.groups = _groups_left(rows, first, layer.groups)
    if isinstance(layer, _ConvTransposeNd):
        layer.in_channels, layer.out_channels = weight.shape[0], weight.shape[1] * layer.groups
    else:
        layer.out_channels, layer.in_channels = weight.shape[0], weight.shape[1] * layer.groups


def _groups_left(rows: list[int] | None, size: int, groups: int) -> int:
    """How many of the groups that ``size`` channels lie in have one of the kept ones."""
    return groups if rows is None else len({row // (size // groups) for row in rows})


def _fit_recurrent(layer: nn.RNNBase) -> None:
    weight_ih, weight_hh = layer.get_parameter("weight_ih_l0"), layer.get_parameter("weight_hh_l0")
    layer.input_size = weight_ih.shape[1]
    gates = {"LSTM": 4, "GRU": 3}.get(layer.mode, 1)
    layer.hidden_size = weight_hh.shape[0] // gates
    if layer.proj_size:
        layer.proj_size = weight_hh.shape[1]
    layer.flatten_parameters()
