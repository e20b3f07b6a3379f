#!/usr/bin/env python3
"""Takes turns at an epoch of training: ours in float32 and in what it chooses by itself, and PyTorch in float32 as a user's script has it,
by default, with channels last, and with channels last in bfloat16 by `torch.autocast`.

    compare.py STEP_BENCHMARK [--networks resnet20,resnet20-cut,reader] [--rounds 3] [--threads 2] [--device cpu]

All train the same weights on the same samples with SGD and cross-entropy, batch 128 at 32 x 32 pixels for the ResNet-20 of He et al.
and for one of the widths that a cut at 70 % of its MACs may leave, and batch 32 at 32 x 128 for a reader of words: convolutions, two bidirectional LSTM, a class for each of 31 places. Every run is a
process of its own with two epochs, of which the second counts. Printed are medians over the rounds and how many times ours is as fast.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

EPOCHS = 2
SAMPLES = {"resnet20": 4096, "resnet20-cut": 4096, "reader": 1024}
BATCH = {"resnet20": 128, "resnet20-cut": 128, "reader": 32}
SHAPE = {"resnet20": (3, 32, 32), "resnet20-cut": (3, 32, 32), "reader": (1, 32, 128)}
CLASSES = {"resnet20": 10, "resnet20-cut": 10, "reader": 97}
VALIDATION = 128


class Block(nn.Module):
    def __init__(self, inputs, inner, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, inner, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Identity()
        if stride != 1:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class ResNet20(nn.Module):
    def __init__(self, widths=(16, 32, 64), inner=(16, 32, 64)):
        super().__init__()
        self.conv1 = nn.Conv2d(3, widths[0], 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        blocks, inputs = [], widths[0]
        for stage, (outputs, between) in enumerate(zip(widths, inner, strict=True)):
            for number in range(3):
                blocks.append(Block(inputs, between, outputs, 2 if stage > 0 and number == 0 else 1))
                inputs = outputs
        self.blocks = nn.Sequential(*blocks)
        self.fc = nn.Linear(inputs, CLASSES["resnet20"])

    def forward(self, x):
        x = self.blocks(torch.relu(self.bn1(self.conv1(x))))
        return self.fc(x.mean([2, 3]))


class Reader(nn.Module):
    """The usual reader of words, as narrow as its English weights are used with: 1 x 32 x 128 to 31 places."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 32, 3, 1, 1), nn.ReLU(), nn.MaxPool2d(2, 2),
            nn.Conv2d(32, 64, 3, 1, 1), nn.ReLU(), nn.MaxPool2d(2, 2),
            nn.Conv2d(64, 128, 3, 1, 1), nn.ReLU(), nn.Conv2d(128, 128, 3, 1, 1), nn.ReLU(), nn.MaxPool2d((2, 1), (2, 1)),
            nn.Conv2d(128, 256, 3, 1, 1, bias=False), nn.BatchNorm2d(256), nn.ReLU(),
            nn.Conv2d(256, 256, 3, 1, 1, bias=False), nn.BatchNorm2d(256), nn.ReLU(), nn.MaxPool2d((2, 1), (2, 1)),
            nn.Conv2d(256, 256, 2, 1, 0), nn.ReLU(),
        )  # fmt: skip
        self.first = nn.LSTM(256, 256, bidirectional=True, batch_first=True)
        self.second = nn.LSTM(512, 256, bidirectional=True, batch_first=True)
        self.out = nn.Linear(512, CLASSES["reader"])

    def forward(self, x):
        x = self.features(x).mean(2).permute(0, 2, 1)
        x, _ = self.first(x)
        x, _ = self.second(x)
        return self.out(x)


def cut_resnet20():
    return ResNet20((11, 19, 37), (6, 13, 29))


NETWORKS = {"resnet20": ResNet20, "resnet20-cut": cut_resnet20, "reader": Reader}


def prepare(name, folder):
    """The network as a file and its samples as another."""
    torch.manual_seed(0)
    model, shape = NETWORKS[name](), SHAPE[name]
    places = (31,) if name == "reader" else ()
    generator = np.random.default_rng(0)
    count = SAMPLES[name]
    arrays = {}
    for suffix, samples in (("", count), ("_val", VALIDATION), ("_test", VALIDATION)):
        arrays["x" + suffix] = generator.standard_normal((samples, *shape), dtype=np.float32)
        arrays["y" + suffix] = generator.integers(0, CLASSES[name], (samples, *places))
    np.savez(folder / "data.npz", **arrays)
    torch.save(model.state_dict(), folder / "weights.pt")
    torch.jit.trace(model.eval(), torch.randn(2, *shape)).save(folder / "model.pt")


