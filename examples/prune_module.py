#!/usr/bin/env python3
"""From your own `nn.Module` to your own `nn.Module`, smaller: the whole way, for four kinds of networks.

    pip install './clients/python[torch]' torchvision
    make serve                                  # in another terminal
    python examples/prune_module.py [--flops 0.5] [resnet18 mobilenet_v2 vit bilstm]

Each network is a Python class with random weights, small enough for a CPU. It is sent to the server, which removes half of its
multiply-accumulates; `job.apply` then does the same surgery to the module here. The module still has its class, its code and the names of
its parameters, it returns what the pruned TorchScript returns, and it trains on. `SECATEUR_URL` and `SECATEUR_KEY` name the server.
"""

from __future__ import annotations

import argparse
import sys

import torch
import torchvision
from secateur import Client
from torch import Tensor, nn

TOLERANCE = 1e-5


# %% Networks: two of torchvision's, and two as one writes them oneself.


class Attention(nn.Module):
    """Attention whose sizes are attributes, which `apply` finds, and whose scale is computed once."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.num_heads, self.head_dim = heads, dim // heads
        self.scale = self.head_dim**-0.5
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, _ = x.shape
        parts = self.qkv(x).reshape(batch, length, 3, self.num_heads, self.head_dim)
        q, k, v = parts.permute(2, 0, 3, 1, 4).unbind(0)
        weights = ((q * self.scale) @ k.transpose(-2, -1)).softmax(-1)
        return self.out((weights @ v).transpose(1, 2).flatten(2))


class Block(nn.Module):
    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attention = Attention(dim, heads)
        self.mlp = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class VisionTransformer(nn.Module):
    """A ViT for pictures `[3, 32, 32]`."""

    def __init__(self, dim: int = 48, heads: int = 4, depth: int = 3, classes: int = 10) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, dim, 8, 8)
        self.position = nn.Parameter(torch.randn(1, 16, dim) * 0.02)
        self.blocks = nn.Sequential(*(Block(dim, heads) for _ in range(depth)))
        self.norm, self.head = nn.LayerNorm(dim), nn.Linear(dim, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2) + self.position
        return self.head(self.norm(self.blocks(x)).mean(1))


class BiLstm(nn.Module):
    """A reader of tokens, int64 below 1000."""

    def __init__(self, classes: int = 4) -> None:
        super().__init__()
        self.embedding = nn.Embedding(1000, 64)
        self.lstm = nn.LSTM(64, 48, num_layers=2, bidirectional=True, batch_first=True)
        self.hidden, self.last = nn.Linear(96, 32), nn.Linear(32, classes)

    def forward(self, tokens: Tensor) -> Tensor:
        states, _ = self.lstm(self.embedding(tokens))
        return self.last(torch.relu(self.hidden(states.mean(1))))


def pictures() -> Tensor:
    return torch.randn(2, 3, 32, 32)


NETWORKS = {
    "resnet18": (lambda: torchvision.models.resnet18(num_classes=10), pictures),
    "mobilenet_v2": (lambda: torchvision.models.mobilenet_v2(num_classes=10, width_mult=0.35), pictures),
    "vit": (VisionTransformer, pictures),
    "bilstm": (BiLstm, lambda: torch.randint(0, 1000, (2, 12))),
}


# %% The way, which is the same for all of them.


def prune(client: Client, name: str, flops: float) -> float:
    """Prunes one network and returns how far the applied module is from the pruned TorchScript."""
    make, draw = NETWORKS[name]
    network, inputs = make().eval(), draw()

    job = client.prune(network, example_inputs=inputs, flops_reduction=flops, method="uniform", name=name)
    job.wait()
    print(f"{name}: {job.report}")

    job.apply(network)

    fresh = draw()
    with torch.no_grad():
        difference = float((network(fresh) - job.model()(fresh)).abs().max())
    print(f"{name}: {type(network).__name__} differs from the TorchScript by {difference:.1e}")

    # It trains on in one's own loop; optimisers are made of the new parameters.
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    network.train()
    loss = nn.functional.cross_entropy(network(fresh), torch.zeros(len(fresh), dtype=torch.int64))
    loss.backward()
    optimizer.step()
    return difference


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", metavar="network", help=f"of {', '.join(NETWORKS)}; all by default")
    parser.add_argument("--flops", type=float, default=0.5, help="share of the multiply-accumulates to remove")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.networks) - set(NETWORKS))
    if unknown:
        parser.error(f"there is no network {', '.join(unknown)}: there are {', '.join(NETWORKS)}")
    torch.manual_seed(0)
    with Client() as client:
        differences = [prune(client, name, arguments.flops) for name in arguments.networks or NETWORKS]
    return 0 if max(differences) <= TOLERANCE else 1


if __name__ == "__main__":
    sys.exit(main())
