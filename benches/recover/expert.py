"""What an expert would write to bring a cut network back."""

import time
from pathlib import Path

import torch

from network import flat, load, outputs_of, set_training
from subject import Subject


def recover(subject: Subject, folder: Path, cut: Path, device: str, seed: int, *, labelled: bool) -> tuple[Path, float]:
    """Ten lines of PyTorch: AdamW, the right loss, a cosine. Returns the file and the seconds that it took."""
    started = time.monotonic()
    torch.manual_seed(seed)
    network = load(cut, device)
    set_training(network, True)
    samples = torch.from_numpy(subject.samples["train"]).to(device)
    if labelled:
        targets = [torch.from_numpy(subject.labels["train"]).to(device)]
    else:
        outputs = outputs_of(load(folder / "original.pt", device), subject.samples["train"], device)
        targets = [torch.from_numpy(output).to(device) for output in outputs]
    optimizer = torch.optim.AdamW(network.parameters(), lr=subject.lr)
    steps = subject.epochs * len(samples.split(subject.batch))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(subject.epochs):
        for batch in torch.randperm(len(samples)).split(subject.batch):
            outputs, wanted = flat(network(samples[batch])), [target[batch] for target in targets]
            loss = subject.labelled(outputs[0], wanted[0]) if labelled else subject.loss(outputs, wanted)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    written = folder / f"{cut.stem}-expert-{seed}{'-labelled' if labelled else ''}.pt"
    set_training(network, False)
    network.save(str(written))
    return written, time.monotonic() - started
