"""Data sets of Hugging Face: pictures and token lists become Parquet as `datasets` writes it, numbers become arrays."""

from __future__ import annotations

import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .. import errors
from ..optional import loaded
from ..source import FileSource, Source
from . import torch_dataset

#: What the server takes for samples and for labels in a Parquet file.
_PICTURES_AND_TOKENS = ("image", "img", "input_ids", "tokens")
_LABELS = ("label", "labels", "fine_label", "class")


def is_dataset(value: Any) -> bool:
    """Whether it is a `datasets.Dataset` or an `IterableDataset` of it."""
    datasets = loaded("datasets")
    return datasets is not None and isinstance(value, datasets.Dataset | datasets.IterableDataset)


def open_splits(splits: Mapping[str, Any], columns: Mapping[str, str] | None) -> Source:
    """The file of data sets by what the arrays of their split end in.

    With ``columns`` the named columns become arrays, as a data set of PyTorch does. Without, pictures and token lists go as Parquet, which is
    written into a temporary file first, and everything else becomes arrays that are looked at while they are sent.
    """
    if columns is not None:
        return torch_dataset.open_splits({suffix: _renamed(part, columns) for suffix, part in splits.items()})
    if all(_is_parquet(part) for part in splits.values()):
        return _parquet(splits)
    return torch_dataset.open_splits({suffix: _as_arrays(part) for suffix, part in splits.items()})


def _column_names(dataset: Any) -> list[str]:
    names = dataset.column_names
    if names is None:
        raise errors.UsageError("the data set does not know its columns: name them in `columns`")
    return list(names)


def _is_parquet(dataset: Any) -> bool:
    """Whether the server finds samples in it as Parquet: one column of pictures or of tokens, and maybe labels."""
    names = _column_names(dataset)
    samples = [name for name in names if name in _PICTURES_AND_TOKENS or _is_picture(dataset, name)]
    return len(samples) == 1 and all(name in _LABELS or name in samples for name in names)


def _is_picture(dataset: Any, name: str) -> bool:
    features = dataset.features or {}
    return type(features.get(name)).__name__ == "Image"


def _parquet(splits: Mapping[str, Any]) -> Source:
    folder = tempfile.TemporaryDirectory(prefix="secateur-")
    root = Path(folder.name)
    names = {"": "train", "_val": "validation", "_test": "test"}
    files = []
    for suffix, dataset in splits.items():
        path = root / f"{names[suffix]}.parquet"
        dataset.to_parquet(str(path))
        files.append(path)
    if len(files) == 1:
        return _InFolder(files[0], folder)
    archive = root / "dataset.tar"
    with tarfile.open(archive, "w") as tar:
        for path in files:
            tar.add(path, path.name)
            path.unlink()
    return _InFolder(archive, folder)


class _InFolder(FileSource):
    """A file in a temporary folder that goes with it."""

    def __init__(self, path: Path, folder: tempfile.TemporaryDirectory[str]) -> None:
        super().__init__(path)
        self._folder = folder

    def close(self) -> None:
        super().close()
        self._folder.cleanup()


def _as_arrays(dataset: Any) -> Any:
    """Labels by their name; the one other column is `x`, several are the arguments of `forward` that they are called."""
    names = _column_names(dataset)
    labels = [name for name in names if name in _LABELS]
    others = [name for name in names if name not in _LABELS]
    if len(labels) > 1 or not others:
        raise errors.UsageError(
            f"the data set has the columns {names}: say in `columns` which of them is `x` and which `y`"
        )
    columns = {name: "x" if len(others) == 1 and name != "x" else name for name in others}
    columns = columns if len(others) == 1 else {name: f"x.{name}" for name in others}
    return _renamed(dataset, columns | dict.fromkeys(labels, "y"))


def _renamed(dataset: Any, columns: Mapping[str, str]) -> Any:
    missing = [name for name in columns if name not in _column_names(dataset)]
    if missing:
        raise errors.UsageError(f"the data set has no column {missing}: it has {_column_names(dataset)}")
    kept = dataset.select_columns(list(columns)).with_format("numpy" if hasattr(dataset, "__len__") else None)
    return _Indexed(kept, columns) if hasattr(dataset, "__len__") else _Iterated(kept, columns)


class _Indexed:
    def __init__(self, dataset: Any, columns: Mapping[str, str]) -> None:
        self._dataset, self._columns = dataset, columns

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int) -> dict[str, Any]:
        row = self._dataset[index]
        return {name: row[column] for column, name in self._columns.items()}


class _Iterated:
    def __init__(self, dataset: Any, columns: Mapping[str, str]) -> None:
        self._dataset, self._columns = dataset, columns

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for row in self._dataset:
            yield {name: row[column] for column, name in self._columns.items()}
