"""A `torch.utils.data.Dataset` as arrays: a sample is looked at when its bytes are sent."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from .. import errors
from ..optional import loaded
from ..source import Source
from .arrays import Array, ArraySource, row_bytes, to_bytes, to_numpy

if TYPE_CHECKING:
    import numpy

#: What belongs to a sample, by the name of the array without its split.
Sample = dict[str, "numpy.ndarray[Any, Any]"]


def is_dataset(value: Any) -> bool:
    """Whether it is a data set of PyTorch; Hugging Face's are looked for before."""
    data = loaded("torch.utils.data")
    return data is not None and isinstance(value, data.Dataset)


def open_splits(splits: Mapping[str, Any]) -> Source:
    """The arrays of data sets by what their names end in. A sample is `x`, `(x, y)`, or a mapping of names to values.

    A data set with a length and ``[index]`` is looked at while it is sent. An `IterableDataset` tells its length only at its end, and samples of
    which more than one part is large, such as a picture and its mask, have to be looked at once for both: these are written into temporary
    files first.

    Raises:
        UsageError: It has no samples, or they differ in shape or type.
    """
    arrays: dict[str, Array] = {}
    spools: list[_Spool] = []
    for suffix, dataset in splits.items():
        found = _indexed_arrays(dataset)
        if found is None:
            spool = _Spool(iter(dataset))
            spools.append(spool)
            found = spool.arrays
        arrays |= {f"{name}{suffix}": array for name, array in found.items()}
    # Labels behind all samples: they are collected on the way.
    ordered = dict(sorted(arrays.items(), key=lambda item: item[0].startswith("y")))
    return _DatasetSource(ordered, spools)


class _DatasetSource(ArraySource):
    def __init__(self, arrays: Mapping[str, Array], spools: Sequence[_Spool]) -> None:
        super().__init__(arrays, "dataset.safetensors")
        self._spools = spools

    def close(self) -> None:
        super().close()
        for spool in self._spools:
            spool.close()


def to_sample(value: Any, index: int) -> Sample:
    """What a data set returns for one index, as arrays by name."""
    if isinstance(value, Mapping):
        named = {str(name): part for name, part in value.items()}
        if "x" not in named and not any(name.startswith("x") for name in named):
            # Named as `forward`'s arguments are, but for the labels.
            named = {name if name in _LABELS else f"x.{name}": part for name, part in named.items()}
        named = {"y" if name in _LABELS else name: part for name, part in named.items()}
    elif isinstance(value, tuple | list):
        if len(value) not in (1, 2):
            raise errors.UsageError(
                f"sample {index} of the data set has {len(value)} parts: it must be `x`, `(x, y)` or a mapping of names"
            )
        x = value[0]
        named = {"x": x} if not isinstance(x, tuple | list) else {f"x{place}": part for place, part in enumerate(x)}
        if len(value) == 2 and value[1] is not None:
            named["y"] = value[1]
    else:
        named = {"x": value}
    return {name: _picture_first(part, to_numpy(part, f"{name} of sample {index}")) for name, part in named.items()}


_LABELS = frozenset({"y", "label", "labels", "target", "targets"})


def _picture_first(value: Any, array: numpy.ndarray[Any, Any]) -> numpy.ndarray[Any, Any]:
    """Channels first, of a picture of PIL, as models of PyTorch take them."""
    images = loaded("PIL.Image")
    if images is None or not isinstance(value, images.Image):
        return array
    return array[None] if array.ndim == 2 else array.transpose(2, 0, 1)


def _indexed_arrays(dataset: Any) -> dict[str, Array] | None:
    """The arrays of a data set of which one sample after the other can be looked at while they are sent; `None` of another one."""
    data = loaded("torch.utils.data")
    is_iterable = data is not None and isinstance(dataset, data.IterableDataset)
    if is_iterable or not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
        return None
    if len(dataset) == 0:
        raise errors.UsageError("the data set has no samples")
    samples = _Samples(dataset, len(dataset))
    return {name: _Column(samples, name) for name in samples.first} if samples.large <= 1 else None


