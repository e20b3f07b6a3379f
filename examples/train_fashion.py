"""Trains the example network on Fashion-MNIST and saves it as TorchScript: vgg-fashion.pt, by torch.jit.script.

The small VGG of train.py. It sees (x - MEAN) / STD; the job specs say so under "input". It learns from all training pictures but the 2000
that fashion.npz has for validation, in bfloat16 and with one thread, which is the fastest on the two cores that it was made on. (A script of
its own because the line numbers of train.py are in the bytes of the digits networks.)
"""

import time

import numpy as np
import torch
from make_fashion import HELD_OUT, fetch, read_labels, read_pictures
from torch import Tensor
from torch.nn import functional as F
from train import HERE, SEED, Vgg, accuracy
from train_shapes import save

MEAN, STD = 72.9, 90.0
EPOCHS, BATCH_SIZE, LR = 12, 128, 0.1
SHIFT = 2


def load(part: str) -> tuple[Tensor, Tensor]:
    folder = fetch()
    pictures, shape = read_pictures(folder, part)
    x = torch.from_numpy(np.frombuffer(pictures, np.uint8).reshape(shape).copy()).float()
    labels, _ = read_labels(folder, part)
    return (x - MEAN) / STD, torch.from_numpy(np.frombuffer(labels, np.uint8).astype(np.int64))


def augmented(x: Tensor) -> Tensor:
    """Pictures mirrored or not, each by itself, and the batch moved by up to two pixels; the background has the stored value 0."""
    x = torch.where(torch.rand(len(x), 1, 1, 1) < 0.5, x.flip(3), x)
    padded = F.pad(x, (SHIFT, SHIFT, SHIFT, SHIFT), value=(0 - MEAN) / STD)
    top, left = torch.randint(0, 2 * SHIFT + 1, (2,)).tolist()
    return padded[:, :, top : top + x.shape[2], left : left + x.shape[3]]


def train(model: torch.nn.Module, x: Tensor, y: Tensor) -> None:
    optimizer = torch.optim.SGD(model.parameters(), lr=LR, momentum=0.9, weight_decay=5e-4, nesterov=True)
    steps = EPOCHS * (len(x) // BATCH_SIZE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LR, total_steps=steps)
    model.train()
    for epoch in range(EPOCHS):
        started = time.monotonic()
        order = torch.randperm(len(x))
        for start in range(0, len(x) - BATCH_SIZE + 1, BATCH_SIZE):
            batch = order[start : start + BATCH_SIZE]
            with torch.autocast("cpu", torch.bfloat16):
                scores = model(augmented(x[batch]))
            loss = F.cross_entropy(scores.float(), y[batch], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        print(f"epoch {epoch + 1} of {EPOCHS}: loss {loss.item():.3f}, {time.monotonic() - started:.0f} s", flush=True)


def main() -> None:
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    x, y = load("train")
    model = Vgg().to(memory_format=torch.channels_last)
    train(model, x[:-HELD_OUT], y[:-HELD_OUT])
    model = model.to(memory_format=torch.contiguous_format).eval()
    path = HERE / "vgg-fashion.pt"
    save(torch.jit.script(model), path)

    saved = torch.jit.load(str(path))
    val, test = accuracy(saved, x[-HELD_OUT:], y[-HELD_OUT:]), accuracy(saved, *load("t10k"))
    parameters = sum(p.numel() for p in saved.parameters())
    print(f"{path.name}: val {val:.4f}, test {test:.4f}, {parameters} parameters, {path.stat().st_size} bytes")
    assert test >= 0.91, "an example network should be a good one"


if __name__ == "__main__":
    main()
