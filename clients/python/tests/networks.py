"""Small networks and data to prune them with."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from torch import Tensor, nn


def traced(network: nn.Module, inputs: Tensor) -> torch.jit.ScriptModule:
    """The TorchScript of a network."""
    network.eval()
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        script: torch.jit.ScriptModule = torch.jit.trace(network, inputs, check_trace=False)
    return script


def save(script: torch.jit.ScriptModule, path: Path) -> None:
    """Writes a TorchScript file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(script, str(path))


def make_digits(count: int, channels: int = 1) -> tuple[Tensor, Tensor]:
    """Pictures `[count, channels, 8, 8]` with a bright quarter, and which quarter that is."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(count) % 4
    pictures = torch.randn(count, channels, 8, 8, generator=generator) * 0.3
    for picture, label in zip(pictures, labels.tolist(), strict=True):
        row, column = divmod(label, 2)
        picture[:, row * 4 : row * 4 + 4, column * 4 : column * 4 + 4] += 1.0
    return pictures, labels


def small_network(channels: int = 1) -> nn.Module:
    """A network for pictures `[channels, 8, 8]` with 4 classes."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(channels, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 24, 3, stride=2, padding=1),
        nn.BatchNorm2d(24),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(96, 4),
    )


class Gate(nn.Module):
    """A network with control flow, which is scripted and not traced."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 32)
        self.second = nn.Linear(32, 32)
        self.last = nn.Linear(32, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x))
        if x.size(0) > 1000:
            x = x * 2
        return self.last(torch.relu(self.second(x)))


class Attention(nn.Module):
    """Attention as people write it, which computes its scale from the size of a head."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.num_heads, self.head_dim = heads, dim // heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, _ = x.shape
        split = self.qkv(x).reshape(batch, length, 3, self.num_heads, self.head_dim)
        q, k, v = split.permute(2, 0, 3, 1, 4).unbind(0)
        weights = ((q * self.head_dim**-0.5) @ k.transpose(-2, -1)).softmax(-1)
        return self.out((weights @ v).transpose(1, 2).reshape(batch, length, self.num_heads * self.head_dim))


class Block(nn.Module):
    """A block of a transformer."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attention = Attention(dim, heads)
        self.mlp = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Transformer(nn.Module):
    """A small vision transformer for pictures `[3, 16, 16]` with 5 classes."""

    def __init__(self, dim: int = 32, heads: int = 4) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, dim, 4, 4)
        self.position = nn.Parameter(torch.randn(1, 16, dim) * 0.1)
        self.blocks = nn.Sequential(Block(dim, heads), Block(dim, heads))
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2) + self.position
        return self.head(self.norm(self.blocks(x)).mean(1))


class BiLstm(nn.Module):
    """A reader of tokens `[length]`, int64 below 50, with 3 classes."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(50, 24)
        self.lstm = nn.LSTM(24, 20, num_layers=2, bidirectional=True, batch_first=True)
        self.hidden, self.last = nn.Linear(40, 16), nn.Linear(16, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        states, _ = self.lstm(self.embedding(tokens))
        return self.last(torch.relu(self.hidden(states.mean(1))))


class Recurrent(nn.Module):
    """A GRU whose first state is made by hand, of a size that is an attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden_size = 24
        self.gru = nn.GRU(6, 24, batch_first=True)
        self.last = nn.Linear(24, 3)

    def forward(self, x: Tensor) -> Tensor:
        states, _ = self.gru(x, torch.zeros(1, x.size(0), self.hidden_size))
        return self.last(states[:, -1])


class ByHand(nn.Module):
    """A network whose code has a number of channels in it."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU())
        self.classifier = nn.Sequential(nn.Linear(1024, 20), nn.ReLU(), nn.Linear(20, 5))

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x)
        return self.classifier(x.view(x.size(0), 1024))


class Nested(nn.Module):
    """A network with :class:`ByHand`'s mistake in a part of it."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = ByHand()
        self.last = nn.Linear(5, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.relu(self.trunk(x)))


class Halves(nn.Module):
    """A network that goes on with two halves of its channels, of which each may lose others."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.stem = nn.Conv2d(3, 24, 3, padding=1)
        self.left, self.right = nn.Conv2d(12, 16, 3), nn.Conv2d(12, 40, 3)
        self.last = nn.Linear(56, 4)

    def forward(self, x: Tensor) -> Tensor:
        first, second = self.stem(x).chunk(2, dim=1)
        both = torch.cat([self.left(first), self.right(second)], dim=1)
        return self.last(torch.relu(both).mean((2, 3)))
