#!/usr/bin/env python3
"""Redo a job's surgery from the original file and `report.json`, and compare every tensor.

    redo_surgery.py ORIGINAL.pt PRUNED.pt report.json [--shapes]

Needs Python's standard library only, no PyTorch, and shares no code with Secateur: it reads the tensors of both
TorchScript archives itself, keeps the indices that `kept` lists, axis by axis, and compares names, shapes and
bytes. Constants in the code of the original have no names there (`CONSTANTS` in the pruned file) and are left out.
Fine-tuning changes values, so for a fine-tuned network compare shapes only (`--shapes`).
Exit code 0 when everything agrees, 1 otherwise.
"""

import argparse
import array
import collections
import itertools
import json
import math
import pickle
import sys
import zipfile

FORMATS = {
    "FloatStorage": "f",
    "DoubleStorage": "d",
    "LongStorage": "q",
    "IntStorage": "i",
    "ShortStorage": "h",
    "CharStorage": "b",
    "ByteStorage": "B",
    "BoolStorage": "B",
}
Tensor = collections.namedtuple("Tensor", "shape values")


class Module:
    """Stands in for every TorchScript class; BUILD fills in the attributes."""

    def __setstate__(self, state):
        self.attributes = state


class Reader(pickle.Unpickler):
    def __init__(self, archive, root):
        super().__init__(archive.open(f"{root}/data.pkl"))
        self.archive, self.root = archive, root

    def find_class(self, module, name):
        if name.startswith("_rebuild_tensor"):
            return rebuild_tensor
        if name == "_rebuild_parameter":
            return lambda tensor, *rest: tensor
        if name == "OrderedDict":
            return collections.OrderedDict
        if name.endswith("Storage"):
            return name
        if module.startswith("torch.jit._pickle"):
            return lambda value, *rest: value
        return type(name, (Module,), {})

    def persistent_load(self, key):
        kind, storage, name = key[:3]
        assert kind == "storage", key
        return array.array(FORMATS[storage], self.archive.read(f"{self.root}/data/{name}"))


def rebuild_tensor(storage, offset, shape, strides, *rest):
    """A contiguous copy in row-major order."""
    starts = [
        range(0, size * stride, stride) if stride else [0] * size for size, stride in zip(shape, strides, strict=True)
    ]
    values = array.array(storage.typecode, (storage[offset + sum(index)] for index in itertools.product(*starts)))
    return Tensor(tuple(shape), values)


def tensors_of(path):
    """Dotted names to tensors, in the archive's order: the `state_dict`, and what modules hold as plain attributes or in dictionaries."""
    with zipfile.ZipFile(path) as archive:
        root = archive.namelist()[0].split("/")[0]
        tensors = {}

        def visit(prefix, value):
            if isinstance(value, Module):
                value = value.attributes
            if isinstance(value, dict):
                for name, attribute in value.items():
                    visit(f"{prefix}.{name}" if prefix else name, attribute)
            elif isinstance(value, Tensor):
                tensors[prefix] = value

        visit("", Reader(archive, root).load())
        return {name: tensor for name, tensor in tensors.items() if is_named(name)}


def is_named(name):
    return not name.startswith("CONSTANTS.")


def keep(tensor, axis, indices):
    """The slices of `tensor` at `indices` of `axis`."""
    inner = math.prod(tensor.shape[axis + 1 :])
    values = array.array(tensor.values.typecode)
    for outer in range(math.prod(tensor.shape[:axis])):
        for index in indices:
            start = (outer * tensor.shape[axis] + index) * inner
            values.extend(tensor.values[start : start + inner])
    return Tensor((*tensor.shape[:axis], len(indices), *tensor.shape[axis + 1 :]), values)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("original")
    parser.add_argument("pruned")
    parser.add_argument("report")
    parser.add_argument("--shapes", action="store_true", help="compare names and shapes only")
    arguments = parser.parse_args()
    original, pruned = tensors_of(arguments.original), tensors_of(arguments.pruned)
    with open(arguments.report) as file:
        kept = {name: axes for name, axes in json.load(file)["kept"].items() if is_named(name)}

    wrong = []
    if sorted(original) != sorted(pruned):
        wrong.append(f"names differ: {sorted(set(original) ^ set(pruned))}")
    wrong.extend(f"{name}: is in `kept` but not in the original" for name in kept if name not in original)
    changed = 0
    for name, whole in original.items():
        tensor = whole
        for axis, indices in kept.get(name, {}).items():
            tensor = keep(tensor, int(axis), indices)
            changed += 1
        got = pruned.get(name)
        if got is None or got.shape != tensor.shape:
            wrong.append(f"{name}: {got and got.shape} instead of {tensor.shape}")
        elif not arguments.shapes and got.values.tobytes() != tensor.values.tobytes():
            wrong.append(f"{name}: same shape {tensor.shape}, other values")
    if not kept:
        wrong.append("`kept` is empty: nothing was cut")
    for line in wrong:
        print(line, file=sys.stderr)
    if wrong:
        sys.exit(1)
    print(f"{len(original)} tensors agree, {changed} axes were cut")


if __name__ == "__main__":
    main()
