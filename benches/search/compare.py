#!/usr/bin/env python3
"""Runs the Rust search and the dense PyTorch form of the same encoder in turn and prints the ratio of their throughputs.

    compare.py RUST_BENCHMARK PYTHON_WITH_TORCH

Three rounds for each network, so that both meet the same noise; medians are compared. Exit code 1 when the ResNet-56
ratio is below 60.
"""

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

ROUNDS = 3
GOAL = 60


def run(command):
    # The interpreter brings its own libtorch; another one on the library path would be taken instead.
    environment = {name: value for name, value in os.environ.items() if name != "LD_LIBRARY_PATH"}
    output = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
    return json.loads(output.strip().splitlines()[-1])


def main():
    rust, python = sys.argv[1:3]
    dense = str(Path(__file__).with_name("dense.py"))
    reached = True
    for network in ("resnet56", "resnet18"):
        rounds = [(run([rust, network, "5000000"]), run([python, dense, network, "6"])) for _ in range(ROUNDS)]
        ours = statistics.median(fast["candidates_per_s"] for fast, _ in rounds)
        theirs = statistics.median(slow["candidates_per_s"] for _, slow in rounds)
        fast = rounds[-1][0]
        print(
            f"{network}: {fast['layers']} layers, {fast['groups']} groups, C_max {fast['c_max']}, {fast['threads']} threads"
        )
        print(
            f"  search  {ours:12,.0f} candidates/s with sampling and costs, 5 million in {5e6 / ours:.1f} s, "
            f"peak {fast['peak_mib']:.0f} MiB"
        )
        print(f"  PyTorch {theirs:12,.0f} candidates/s without them")
        print(f"  ratio   {ours / theirs:12.0f}")
        reached = reached and (network != "resnet56" or ours / theirs >= GOAL)
    sys.exit(0 if reached else 1)


if __name__ == "__main__":
    main()
