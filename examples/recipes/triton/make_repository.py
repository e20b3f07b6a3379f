"""Makes a model of a Triton model repository of a job's files.

python make_repository.py model.pt report.json graph.json repository/digits --max-batch 64

Needs PyTorch, to run the model: shapes and types of outputs are those that it gives.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import torch

# What Triton's backend for PyTorch takes and gives.
TYPES = {
    torch.bool: "TYPE_BOOL",
    torch.uint8: "TYPE_UINT8",
    torch.int8: "TYPE_INT8",
    torch.int16: "TYPE_INT16",
    torch.int32: "TYPE_INT32",
    torch.int64: "TYPE_INT64",
    torch.float16: "TYPE_FP16",
    torch.float32: "TYPE_FP32",
    torch.float64: "TYPE_FP64",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("report", type=Path)
    parser.add_argument("graph", type=Path)
    parser.add_argument("folder", type=Path, help="of the model in the repository; its name is the model's")
    parser.add_argument("--max-batch", type=int, default=64)
    arguments = parser.parse_args()

    model = torch.jit.load(arguments.model, map_location="cpu").eval()
    report, graph = json.loads(arguments.report.read_text()), json.loads(arguments.graph.read_text())
    config = configuration(model, report, graph, arguments.folder.name, arguments.max_batch)
    (arguments.folder / "1").mkdir(parents=True, exist_ok=True)
    shutil.copyfile(arguments.model, arguments.folder / "1/model.pt")
    (arguments.folder / "config.pbtxt").write_text(config)
    print(f"wrote {arguments.folder}")
    if normalisation := report["spec"].get("input"):
        print(f"clients send (stored - mean) / std with {json.dumps(normalisation)}: the model does not normalise")


def configuration(
    model: torch.jit.ScriptModule, report: dict[str, Any], graph: dict[str, Any], name: str, max_batch: int
) -> str:
    """config.pbtxt: the sizes that the report proves to be free are -1."""
    types = [getattr(torch, graph["values"][value]["dtype"]) for value in graph["inputs"]]
    # The sizes that the file was pruned at, and another one if there is one that was compared: what differs is free.
    sizes = [proved["shapes"] for proved in report["sizes"]["proved"]]
    results = [run(model, shapes, types, batch) for batch, shapes in enumerate(sizes, start=1)]
    inputs = [
        variable(
            "INPUT",
            index,
            kind,
            [-1 if at in size["varying"] else length for at, length in enumerate(size["shape"], 1)],
        )
        for index, (size, kind) in enumerate(zip(report["sizes"]["inputs"], types, strict=True))
    ]
    outputs = []
    for index, tensors in enumerate(zip(*results, strict=True)):
        if any(tensor.shape[:1] != (batch,) for batch, tensor in enumerate(tensors, start=1)):
            sys.exit(f"output {index} does not begin with the batch, so Triton cannot put requests together")
        shapes = [list(tensor.shape[1:]) for tensor in tensors]
        free = [len(set(lengths)) > 1 for lengths in zip(*shapes, strict=True)]
        dims = [-1 if varies else length for varies, length in zip(free, shapes[0], strict=True)]
        outputs.append(variable("OUTPUT", index, tensors[0].dtype, dims))
    return "\n".join(
        [
            f'name: "{name}"',
            'backend: "pytorch"',
            'platform: "pytorch_libtorch"',
            f"max_batch_size: {max_batch}",
            "dynamic_batching { }",
            f"input [\n{','.join(inputs)}\n]",
            f"output [\n{','.join(outputs)}\n]",
            "",
        ]
    )


def run(
    model: torch.jit.ScriptModule, shapes: list[list[int]], types: list[torch.dtype], batch: int
) -> list[torch.Tensor]:
    """The outputs for zeros, in the order in which Triton numbers them."""
    with torch.no_grad():
        given = model(*(torch.zeros(batch, *shape, dtype=kind) for shape, kind in zip(shapes, types, strict=True)))
    outputs = [given] if isinstance(given, torch.Tensor) else list(given)
    if not isinstance(given, (torch.Tensor, tuple, list)) or not all(
        isinstance(each, torch.Tensor) for each in outputs
    ):
        sys.exit(f"the model returns {type(given).__name__}; Triton takes a tensor, or a tuple or list of tensors")
    return outputs


def variable(word: str, index: int, kind: torch.dtype, dims: list[int]) -> str:
    """An input or output, by the names that the backend counts with. A number for each sample has no dimensions, which Triton writes with one."""
    if kind not in TYPES:
        sys.exit(f"{word.lower()} {index} is {kind}, which Triton's backend for PyTorch does not take")
    shape = f"dims: {dims}" if dims else "dims: [1] reshape: { shape: [] }"
    return f'  {{ name: "{word}__{index}" data_type: {TYPES[kind]} {shape} }}'


if __name__ == "__main__":
    main()
