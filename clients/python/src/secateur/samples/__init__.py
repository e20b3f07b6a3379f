"""The data set of a job: a file as it is, or arrays, a PyTorch or a Hugging Face data set that become one.

Arrays become `.safetensors`, whose length follows from shapes and types: an upload of it begins before the last sample was looked at, and
goes on from any byte. Pictures and token lists of Hugging Face stay what they are and become Parquet.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, TypeAlias

from .. import errors
from ..optional import loaded
from ..source import FileSource, Source
from . import arrays, hugging_face, torch_dataset

#: A path; arrays `(x, y)`, `x` or `{"x": x, "y": y, "x_val": ...}`; a data set of PyTorch or Hugging Face, or one for each split.
Data: TypeAlias = Any


def open_data(data: Data, *, columns: Mapping[str, str] | None = None) -> Source:
    """The file of a data set; closing it frees what it holds.

    ``columns``: of a Hugging Face data set, which column is which array, such as ``{"pixels": "x", "label": "y"}``.

    Raises:
        UsageError: It is nothing that a data set can be made of.
    """
    if isinstance(data, str | os.PathLike):
        return FileSource(data)
    splits = data if isinstance(data, Mapping) else {"train": data}
    if not splits:
        raise errors.UsageError("the data set is empty")
    parts = list(splits.values())
    if all(hugging_face.is_dataset(part) for part in parts):
        return hugging_face.open_splits(_named_splits(splits), columns)
    if columns is not None:
        raise errors.UsageError("`columns` is for data sets of Hugging Face")
    if all(torch_dataset.is_dataset(part) for part in parts):
        return torch_dataset.open_splits(_named_splits(splits))
    if isinstance(data, Mapping):
        return arrays.open_arrays(data)
    if isinstance(data, tuple | list) and len(data) in (1, 2) and all(_is_array(part) for part in data):
        return arrays.open_arrays(dict(zip(("x", "y"), data, strict=False)))
    if _is_array(data):
        return arrays.open_arrays({"x": data})
    raise errors.UsageError(
        f"the data set is a {type(data).__name__}: it must be a path, an array `x`, arrays `(x, y)` or "
        '`{"x": x, "y": y, "x_val": ...}`, a torch.utils.data.Dataset or a datasets.Dataset, or one of them for each '
        'split, `{"train": ..., "val": ..., "test": ...}`'
    )


_SPLITS = {
    "train": "",
    "training": "",
    "val": "_val",
    "valid": "_val",
    "validation": "_val",
    "dev": "_val",
    "test": "_test",
}


def _named_splits(splits: Mapping[str, Any]) -> dict[str, Any]:
    """By what the arrays of a split end in: nothing, `_val` or `_test`."""
    named: dict[str, Any] = {}
    for name, part in splits.items():
        suffix = _SPLITS.get(str(name).lower())
        if suffix is None:
            raise errors.UsageError(f"there is no split `{name}`: splits are `train`, `val` and `test`")
        if suffix in named:
            raise errors.UsageError(f"the split `{name}` is there twice, under two names")
        named[suffix] = part
    if "" not in named:
        raise errors.UsageError("the split `train` is missing")
    return named


def _is_array(value: Any) -> bool:
    torch, numpy = loaded("torch"), loaded("numpy")
    return bool(
        (torch is not None and isinstance(value, torch.Tensor))
        or (numpy is not None and isinstance(value, numpy.ndarray))
    )
