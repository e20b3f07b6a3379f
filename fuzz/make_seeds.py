#!/usr/bin/env python3
"""Writes seeds for the fuzz targets into fuzz/seeds: parts of the examples and fixtures, and files made by hand.

The corpus in the repository was grown from them and minimised, see fuzz/README.md. Needs the standard library only.
"""

import io
import json
import re
import struct
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SEEDS = ROOT / "fuzz" / "seeds"
ARCHIVES = [
    *sorted((ROOT / "examples").glob("*.pt")),
    *sorted((ROOT / "engine/tests/fixtures").glob("*.pt")),
    *sorted((ROOT / "engine/tests/fixtures/families").glob("*.pt")),
]
LONGEST = 16_384


def write(target: str, name: str, data: bytes) -> None:
    if len(data) <= LONGEST:
        path = SEEDS / target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def parts_of_archives() -> None:
    for archive in ARCHIVES:
        with zipfile.ZipFile(archive) as records:
            for number, entry in enumerate(records.infolist()):
                record, name = records.read(entry), f"{archive.stem}-{number}"
                if entry.filename.endswith(".py"):
                    write("code", name, record)
                elif entry.filename.endswith("pkl"):
                    # The targets have one class and one record of elements.
                    own_class = re.sub(rb"c__torch__[^\n]*\n[^\n]*\n", b"c__torch__\nNet\n", record)
                    write("pickle", name, own_class)


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def tensor(storage: str = "Float", key: str = "0", elements: int = 6, sizes: bytes = b"(K\x02K\x03t") -> bytes:
    strides = b"(K\x03K\x01t" if sizes == b"(K\x02K\x03t" else b"(K\x01t"
    return (
        b"ctorch._utils\n_rebuild_tensor_v2\n(("
        + text("storage")
        + f"ctorch\n{storage}Storage\n".encode()
        + text(key)
        + text("cpu")
        + b"K"
        + bytes([elements])
        + b"tQK\x00"
        + sizes
        + strides
        + b"\x89ccollections\nOrderedDict\n)RtR"
    )


def module(attributes: bytes) -> bytes:
    return b"\x80\x02c__torch__\nNet\n)\x81}(" + attributes + b"ub."


def pickles() -> None:
    made = {
        "module": module(text("weight") + tensor() + text("training") + b"\x89"),
        "nested": module(text("a") + b"c__torch__\nNet\n)\x81}(" + text("w") + tensor() + b"ub"),
        "lists": module(text("l") + b"ctorch.jit._pickle\nbuild_intlist\n(](K\x01M\x00\x02J\xff\xff\xff\xffetR"),
        "tags": module(
            text("d")
            + b"ctorch.jit._pickle\nrestore_type_tag\n}("
            + text("k")
            + b"K\x01u"
            + text("Dict[str, int]")
            + b"\x86R"
        ),
        "shared": module(text("w") + tensor() + b"q\x00" + text("t") + b"h\x00"),
        "enumeration": module(text("e") + b"c__torch__\nColor\nK\x01R"),
        "complex": module(text("z") + b"cbuiltins\ncomplex\n" + b"G\x00\x00\x00\x00\x00\x00\x00\x00" * 2 + b"\x86R"),
        "device": module(text("d") + b"ctorch\ndevice\n" + text("cpu") + b"\x85R"),
        "constants": b"\x80\x02(" + tensor() + b"t.",
        "traced": b"\x80\x02}(" + text("forward") + b"](" + tensor(storage="Double") + b"eu.",
    }
    for name, pickle in made.items():
        write("pickle", name, pickle)


def archives() -> None:
    write("zip", "two-inputs", (ROOT / "engine/tests/fixtures/two-inputs.pt").read_bytes())
    small = io.BytesIO()
    with zipfile.ZipFile(small, "w") as records:
        for name, data in {
            "data/0": bytes(24),
            "data.pkl": module(text("weight") + tensor()),
            "code/__torch__.py": b"class Net(Module):\n  pass\n",
            "constants.pkl": b"\x80\x02).",
            "version": b"3\n",
            "byteorder": b"little",
            "extra/a": b"a",
        }.items():
            records.writestr(
                f"net/{name}", data, zipfile.ZIP_DEFLATED if name.startswith("code") else zipfile.ZIP_STORED
            )
    write("zip", "small", small.getvalue())
    for kind in ["torch_save", "npz", "empty"]:
        other = io.BytesIO()
        with zipfile.ZipFile(other, "w") as records:
            if kind == "torch_save":
                records.writestr("archive/data.pkl", b"\x80\x02ccollections\nOrderedDict\n)R.")
                records.writestr("archive/version", b"3\n")
            elif kind == "npz":
                records.writestr("x.npy", array("<f4", (2,), bytes(8)))
        write("zip", kind, other.getvalue())


def array(element: str, shape: tuple, data: bytes, version: int = 1) -> bytes:
    header = f"{{'descr': '{element}', 'fortran_order': False, 'shape': {shape}, }}".encode() + b"\n"
    length = struct.pack("<H" if version == 1 else "<I", len(header))
    return b"\x93NUMPY" + bytes([version, 0]) + length + header + data


