"""What the comparison knows of a network: its samples, what it is judged by, and what an expert would write for it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch


@dataclass(frozen=True)
class Subject:
    """A network with its data. Outputs are lists, since a network may have several; a tuple in a tuple is laid flat."""

    name: str
    network: torch.jit.ScriptModule
    samples: dict[str, np.ndarray]
    """By split: train, val, test."""
    truth: Any
    """Of the test split."""
    score: Callable[[list[np.ndarray], Any], float]
    """Share that is right, of the test split's outputs and its truth."""
    unit: str
    loss: Callable[[list[torch.Tensor], list[torch.Tensor]], torch.Tensor]
    """The expert's loss of outputs against the original's, without labels."""
    lr: float
    epochs: int
    batch: int = 64
    told: dict[str, Any] = field(default_factory=dict)
    """What the expert's loss knows of the network, as our job is told it: fields of `fine_tune`."""
    labels: dict[str, np.ndarray] | None = None
    """By split, where there are labels to learn from."""
    labelled: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] | None = None
    """The expert's loss of the first output against labels."""


def split(samples: np.ndarray, test: int, val: int) -> dict[str, np.ndarray]:
    """The first `test` samples for the test, the next `val` for validation, and the rest to train on."""
    return {"test": samples[:test], "val": samples[test : test + val], "train": samples[test + val :]}


def categorical(outputs: torch.Tensor, originals: torch.Tensor, axis: int) -> torch.Tensor:
    """The KL divergence of scores for classes along an axis from the original's, in the mean over all places."""
    new, old = outputs.log_softmax(axis), originals.log_softmax(axis)
    return torch.nn.functional.kl_div(new, old, log_target=True, reduction="none").sum(axis).mean()
