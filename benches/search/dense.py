#!/usr/bin/env python3
"""The encoder of SACP as one would write it in PyTorch: dense binary features, batched matrix products.

Prints candidates per second for the layer counts of ResNet-18 or ResNet-56; sampling and costs are not even included.
`make bench-search` runs it beside the Rust search.
"""

import json
import sys
import time

import torch

SHAPES = {"resnet18": (50, 512), "resnet56": (143, 64)}  # layers and C_max as the Rust benchmark prints them
HIDDEN = 64


def main():
    network = sys.argv[1] if len(sys.argv) > 1 else "resnet56"
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 10.0
    nodes, channels = SHAPES[network]
    torch.manual_seed(0)
    adjacency = torch.eye(nodes) + torch.diag(torch.ones(nodes - 1), 1) + torch.diag(torch.ones(nodes - 1), -1)
    degree = adjacency.sum(1).rsqrt()
    adjacency = degree[:, None] * adjacency * degree[None, :]
    w1, w2 = torch.randn(channels, HIDDEN), torch.randn(HIDDEN, HIDDEN)
    anchor = torch.nn.functional.normalize(torch.randn(HIDDEN), dim=0)
    index = torch.arange(channels)
    batch = max(1, 2**22 // (nodes * channels))

    def score():
        kept = torch.randint(1, channels + 1, (batch, nodes, 1))
        features = (index < kept).float()
        hidden = torch.relu(adjacency @ (features @ w1))
        embedding = torch.nn.functional.normalize((adjacency @ (hidden @ w2)).mean(1), dim=1)
        return embedding @ anchor

    with torch.no_grad():
        for _ in range(3):
            score()
        done, start = 0, time.perf_counter()
        while time.perf_counter() - start < seconds:
            score()
            done += batch
        elapsed = time.perf_counter() - start
    print(
        json.dumps(
            {
                "network": network,
                "batch": batch,
                "threads": torch.get_num_threads(),
                "candidates_per_s": round(done / elapsed),
            }
        )
    )


if __name__ == "__main__":
    main()
