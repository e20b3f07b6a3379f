"""A U-Net that is trained here on drawn shapes, whose pixels have labels."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch.nn import functional as F

from network import load, trace
from subject import Subject, categorical, split


class Regions(torch.nn.Module):
    """A small U-Net (Ronneberger et al., 2015) for pictures of 32 x 32."""

    def __init__(self) -> None:
        super().__init__()

        def block(channels: int, out: int, stride: int = 1) -> torch.nn.Sequential:
            conv = torch.nn.Conv2d(channels, out, 3, stride, 1, bias=False)
            return torch.nn.Sequential(conv, torch.nn.BatchNorm2d(out), torch.nn.ReLU())

        self.first, self.second = block(3, 16), block(16, 32, 2)
        self.third = torch.nn.Sequential(block(32, 64, 2), block(64, 64))
        self.up_to_half, self.at_half = torch.nn.ConvTranspose2d(64, 32, 2, 2), block(64, 32)
        self.up_to_full, self.at_full = torch.nn.ConvTranspose2d(32, 16, 2, 2), block(32, 16)
        self.head = torch.nn.Conv2d(16, 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        full = self.first(x)
        half = self.second(full)
        x = self.at_half(torch.cat([self.up_to_half(self.third(half)), half], 1))
        return self.head(self.at_full(torch.cat([self.up_to_full(x), full], 1)))


def prepare(folder: Path, _packages: Path | None, device: str) -> None:
    samples, labels = data()
    torch.manual_seed(0)
    network = Regions().to(device)
    optimizer = torch.optim.AdamW(network.parameters(), 2e-3)
    inputs, classes = (torch.from_numpy(part["train"]).to(device) for part in (samples, labels))
    for _ in range(25):
        for batch in torch.randperm(len(inputs)).split(64):
            loss = F.cross_entropy(network(inputs[batch]), classes[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    trace(network, (3, 32, 32), folder / "network.pt")


def subject(folder: Path) -> Subject:
    samples, labels = data()
    return Subject(
        name="regions",
        network=load(folder / "network.pt"),
        samples=samples,
        truth=labels["test"],
        score=mean_intersection_over_union,
        unit="mean intersection over union, 400 pictures",
        loss=lambda outputs, originals: categorical(outputs[0], originals[0], 1),
        lr=1e-3,
        epochs=6,
        labels=labels,
        labelled=F.cross_entropy,
    )


def data() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    random = np.random.default_rng(0)
    pictures, masks = (np.stack(column) for column in zip(*(drawn(random) for _ in range(1800)), strict=True))
    samples = split(((pictures - 80.0) / 60).astype(np.float32), 400, 200)
    return samples, split(masks.astype(np.int64), 400, 200)


def drawn(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Two shapes on noise, and the class of each pixel: ground, rectangle, ellipse, triangle."""
    picture = Image.fromarray(random.integers(0, 120, (32, 32, 3), dtype=np.uint8))
    mask = Image.new("L", (32, 32), 0)
    for _ in range(2):
        kind, size = int(random.integers(1, 4)), int(random.integers(6, 12))
        left, top = (int(start) for start in random.integers(2, 20, 2))
        colour = tuple(int(level) for level in random.integers(120, 256, 3))
        box = (left, top, left + size, top + size)
        corners = [(left, top + size), (left + size, top + size), (left + size // 2, top)]
        for draw, fill in [(ImageDraw.Draw(picture), colour), (ImageDraw.Draw(mask), kind)]:
            if kind == 1:
                draw.rectangle(box, fill=fill)
            elif kind == 2:
                draw.ellipse(box, fill=fill)
            else:
                draw.polygon(corners, fill=fill)
    return np.asarray(picture).transpose(2, 0, 1), np.asarray(mask)


def mean_intersection_over_union(outputs: list[np.ndarray], truth: np.ndarray) -> float:
    found = outputs[0].argmax(1)
    both = [((found == kind) & (truth == kind)).sum() for kind in range(4)]
    either = [((found == kind) | (truth == kind)).sum() for kind in range(4)]
    return float(np.mean(np.divide(both, either)))
