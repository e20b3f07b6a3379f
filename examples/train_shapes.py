"""Trains the example network on shapes.npz and saves it as TorchScript: resnet20-shapes.pt, by torch.jit.trace.

A CIFAR-style ResNet-20 of half the usual width (8/16/32), so that a job on it takes minutes on two cores. It sees (x - MEAN) / STD;
the job specs say so under "input". Run make_shapes.py first. (A script of its own because the line numbers of
train.py are in the bytes of the digits networks.)
"""

import io
import sys
import zipfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from train import BATCH_SIZE, SEED, ResNet20, accuracy

HERE = Path(__file__).parent
MEAN, STD = 100.0, 64.0
EPOCHS = 25
SHIFT = 3


class NarrowResNet20(ResNet20):
    """`ResNet20` with other layers."""

    def __init__(self, classes: int = 14) -> None:
        # Not that of ResNet20: its layers would be made first and move the random numbers on.
        nn.Module.__init__(self)
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.layer1 = self.stage(8, 8, stride=1)
        self.layer2 = self.stage(8, 16, stride=2)
        self.layer3 = self.stage(16, 32, stride=2)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(32, classes)


def load_split(data: dict[str, np.ndarray], suffix: str) -> tuple[Tensor, Tensor]:
    x = torch.from_numpy(data["x" + suffix]).float()
    return (x - MEAN) / STD, torch.from_numpy(data["y" + suffix])


def augmented(x: Tensor) -> Tensor:
    """The batch mirrored or not, and moved by up to three pixels; what comes in has the stored value 0."""
    if torch.rand(()) < 0.5:
        x = x.flip(3)
    padded = F.pad(x, (SHIFT, SHIFT, SHIFT, SHIFT), value=(0 - MEAN) / STD)
    top, left = torch.randint(0, 2 * SHIFT + 1, (2,)).tolist()
    return padded[:, :, top : top + x.shape[2], left : left + x.shape[3]]


def train(model: nn.Module, x: Tensor, y: Tensor) -> None:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True)
    steps = EPOCHS * (len(x) // BATCH_SIZE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=steps)
    model.train()
    for _ in range(EPOCHS):
        order = torch.randperm(len(x))
        for start in range(0, len(x) - BATCH_SIZE + 1, BATCH_SIZE):
            batch = order[start : start + BATCH_SIZE]
            loss = F.cross_entropy(model(augmented(x[batch])), y[batch], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()


def save(script: torch.jit.ScriptModule, path: Path) -> None:
    """Without the records that only say where in which Python file each line of code was."""
    buffer = io.BytesIO()
    torch.jit.save(script, buffer)
    with zipfile.ZipFile(buffer) as whole, zipfile.ZipFile(path, "w") as small:
        for record in whole.namelist():
            if not record.endswith(".debug_pkl"):
                small.writestr(zipfile.ZipInfo(record), whole.read(record))


def main() -> None:
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(2)
    torch.manual_seed(SEED)
    if not (HERE / "shapes.npz").exists():
        sys.exit("examples/shapes.npz is missing: python examples/make_shapes.py writes it")
    with np.load(HERE / "shapes.npz") as arrays:
        data = dict(arrays)
    model = NarrowResNet20()
    train(model, *load_split(data, ""))
    model.eval()
    path = HERE / "resnet20-shapes.pt"
    save(torch.jit.trace(model, torch.zeros(2, 3, 32, 32)), path)

    saved = torch.jit.load(str(path))
    val, test = (accuracy(saved, *load_split(data, suffix)) for suffix in ("_val", "_test"))
    parameters = sum(p.numel() for p in saved.parameters())
    print(f"{path.name}: val {val:.4f}, test {test:.4f}, {parameters} parameters, {path.stat().st_size} bytes")
    assert test >= 0.88, "an example network should be a good one"


if __name__ == "__main__":
    main()