def train(name, folder, layout, device):
    """What a user would write; prints the seconds of each epoch."""
    torch.manual_seed(0)
    model = NETWORKS[name]()
    model.load_state_dict(torch.load(folder / "weights.pt"))
    model.train()
    data = np.load(folder / "data.npz")
    x, y = torch.from_numpy(data["x"]), torch.from_numpy(data["y"])
    x_val, y_val = torch.from_numpy(data["x_val"]), torch.from_numpy(data["y_val"])
    format = torch.contiguous_format if layout == "default" else torch.channels_last
    autocast = torch.autocast(device, torch.bfloat16, enabled=layout == "bfloat16")
    model = model.to(device, memory_format=format)
    x, y, x_val, y_val = (tensor.to(device) for tensor in (x, y, x_val, y_val))
    optimizer = torch.optim.SGD(model.parameters(), 1e-4, momentum=0.9, weight_decay=5e-4, nesterov=True)
    seconds = []
    for _ in range(EPOCHS):
        started = time.perf_counter()
        model.train()
        for batch in torch.randperm(len(x), device=device).split(BATCH[name]):
            with autocast:
                logits = model(x[batch].contiguous(memory_format=format))
            loss = F.cross_entropy(logits.float().flatten(0, -2), y[batch].flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            logits = model(x_val.contiguous(memory_format=format))
            F.cross_entropy(logits.flatten(0, -2), y_val.flatten()).item()
        # The loss was read, so a GPU has ended too.
        seconds.append(time.perf_counter() - started)
    print(json.dumps(seconds))


def last_epoch(command, environment):
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout)[-1]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("benchmark")
    parser.add_argument("--networks", default="resnet20,resnet20-cut,reader")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    arguments = parser.parse_args()
    threads = {"OMP_NUM_THREADS": str(arguments.threads)}
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"} | threads
    # The interpreter brings its own libtorch; another one on the library path would be taken instead.
    theirs = {name: value for name, value in environment.items() if name != "LD_LIBRARY_PATH"}
    for name in arguments.networks.split(","):
        with tempfile.TemporaryDirectory() as folder:
            prepare(name, Path(folder))
            script = [sys.executable, __file__, "--train", name, folder]
            ours = [arguments.benchmark, f"{folder}/model.pt", f"{folder}/data.npz", str(BATCH[name]), str(EPOCHS)]
            taken = {
                "ours": [],
                "ours, float32": [],
                "PyTorch": [],
                "PyTorch, channels last": [],
                "PyTorch, bfloat16": [],
            }
            for _ in range(arguments.rounds):
                # As a worker starts its engines.
                for who, precision in (("ours", "auto"), ("ours, float32", "float32")):
                    command = [*ours, precision, str(arguments.threads), arguments.device]
                    taken[who].append(last_epoch(command, environment | {"GOMP_SPINCOUNT": "3000"}))
                taken["PyTorch"].append(last_epoch([*script, "default", arguments.device], theirs))
                taken["PyTorch, channels last"].append(last_epoch([*script, "channels_last", arguments.device], theirs))
                taken["PyTorch, bfloat16"].append(last_epoch([*script, "bfloat16", arguments.device], theirs))
        median = {who: statistics.median(seconds) for who, seconds in taken.items()}
        steps = SAMPLES[name] / BATCH[name]
        for who, seconds in median.items():
            spread = f"{min(taken[who]):.2f} to {max(taken[who]):.2f}"
            both = f"{seconds / median['ours']:.2f} and {seconds / median['ours, float32']:.2f} times ours"
            faster = both if who.startswith("PyTorch") else ""
            print(
                f"{name:9} {who:23} {seconds:6.2f} s an epoch ({spread}), {1000 * seconds / steps:4.0f} ms a step {faster}"
            )


if __name__ == "__main__":
    if sys.argv[1] == "--train":
        train(sys.argv[2], Path(sys.argv[3]), *sys.argv[4:])
    else:
        main()
