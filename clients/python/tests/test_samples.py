"""Data sets as bytes, which nothing writes to a disk."""

from __future__ import annotations

import random
from typing import Any

import numpy
import pytest
import torch
from PIL import Image
from safetensors.numpy import load
from secateur import UsageError
from secateur.samples import open_data
from secateur.source import Source
from torch.utils.data import Dataset, TensorDataset


def whole(source: Source, piece: int = 1 << 20) -> bytes:
    pieces = [source.read(offset, piece) for offset in range(0, source.length, piece)]
    return b"".join(pieces)


ARRAYS: dict[str, Any] = {
    "x": numpy.random.default_rng(0).standard_normal((7, 3, 5)).astype("float32"),
    "y": numpy.arange(7),
    "x_val": numpy.zeros((0, 3, 5), "float32"),
    "x_test": torch.randn(4, 3, 5, dtype=torch.bfloat16),
    "mask": numpy.array([True, False, True]),
    "big": numpy.arange(6, dtype=">i4").reshape(3, 2),
    "turned": numpy.arange(12, dtype="float64").reshape(3, 4).T,
    "half": torch.ones(5, 2, dtype=torch.float16),
}


def test_arrays_are_a_file_that_others_read() -> None:
    source = open_data(ARRAYS)
    read = load(whole(source))
    assert source.length == len(whole(source)) and source.name == "arrays.safetensors"
    assert read.keys() == ARRAYS.keys()
    for name, value in ARRAYS.items():
        expected = value.float().numpy() if isinstance(value, torch.Tensor) else value
        assert numpy.array_equal(read[name], expected) and read[name].shape == tuple(value.shape), name


def test_any_part_of_the_file_is_that_part() -> None:
    source = open_data(ARRAYS)
    content = whole(source)
    draw = random.Random(0)
    for _ in range(500):
        start = draw.randrange(len(content) + 1)
        size = draw.choice([0, 1, 3, 8, 100, len(content)])
        assert source.read(start, size) == content[start : start + size], (start, size)
    for piece in (1, 7, 64):
        assert whole(source, piece) == content


def test_a_dataset_is_the_same_file_as_its_arrays() -> None:
    x, y = torch.randn(20, 3, 4), torch.arange(20) % 3
    assert whole(open_data(TensorDataset(x, y)), 33) == whole(open_data((x, y)))
    split = {"train": TensorDataset(x, y), "test": TensorDataset(x[:5], y[:5])}
    read = load(whole(open_data(split)))
    assert {name: array.shape for name, array in read.items()} == {
        "x": (20, 3, 4),
        "y": (20,),
        "x_test": (5, 3, 4),
        "y_test": (5,),
    }


class Drawn(Dataset[Any]):
    """Pictures with masks, cut at random: both must be looked at at once."""

    def __init__(self) -> None:
        self.draw = random.Random(0)

    def __len__(self) -> int:
        return 9

    def __getitem__(self, index: int) -> tuple[Image.Image, numpy.ndarray[Any, Any]]:
        value = self.draw.randrange(200)
        return Image.new("RGB", (6, 4), (value, 0, 0)), numpy.full((4, 6), value, "uint8")


def test_pictures_have_their_channels_first_and_go_with_their_masks() -> None:
    source = open_data(Drawn())
    read = load(whole(source, 50))
    assert read["x"].shape == (9, 3, 4, 6) and read["x"].dtype == numpy.uint8 and read["y"].shape == (9, 4, 6)
    assert numpy.array_equal(read["x"][:, 0], read["y"])
    source.close()


class Named(Dataset[Any]):
    def __len__(self) -> int:
        return 5

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"ids": torch.full((8,), index), "mask": torch.ones(8, dtype=torch.bool), "labels": index}


def test_names_are_those_of_forwards_arguments() -> None:
    read = load(whole(open_data(Named())))
    assert {name: array.shape for name, array in read.items()} == {"x.ids": (5, 8), "x.mask": (5, 8), "y": (5,)}


def test_several_inputs_are_numbered() -> None:
    class Two(Dataset[Any]):
        def __len__(self) -> int:
            return 4

        def __getitem__(self, index: int) -> Any:
            return (torch.zeros(2), torch.ones(3)), index

    assert load(whole(open_data(Two()))).keys() == {"x0", "x1", "y"}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "is empty"),
        ({"x": ["a", "b"]}, "must be an array of numbers"),
        ({"x": numpy.zeros(1, "complex64")}, "is of complex64"),
        ({"x": numpy.float32(1)}, "is a single number"),
        ({"x": [[1], [1, 2]]}, "is no array"),
        (TensorDataset(torch.zeros(0, 3)), "has no samples"),
        (TensorDataset(torch.zeros(3), torch.zeros(3), torch.zeros(3)), "has 3 parts"),
        ({"val": TensorDataset(torch.zeros(3))}, "`train` is missing"),
        ({"train": TensorDataset(torch.zeros(3)), "training": TensorDataset(torch.zeros(3))}, "there twice"),
        ("no/such/file.npz", "cannot be read"),
        ([1, 2], "is a list"),
    ],
)
def test_what_is_no_data_set_is_said(data: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        open_data(data)
