"""Networks that are trained here on Fashion-MNIST (Xiao et al., 2017): a ResNet-20, a slim VGG and a slim MobileNetV2, all with batch norm, and a
small vision transformer.

Training and recovery see the same 12 000 of the 60 000 training pictures, recovery with their labels or without, so that a row takes
minutes on two cores. The next 1000 are for validation; the test set is the whole one, 10 000.
"""

import gzip
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from network import load, trace
from subject import Subject, categorical

INSTALLED = Path("usr/share/datasets/fashion-mnist")
"""Where Debian's package dataset-fashion-mnist has its files, below the folder that it is unpacked to."""
SEEN, HELD_OUT = 12_000, 1000
MEAN, STD = 72.9, 90.0
EPOCHS, BATCH, LR = 8, 64, 0.1
VIT_EPOCHS, VIT_LR = 25, 2e-3


class Block(nn.Module):
    """Two convolutions and a shortcut (He et al., 2016)."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(inputs, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width))
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.second(self.first(x)) + self.shortcut(x))


def resnet20() -> nn.Module:
    stages = [block for inputs, width, stride in [(16, 16, 1), (16, 32, 2), (32, 64, 2)]
              for block in (Block(inputs, width, stride), Block(width, width, 1), Block(width, width, 1))]  # fmt: skip
    stem = [nn.Conv2d(1, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    return nn.Sequential(*stem, *stages, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def vgg() -> nn.Module:
    layers: list[nn.Module] = []
    inputs = 1
    for width in [32, 32, None, 64, 64, None, 128, 128]:
        if width is None:
            layers.append(nn.MaxPool2d(2))
        else:
            layers += [nn.Conv2d(inputs, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            inputs = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 10))


def mobilenet() -> nn.Module:
    """MobileNetV2 (Sandler et al., 2018) of half the width and 9 of the 17 blocks, which halves the side of a picture twice."""
    from torchvision.models import MobileNetV2
    from torchvision.ops import Conv2dNormActivation

    blocks = [[1, 16, 1, 1], [6, 24, 2, 1], [6, 32, 3, 2], [6, 64, 3, 2]]
    network = MobileNetV2(10, width_mult=0.5, inverted_residual_setting=blocks, dropout=0.0)
    network.features[0][0] = nn.Conv2d(1, 16, 3, 1, 1, bias=False)
    network.features[-1] = Conv2dNormActivation(32, 192, 1, activation_layer=nn.ReLU6)
    network.classifier[-1] = nn.Linear(192, 10)
    return network


class Attention(nn.Module):
    """Self-attention over tokens `[N, T, width]`, with a layer for each of its four projections."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.output = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        query, key, value = (
            layer(x).unflatten(2, (self.heads, -1)).transpose(1, 2) for layer in (self.query, self.key, self.value)
        )
        return self.output(F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2))


class Encoder(nn.Module):
    """A layer of the transformer, normalised before each of its halves."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm_attention, self.attention = nn.LayerNorm(width), Attention(width, heads)
        self.norm_mlp = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attention(self.norm_attention(x))
        return x + self.mlp(self.norm_mlp(x))


class Vit(nn.Module):
    """A vision transformer (Dosovitskiy et al., 2021) on patches of 4 × 4 pixels, which takes the mean of its tokens."""

    def __init__(self, width: int = 64, depth: int = 4, heads: int = 4) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, width, 4, 4)
        self.positions = nn.Parameter(torch.randn(1, 49, width) * 0.02)
        self.encoders = nn.Sequential(*(Encoder(width, heads) for _ in range(depth)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2) + self.positions
        return self.head(self.norm(self.encoders(tokens)).mean(1))


NETWORKS = {"fashion-resnet20": resnet20, "fashion-vgg": vgg, "fashion-mobilenet": mobilenet, "fashion-vit": Vit}


def prepare(folder: Path, packages: Path | None, device: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if not has_data(folder):
        keep_data(folder, packages)
    samples, labels = data(folder)
    torch.manual_seed(0)
    network = NETWORKS[folder.name]().to(device)
    train(network, torch.from_numpy(samples["train"]).to(device), torch.from_numpy(labels["train"]).to(device))
    trace(network, (1, 28, 28), folder / "network.pt")


def has_data(folder: Path) -> bool:
    return (folder.parent / "fashion.npz").is_file()


def keep_data(folder: Path, packages: Path) -> None:
    """What the networks need of the data set goes beside their folders."""
    pictures, classes = read(packages, "train")
    test_pictures, test_classes = read(packages, "t10k")
    parts = {"": slice(SEEN), "_val": slice(SEEN, SEEN + HELD_OUT)}
    arrays = {f"x{name}": pictures[part] for name, part in parts.items()}
    arrays |= {f"y{name}": classes[part] for name, part in parts.items()}
    np.savez(folder.parent / "fashion.npz", **arrays, x_test=test_pictures, y_test=test_classes)


def train(network: nn.Module, inputs: torch.Tensor, classes: torch.Tensor) -> None:
    network.train()
    if isinstance(network, Vit):
        epochs, lr = VIT_EPOCHS, VIT_LR
        optimizer: torch.optim.Optimizer = torch.optim.AdamW(network.parameters(), lr, weight_decay=0.05)
    else:
        epochs, lr = EPOCHS, LR
        optimizer = torch.optim.SGD(network.parameters(), lr, momentum=0.9, weight_decay=5e-4, nesterov=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, epochs * len(inputs.split(BATCH)))
    for _ in range(epochs):
        for batch in torch.randperm(len(inputs)).split(BATCH):
            mirrored = (torch.rand(len(batch), 1, 1, 1) < 0.5).to(inputs.device)
            loss = F.cross_entropy(network(torch.where(mirrored, inputs[batch].flip(3), inputs[batch])), classes[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()


def read(packages: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Pictures `[N, 1, 28, 28]` and classes `[N]` of an IDX pair."""
    folders = [packages / INSTALLED, Path("/") / INSTALLED]
    folder = next((folder for folder in folders if folder.is_dir()), None)
    if folder is None:
        sys.exit(f"there is no Fashion-MNIST in {folders[0]}: install Debian's package dataset-fashion-mnist")
    pictures = gzip.decompress((folder / f"{part}-images-idx3-ubyte.gz").read_bytes())[16:]
    labels = gzip.decompress((folder / f"{part}-labels-idx1-ubyte.gz").read_bytes())[8:]
    return np.frombuffer(pictures, np.uint8).reshape(-1, 1, 28, 28), np.frombuffer(labels, np.uint8)


def data(folder: Path) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    with np.load(folder.parent / "fashion.npz") as arrays:
        suffixes = {"train": "", "val": "_val", "test": "_test"}
        pictures = {part: arrays[f"x{suffix}"] for part, suffix in suffixes.items()}
        labels = {part: arrays[f"y{suffix}"].astype(np.int64) for part, suffix in suffixes.items()}
    return {part: ((pixels - MEAN) / STD).astype(np.float32) for part, pixels in pictures.items()}, labels


def subject(folder: Path) -> Subject:
    samples, labels = data(folder)
    return Subject(
        name=folder.name,
        network=load(folder / "network.pt"),
        samples=samples,
        truth=labels["test"],
        score=lambda outputs, truth: float((outputs[0].argmax(1) == truth).mean()),
        unit="accuracy, 10 000 pictures",
        loss=lambda outputs, originals: categorical(outputs[0], originals[0], 1),
        lr=1e-3,
        epochs=6,
        labels=labels,
        labelled=F.cross_entropy,
    )
