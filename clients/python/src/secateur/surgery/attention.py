"""Multi-head attention whose heads are narrower than what it reads and writes, which `torch.nn.MultiheadAttention` cannot be."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from .. import errors
from .slicing import Kept


class PrunedMultiheadAttention(nn.MultiheadAttention):
    """`torch.nn.MultiheadAttention` after surgery: called as it is, with the same names of parameters.

    Attributes:
        embed_dim: Elements of a vector that it reads as a query, and writes.
        num_heads: Heads.
        head_dim: Elements of a head's query and key.
        value_dim: Elements of a head's value.
        scale: What products of queries and keys are multiplied by: the original's, whatever ``head_dim`` is now.
    """

    head_dim: int
    value_dim: int
    scale: float

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """As `torch.nn.MultiheadAttention.forward`, whose documentation has shapes and masks."""
        is_batched = query.dim() == 3
        if not is_batched:
            query, key, value = (tensor.unsqueeze(0) for tensor in (query, key, value))
            key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
        elif not self.batch_first:
            query, key, value = (tensor.transpose(0, 1) for tensor in (query, key, value))
        queries, keys, values = self._project(query, key, value)
        mask = self._mask(attn_mask, key_padding_mask, queries, keys, is_causal)
        dropout = self.dropout if self.training else 0.0
        weights: Tensor | None = None
        if need_weights:
            scores = (queries * self.scale) @ keys.transpose(-2, -1)
            weights = functional.dropout((scores if mask is None else scores + mask).softmax(-1), dropout)
            heads = weights @ values
        else:
            heads = functional.scaled_dot_product_attention(queries, keys, values, mask, dropout, scale=self.scale)
        output: Tensor = self.out_proj(heads.transpose(1, 2).flatten(2))
        if weights is not None and average_attn_weights:
            weights = weights.mean(1)
        if not is_batched:
            return output.squeeze(0), None if weights is None else weights.squeeze(0)
        return output if self.batch_first else output.transpose(0, 1), weights

    def _project(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, `[batch, heads, length, dim]`."""
        rows = [self.num_heads * dim for dim in (self.head_dim, self.head_dim, self.value_dim)]
        if self.in_proj_weight is not None:
            weights = torch.split(self.in_proj_weight, rows)
        else:
            weights = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
        biases = (None, None, None) if self.in_proj_bias is None else torch.split(self.in_proj_bias, rows)
        projected = (
            torch.unflatten(functional.linear(tensor, weight, bias), -1, (self.num_heads, -1)).transpose(1, 2)
            for tensor, weight, bias in zip((query, key, value), weights, biases, strict=True)
        )
        queries, keys, values = projected
        return queries, keys, values

    def _mask(
        self, attn_mask: Tensor | None, padding: Tensor | None, queries: Tensor, keys: Tensor, is_causal: bool
    ) -> Tensor | None:
        """What is added to the scores, of a shape that goes with `[batch, heads, length, length]`."""
        batch, length, sources = queries.shape[0], queries.shape[2], keys.shape[2]
        if is_causal and attn_mask is None:
            attn_mask = torch.ones(length, sources, dtype=torch.bool, device=queries.device).triu(1)
        mask: Tensor | None = None
        if attn_mask is not None:
            mask = _additive(attn_mask, queries.dtype)
            if mask.dim() == 3:
                mask = mask.view(batch, self.num_heads, length, sources)
        if padding is not None:
            padded = _additive(padding, queries.dtype).view(batch, 1, 1, sources)
            mask = padded if mask is None else mask + padded
        return mask


def _additive(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """Boolean masks are true where nothing may be looked at."""
    if mask.dtype != torch.bool:
        return mask.to(dtype)
    return torch.zeros_like(mask, dtype=dtype).masked_fill(mask, float("-inf"))


def fit(attention: nn.MultiheadAttention, kept: Kept, prefix: str) -> None:
    """Sets the sizes of an attention that has its pruned tensors; where they are no more those of a plain one, it becomes a
    :class:`PrunedMultiheadAttention`.

    Raises:
        SurgeryError: It has biases for keys and values of their own, or its heads were not cut alike.
    """
    if attention.bias_k is not None or attention.add_zero_attn:
        raise errors.SurgeryError(f"`{prefix}`: attention with `add_bias_kv` or `add_zero_attn` cannot be cut", prefix)
    head_dim, embed_dim = attention.head_dim, attention.embed_dim
    if attention.in_proj_weight is not None:
        rows = _rows(kept, f"{prefix}.in_proj_weight".lstrip("."), 3 * embed_dim)
        parts = [[row - part * embed_dim for row in rows if row // embed_dim == part] for part in range(3)]
    else:
        names = [f"{prefix}.{part}_proj_weight".lstrip(".") for part in "qkv"]
        parts = [_rows(kept, name, embed_dim) for name in names]
    queries, _, values = parts
    heads = len({row // head_dim for row in queries})
    if heads != len({row // head_dim for row in values}) or len(queries) % heads or len(values) % heads:
        raise errors.SurgeryError(f"`{prefix}`: the heads of the attention were not cut alike", prefix)
    scale = head_dim**-0.5
    attention.num_heads = heads
    attention.head_dim = len(queries) // heads
    attention.embed_dim = attention.out_proj.weight.shape[0]
    attention.out_proj.in_features, attention.out_proj.out_features = reversed(attention.out_proj.weight.shape)
    if attention.in_proj_weight is not None:
        attention.kdim = attention.vdim = attention.in_proj_weight.shape[1]
    else:
        attention.kdim, attention.vdim = attention.k_proj_weight.shape[1], attention.v_proj_weight.shape[1]
    is_plain = attention.head_dim == head_dim and len(queries) == len(values) == attention.embed_dim
    if not is_plain:
        # The object itself stays: others may hold it, and hooks hang on it.
        attention.__class__ = PrunedMultiheadAttention
        vars(attention).update(value_dim=len(values) // heads, scale=scale)
        # `TransformerEncoderLayer` would pass it by and compute with its weights as those of a plain one.
        attention._qkv_same_embed_dim = False


def _rows(kept: Kept, name: str, size: int) -> list[int]:
    return list(kept.get(name, {}).get(0, range(size)))
