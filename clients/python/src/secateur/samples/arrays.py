"""Arrays as a `.safetensors` file that is never written anywhere: any part of it can be read."""

from __future__ import annotations

import bisect
import itertools
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from .. import errors
from ..optional import loaded, require

if TYPE_CHECKING:
    import numpy

#: NumPy's types as safetensors calls them; the server makes int64 of other integers and float32 of other floats itself.
_TYPES = {
    "bool": "BOOL",
    "uint8": "U8",
    "uint16": "U16",
    "uint32": "U32",
    "uint64": "U64",
    "int8": "I8",
    "int16": "I16",
    "int32": "I32",
    "int64": "I64",
    "float16": "F16",
    "float32": "F32",
    "float64": "F64",
}


class Array(Protocol):
    """Rows of one shape and type, of which some can be had at a time."""

    @property
    def dtype(self) -> str:
        """NumPy's name of the type."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape, rows first."""

    def rows(self, start: int, stop: int) -> bytes:
        """Some of the rows, little-endian, row-major."""


class ArraySource:
    """The bytes of a `.safetensors` file with these arrays, by name.

    Raises:
        UsageError: An array has a type that the format has no name for.
    """

    def __init__(self, arrays: Mapping[str, Array], name: str) -> None:
        self._name = name
        self._arrays = list(arrays.values())
        header: dict[str, Any] = {}
        ends = [0]
        for key, array in arrays.items():
            if array.dtype not in _TYPES:
                raise errors.UsageError(f"the array `{key}` is of {array.dtype}: {', '.join(_TYPES)} can be sent")
            ends.append(ends[-1] + _row_bytes(array) * array.shape[0])
            header[key] = {"dtype": _TYPES[array.dtype], "shape": list(array.shape), "data_offsets": ends[-2:]}
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        self._head = len(text).to_bytes(8, "little") + text
        self._starts = [len(self._head) + end for end in ends]

    @property
    def name(self) -> str:
        return self._name

    @property
    def length(self) -> int:
        return self._starts[-1]

    def read(self, offset: int, size: int) -> bytes:
        stop = min(offset + size, self.length)
        parts = [self._head[offset:stop]]
        position = max(offset, len(self._head))
        # The last array that begins no later; empty ones begin where the next one does.
        for index in range(bisect.bisect_right(self._starts, position) - 1, len(self._arrays)):
            if position >= stop:
                break
            array, start, end = self._arrays[index], self._starts[index], self._starts[index + 1]
            if end > position:
                parts.append(_bytes_of(array, position - start, min(stop, end) - start))
                position = min(stop, end)
        return b"".join(parts)

    def close(self) -> None:
        self._arrays = []


def open_arrays(arrays: Mapping[str, Any]) -> ArraySource:
    """Arrays of NumPy or PyTorch, by the names that docs/data.md gives them: `x`, `y`, `x_val`, `x0`, `x.ids` and so on.

    Raises:
        UsageError: There are none, or one is no array.
    """
    return ArraySource({str(name): _Stored(str(name), value) for name, value in arrays.items()}, "arrays.safetensors")


class _Stored:
    """An array in memory, or mapped into it."""

    def __init__(self, name: str, value: Any) -> None:
        self._values = to_numpy(value, name)
        if self._values.ndim == 0:
            raise errors.UsageError(f"the array `{name}` is a single number: its first dimension must be the samples")

    @property
    def dtype(self) -> str:
        return str(self._values.dtype.name)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self._values.shape)

    def rows(self, start: int, stop: int) -> bytes:
        return to_bytes(self._values[start:stop])


def to_numpy(value: Any, name: str) -> numpy.ndarray[Any, Any]:
    """What is sent of an array, a tensor, a picture, a number or a list of these; bfloat16 becomes float32.

    Raises:
        UsageError: It is no array, or one of objects.
    """
    require("numpy", "a data set of arrays", "torch")
    import numpy

    torch = loaded("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        value = (value.float() if value.dtype == torch.bfloat16 else value).numpy()
    try:
        array: numpy.ndarray[Any, Any] = numpy.asarray(value)
    except ValueError as error:
        raise errors.UsageError(f"`{name}` is no array: {error}") from error
    if array.dtype.hasobject or array.dtype.kind in "SUV":
        raise errors.UsageError(f"`{name}` is a {type(value).__name__}: it must be an array of numbers")
    return array


def to_bytes(array: numpy.ndarray[Any, Any]) -> bytes:
    """Little-endian and row-major, whatever it is here."""
    return bytes(array.astype(array.dtype.newbyteorder("<"), order="C", copy=False).tobytes())


def row_bytes(dtype: str, shape: Sequence[int]) -> int:
    """Bytes of one row of an array of this type and shape."""
    sizes = {"bool": 1, "uint8": 1, "int8": 1}
    size = sizes.get(dtype) or int(dtype[-2:]) // 8
    return size * int(list(itertools.accumulate(shape[1:], lambda a, b: a * b, initial=1))[-1])


def _row_bytes(array: Array) -> int:
    return row_bytes(array.dtype, array.shape)


def _bytes_of(array: Array, start: int, stop: int) -> bytes:
    """Bytes of an array from one to another, which need not lie between rows."""
    row = _row_bytes(array)
    first, last = start // row, -(-stop // row)
    return array.rows(first, last)[start - first * row : stop - first * row]