def datasets() -> None:
    pictures, labels = array("|u1", (6, 2, 2, 3), bytes(range(72))), array("<i8", (6,), struct.pack("<6q", *range(6)))
    for packing in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", packing) as entries:
            entries.writestr("x.npy", pictures)
            entries.writestr("y.npy", labels)
        write("dataset", f"npz-{packing}", file.getvalue())
    for element, size in [("F32", 4), ("F16", 2), ("BF16", 2), ("U8", 1)]:
        header = {
            "x": {"dtype": element, "shape": [4, 3], "data_offsets": [0, 12 * size]},
            "y": {"dtype": "I64", "shape": [4], "data_offsets": [12 * size, 12 * size + 32]},
        }
        encoded = json.dumps(header).encode()
        write("dataset", f"safetensors-{element}", struct.pack("<Q", len(encoded)) + encoded + bytes(12 * size + 32))
    # The fuzzer's own way to write two byte strings: the length of the first stands at the end.
    for name, first in {
        "u1": pictures,
        "f4": array("<f4", (6, 2), bytes(48)),
        "v2": array("<f2", (6, 1), bytes(12), 2),
    }.items():
        write("npy", name, first + labels)


def texts() -> None:
    specs = [json.loads(path.read_text()) for path in sorted((ROOT / "examples").glob("spec-*.json"))]
    specs += [
        {
            "target": {"latency_reduction": 0.5, "max_accuracy_drop": 0.02},
            "preset": "paper",
            "seed": 3,
            "labels": {"a": "b"},
        },
        {"target": {"params_reduction": 0.5}, "method": "uniform", "fine_tune": None, "input_shape": [[3, 8, 8], [4]]},
        {
            "target": {"channel_reduction": 0.1},
            "importance": {"criterion": "taylor", "normalisation": "group"},
            "constraints": {"round_to": 8, "ignore": ["fc*"], "layers": {"l.*": {"max_reduction": 0.3}}},
            "input": {"mean": [1, 2], "std": 3},
            "search": {"ranking": "similarity"},
            "encoder": {"objective": "regression"},
        },
    ]
    for number, spec in enumerate(specs):
        write("spec", str(number), json.dumps(spec).encode())

    size = {"per_sample": 1, "fixed": 0}
    node = {
        "name": "conv",
        "op": "aten::conv2d",
        "outputs": [4],
        "args": [
            {"name": "input", "value": {"tensor": 0}},
            {"name": "weight", "value": {"tensor": 1}},
            {"name": "bias", "value": {"tensor": 2}},
            {"name": "stride", "value": {"ints": [1, 1]}},
            {"name": "padding", "value": {"ints": [0, 0]}},
            {"name": "dilation", "value": {"ints": [1, 1]}},
            {"name": "groups", "value": {"int": 1}},
        ],
    }
    relu = {"name": "relu_0", "op": "aten::relu", "outputs": [3], "args": [{"name": "self", "value": {"tensor": 4}}]}
    graph = {
        "format": 1,
        "inputs": [0],
        "parameters": [
            {"name": "conv.weight", "kind": "parameter", "value": 1, "requires_grad": True},
            {"name": "conv.bias", "kind": "parameter", "value": 2},
        ],
        "values": [
            {"shape": [size, 3, 4, 4], "dtype": "float32"},
            {"shape": [8, 3, 1, 1], "dtype": "float32"},
            {"shape": [8], "dtype": "float32"},
            {"shape": [size, 8, 4, 4], "dtype": "float32"},
            {"shape": [size, 8, 4, 4], "dtype": "float32"},
        ],
        "nodes": [node, relu],
        "output": {"tensor": 3},
    }
    write("graph", "conv", json.dumps(graph).encode())
    graph["nodes"][1]["args"].append({"name": "x", "value": {"float": "inf"}})
    write("graph", "float", json.dumps(graph).encode())

    messages = [
        {"type": "log", "message": "a"},
        {"type": "progress", "done": 1, "total": 2, "unit": "epochs", "rate": 0.5},
        {"type": "checkpoint", "file": "checkpoint-0"},
        {"type": "outcome", "outcome": "failed", "message": "m"},
        {"type": "outcome", "outcome": "rejected", "rejection": {"code": "unsafe_archive", "detail": "d"}},
        {
            "type": "outcome",
            "outcome": "done",
            "files": ["graph.json"],
            "device": "cpu",
            "result": {"stage": "importance", "samples": 1, "loss": 0.5},
        },
        {"protocol": 1, "spec": specs[0], "work": {"stage": "tune", "candidate": 1}, "threads": 1, "device": "cpu"},
    ]
    for number, message in enumerate(messages):
        encoded = json.dumps(message).encode()
        write("frame", str(number), struct.pack("<I", len(encoded)) + encoded)


def sources() -> None:
    """What the usual tools wrote, the smaller files, and folders without anything in them."""
    for path in sorted((ROOT / "engine/tests/fixtures/formats").iterdir()):
        if path.suffix not in (".py", ".txt", ".safetensors"):
            write("source", path.name, path.read_bytes())
    names = ["train/a/1.jpg", "train/b/1.jpg", "val/a/1.jpg", "images/1.png", "masks/1.png", "1.cls", "a/1.wav"]
    for start in range(len(names)):
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w:gz" if start % 2 else "w") as entries:
            for name in names[start:] + names[:start]:
                entries.addfile(tarfile.TarInfo(name))
        write("source", f"names-{start}", file.getvalue())


if __name__ == "__main__":
    parts_of_archives()
    pickles()
    archives()
    datasets()
    sources()
    texts()
    for folder in sorted(SEEDS.iterdir()):
        print(folder.name, len(list(folder.iterdir())), "seeds")
