"""The ResNet-56 of the SACP paper's experiments (He et al., 2016, for 32 × 32 pixels), trained on examples/shapes.npz."""

import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
sys.path += [str(EXAMPLES), str(Path(__file__).resolve().parents[1] / "recover")]

import train_shapes  # noqa: E402
from train import BasicBlock, ResNet20  # noqa: E402

import network  # noqa: E402


class ResNet56(ResNet20):
    """`ResNet20` with nine blocks a stage, for coloured pictures of 14 classes."""

    def __init__(self) -> None:
        super().__init__(classes=14)
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)

    @staticmethod
    def stage(in_channels: int, channels: int, stride: int) -> nn.Sequential:
        rest = [BasicBlock(channels, channels, 1) for _ in range(8)]
        return nn.Sequential(BasicBlock(in_channels, channels, stride), *rest)


def prepare(folder: Path, device: str) -> None:
    torch.manual_seed(0)
    with np.load(EXAMPLES / "shapes.npz") as arrays:
        samples, labels = train_shapes.load_split(dict(arrays), "")
    model = ResNet56().to(device)
    train_shapes.train(model, samples.to(device), labels.to(device))
    network.trace(model, (3, 32, 32), folder / "network.pt")