class _Samples:
    """The samples of a data set, looked at in order, of which what is small is remembered."""

    def __init__(self, dataset: Any, length: int) -> None:
        self._dataset = dataset
        self.length = length
        self.first = to_sample(dataset[0], 0)
        # Labels and other small things stand behind the samples in the file: keeping them saves a second look at all samples.
        self._small = {name for name, array in self.first.items() if array.nbytes <= _SMALL_BYTES}
        self._kept: dict[str, dict[int, bytes]] = {name: {} for name in self.first}

    @property
    def large(self) -> int:
        """How many parts of a sample are too large to be remembered."""
        return len(self.first) - len(self._small)

    def part(self, name: str, index: int) -> bytes:
        kept = self._kept[name]
        if index not in kept:
            sample = to_sample(self._dataset[index], index)
            check_like(self.first, sample, index)
            for part, array in sample.items():
                if part not in self._small:
                    # The last one only: the piece that is sent next may begin in its middle, and it may be another one next time.
                    self._kept[part].clear()
                self._kept[part][index] = to_bytes(array)
        return kept[index]


_SMALL_BYTES = 64


class _Column:
    """One part of every sample."""

    def __init__(self, samples: _Samples, name: str) -> None:
        self._samples, self._name = samples, name

    @property
    def dtype(self) -> str:
        return str(self._samples.first[self._name].dtype.name)

    @property
    def shape(self) -> tuple[int, ...]:
        return (self._samples.length, *self._samples.first[self._name].shape)

    def rows(self, start: int, stop: int) -> bytes:
        return b"".join(self._samples.part(self._name, index) for index in range(start, stop))


def check_like(first: Sample, sample: Sample, index: int) -> None:
    """Refuses a sample that does not fit into arrays with the first one.

    Raises:
        UsageError: It has other parts, shapes or types.
    """
    if first.keys() != sample.keys():
        raise errors.UsageError(f"sample {index} has {sorted(sample)}, and sample 0 has {sorted(first)}")
    for name, array in sample.items():
        if array.shape != first[name].shape or array.dtype != first[name].dtype:
            raise errors.UsageError(
                f"`{name}` of sample {index} is {array.dtype} of shape {list(array.shape)}, and that of sample 0 is "
                f"{first[name].dtype} of shape {list(first[name].shape)}: all samples must have one shape; let the data "
                "set resize pictures and pad sequences"
            )


class _Spool:
    """The samples of something that can only be gone through, in a temporary file for each part."""

    def __init__(self, samples: Iterator[Any]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="secateur-")
        files: dict[str, BinaryIO] = {}
        first: Sample | None = None
        count = 0
        try:
            for count, value in enumerate(samples, start=1):
                sample = to_sample(value, count - 1)
                if first is None:
                    first = sample
                    files = {name: self._path(name).open("wb") for name in sample}
                check_like(first, sample, count - 1)
                for name, array in sample.items():
                    files[name].write(to_bytes(array))
        finally:
            for file in files.values():
                file.close()
        if first is None:
            raise errors.UsageError("the data set has no samples")
        self.arrays: dict[str, Array] = {
            name: _OnDisk(self._path(name), str(array.dtype.name), (count, *array.shape))
            for name, array in first.items()
        }

    def close(self) -> None:
        self._folder.cleanup()

    def _path(self, name: str) -> Path:
        return Path(self._folder.name) / name.replace("/", "_")


class _OnDisk:
    def __init__(self, path: Path, dtype: str, shape: tuple[int, ...]) -> None:
        self._path = path
        self.dtype, self.shape = dtype, shape
        self._row_bytes = row_bytes(dtype, shape)

    def rows(self, start: int, stop: int) -> bytes:
        with self._path.open("rb") as file:
            file.seek(start * self._row_bytes)
            return file.read((stop - start) * self._row_bytes)
