"""The input of the C++ program, and a comparison of its output with Python's.

python tensors.py write digits.npz input.pt --mean 4.9 --std 6.0
python tensors.py compare model.pt input.pt output.pt
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy
import torch

TOLERANCE = 1e-5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    writing = commands.add_parser("write", help="take pictures of a data set, as the model sees them")
    writing.add_argument("data", type=Path)
    writing.add_argument("input", type=Path)
    writing.add_argument("--mean", type=float, default=0.0)
    writing.add_argument("--std", type=float, default=1.0)
    writing.set_defaults(run=write)
    comparing = commands.add_parser("compare", help="fail where the output is not what Python gives")
    comparing.add_argument("model", type=Path)
    comparing.add_argument("input", type=Path)
    comparing.add_argument("output", type=Path)
    comparing.set_defaults(run=compare)
    arguments = parser.parse_args()
    arguments.run(arguments)


def write(arguments: argparse.Namespace) -> None:
    pictures = torch.from_numpy(numpy.load(arguments.data)["x_test"][:8]).float()
    torch.save((pictures - arguments.mean) / arguments.std, arguments.input)


def compare(arguments: argparse.Namespace) -> None:
    model = torch.jit.load(arguments.model)
    with torch.no_grad():
        expected = model(torch.load(arguments.input))
    torch.testing.assert_close(torch.load(arguments.output), expected, rtol=TOLERANCE, atol=TOLERANCE)
    print(f"the output {list(expected.shape)} is Python's")


if __name__ == "__main__":
    main()
