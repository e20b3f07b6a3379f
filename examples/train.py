"""Trains the two example networks on digits.npz and saves them as TorchScript.

resnet20-digits.pt  CIFAR-style ResNet-20, saved by torch.jit.trace
vgg-digits.pt       small VGG with batch norm and dropout, saved by torch.jit.script

Both see (x - MEAN) / STD; the job specs say so under "input", the networks themselves do not normalise.
With PYTHONHASHSEED=0 two runs on one machine give the same bytes.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

HERE = Path(__file__).parent
MEAN, STD = 4.9, 6.0
SEED = 0
BATCH_SIZE = 64


class BasicBlock(nn.Module):
    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return F.relu(out + self.shortcut(x))


class ResNet20(nn.Module):
    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = self.stage(16, 16, stride=1)
        self.layer2 = self.stage(16, 32, stride=2)
        self.layer3 = self.stage(32, 64, stride=2)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(64, classes)

    @staticmethod
    def stage(in_channels: int, channels: int, stride: int) -> nn.Sequential:
        return nn.Sequential(
            BasicBlock(in_channels, channels, stride),
            BasicBlock(channels, channels, 1),
            BasicBlock(channels, channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(torch.flatten(self.pool(x), 1))


class Vgg(nn.Module):
    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        in_channels = 1
        for width in (32, 32, "pool", 64, 64, "pool", 96, 96):
            if width == "pool":
                layers.append(nn.MaxPool2d(2))
                continue
            layers += [nn.Conv2d(in_channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
            in_channels = width
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.classifier = nn.Sequential(
            nn.Linear(96, 96), nn.ReLU(inplace=True), nn.Dropout(0.3), nn.Linear(96, classes)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.avgpool(self.features(x))
        return self.classifier(torch.flatten(x, 1))


def load_split(data: dict[str, np.ndarray], suffix: str) -> tuple[Tensor, Tensor]:
    x = torch.from_numpy(data["x" + suffix]).float()
    return (x - MEAN) / STD, torch.from_numpy(data["y" + suffix])


def shifted(x: Tensor) -> Tensor:
    """The batch moved by up to one pixel; the background of a digit is the stored value 0."""
    background = (0 - MEAN) / STD
    padded = F.pad(x, (1, 1, 1, 1), value=background)
    top, left = torch.randint(0, 3, (2,)).tolist()
    return padded[:, :, top : top + x.shape[2], left : left + x.shape[3]]


def accuracy(model: nn.Module, x: Tensor, y: Tensor) -> float:
    model.eval()
    with torch.no_grad():
        return (model(x).argmax(1) == y).float().mean().item()


def train(model: nn.Module, x: Tensor, y: Tensor, epochs: int, lr: float) -> None:
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9, weight_decay=5e-4, nesterov=True)
    steps = epochs * (len(x) // BATCH_SIZE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps)
    model.train()
    for _ in range(epochs):
        order = torch.randperm(len(x))
        for start in range(0, len(x) - BATCH_SIZE + 1, BATCH_SIZE):
            batch = order[start : start + BATCH_SIZE]
            loss = F.cross_entropy(model(shifted(x[batch])), y[batch], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()


def train_and_save(
    name: str,
    build: Callable[[], nn.Module],
    to_torchscript: Callable[[nn.Module], torch.jit.ScriptModule],
    epochs: int,
) -> None:
    torch.manual_seed(SEED)
    with np.load(HERE / "digits.npz") as arrays:
        data = dict(arrays)
    model = build()
    train(model, *load_split(data, ""), epochs=epochs, lr=0.1)
    model.eval()
    path = HERE / name
    torch.jit.save(to_torchscript(model), str(path))

    saved = torch.jit.load(str(path))
    scores = {
        split: accuracy(saved, *load_split(data, suffix)) for split, suffix in (("val", "_val"), ("test", "_test"))
    }
    parameters = sum(p.numel() for p in saved.parameters())
    print(
        f"{name}: val {scores['val']:.4f}, test {scores['test']:.4f}, {parameters} parameters, {path.stat().st_size} bytes"
    )
    assert scores["test"] >= 0.97, "an example network should be a good one"


def main() -> None:
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(2)
    example = torch.zeros(2, 1, 8, 8)
    train_and_save("resnet20-digits.pt", ResNet20, lambda model: torch.jit.trace(model, example), epochs=60)
    train_and_save("vgg-digits.pt", Vgg, torch.jit.script, epochs=60)


if __name__ == "__main__":
    main()
