"""What recovery brings back: our job beside an expert's script, at equal epochs on the same cut.

    python3 benches/recover/compare.py SECATEUR --packages FOLDER [--subjects pitch craft] [--reductions 0.5 0.7] [--seeds 0 1]
                                       [--device cuda] [--folder FOLDER] [--fine-tune JSON]
                                       [--epochs N] [--samples N]
    python3 benches/recover/compare.py --prepare-only --packages FOLDER [--subjects …] [--device cuda] [--folder FOLDER]
    python3 benches/recover/compare.py --table-only [--folder FOLDER]

*Cut only* is the cut network with re-estimated batch norm statistics, from which the expert's script starts; *closed form* is our job
without training. What the expert's loss knows of a network, our job is told (`Subject.told`; `--fine-tune '{"outputs": []}'` takes it
back). SECATEUR is the binary, with secateur-engine beside it. Without labels the original's own outputs are all that there is to learn
from; where a subject has labels, both learn from these too, ours half from them and half from the original as is its default.
Every number is of the written file in stock PyTorch, on samples that nothing was trained or chosen on.

`--packages` is the folder that scripts/setup-recover.sh prints. A subject is prepared once, into a folder of its own below `--folder`:
what was taken from packages, and the network that was trained, is kept there, and the rest is made anew from seeds each time. So a
machine without the packages can run what another one has prepared: `--prepare-only` also writes `prepared.tar.xz`, which is unpacked into
the other machine's `--folder`. In it the reader's weights are rounded to bfloat16 and CRAFT's to six significant bits, so that all fits
into an estimated 45 MiB; that network is the original there. On the first 150 test samples neither its F1 nor the reader's words change by more than
0.2 points.

Each row is appended to `results.jsonl` in the folder, and a table in Markdown ends the run; `--table-only` prints the table of all rows
that are there.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np

import expert
from network import load, outputs_of
from subject import Subject
from subjects import SUBJECTS, is_prepared, pack

WHO = {"cut": "cut only", "closed_form": "closed form", "ours": "our job", "expert": "expert"}


@dataclass
class Row:
    """Scores and seconds of one cut, by who made the network."""

    subject: str
    unit: str
    reduction: float
    learnt_from: str
    seed: int
    device: str
    epochs: int
    samples: int
    fine_tune: dict
    """What was asked of our job beside its defaults."""
    original: float
    scores: dict[str, float] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        took = {who: f" ({self.seconds[who]:.0f} s)" if who in self.seconds else "" for who in self.scores}
        parts = [f"{WHO[who]} {score:.3f}{took[who]}" for who, score in self.scores.items()]
        return f"  {self.reduction} from {self.learnt_from}, seed {self.seed}: {', '.join(parts)}"


class JobFailedError(Exception):
    pass


class Comparison:
    """One subject on one device."""

    def __init__(self, subject: Subject, secateur: Path, folder: Path, device: str, fine_tune: dict) -> None:
        self.subject, self.secateur, self.folder, self.device = subject, secateur, folder, device
        self.fine_tune = fine_tune
        subject.network.save(str(folder / "original.pt"))
        names = {"train": "x", "val": "x_val", "test": "x_test"}
        arrays = {names[part]: samples for part, samples in subject.samples.items()}
        np.savez(folder / "data.npz", **arrays)
        if subject.labels is not None:
            labels = {names[part].replace("x", "y"): labels for part, labels in subject.labels.items()}
            np.savez(folder / "labelled.npz", **arrays, **labels)
        self.original = self.score(folder / "original.pt")

    def rows(self, reduction: float, seeds: list[int]) -> list[Row]:
        """The rows of a reduction; those before a job that failed."""
        rows: list[Row] = []
        try:
            for row in self.each_row(reduction, seeds):
                print(row, flush=True)
                with (self.folder.parent / "results.jsonl").open("a") as results:
                    results.write(json.dumps(asdict(row)) + "\n")
                rows.append(row)
        except JobFailedError as error:
            print(f"  {reduction}: {error}", file=sys.stderr, flush=True)
        return rows

    def each_row(self, reduction: float, seeds: list[int]) -> Iterator[Row]:
        spec = {"target": {"flops_reduction": reduction}, "method": "global_l2", "seed": seeds[0]}
        untuned = {**spec, "fine_tune": None}
        cut, _ = self.prune(f"cut-{reduction}", {**untuned, "recovery": {"closed_form": False}})
        fitted, fit_time = self.prune(f"fitted-{reduction}", untuned)
        before = {"cut": self.score(cut), "closed_form": self.score(fitted)}
        tune = {"epochs": self.subject.epochs, "batch_size": self.subject.batch, **self.subject.told}
        for seed in seeds:
            for labelled in [False, True] if self.subject.labels is not None else [False]:
                wanted = {
                    **spec,
                    "seed": seed,
                    "fine_tune": {**tune, "objective": "auto" if labelled else "distill", **self.fine_tune},
                }
                name, data = ("labelled", "labelled.npz") if labelled else ("ours", "data.npz")
                ours, our_time = self.prune(f"{name}-{reduction}-{seed}", wanted, data)
                theirs, their_time = expert.recover(
                    self.subject, self.folder, cut, self.device, seed, labelled=labelled
                )
                yield Row(
                    subject=self.subject.name,
                    unit=self.subject.unit,
                    reduction=reduction,
                    learnt_from="labels" if labelled else "the original",
                    seed=seed,
                    device=self.device,
                    epochs=self.subject.epochs,
                    samples=len(self.subject.samples["train"]),
                    fine_tune=self.fine_tune,
                    original=self.original,
                    scores={**before, "ours": self.score(ours), "expert": self.score(theirs)},
                    seconds={"closed_form": fit_time, "ours": our_time, "expert": their_time},
                )

    def score(self, file: Path) -> float:
        outputs = outputs_of(load(file, self.device), self.subject.samples["test"], self.device)
        return self.subject.score(outputs, self.subject.truth)

    def prune(self, name: str, spec: dict, data: str = "data.npz") -> tuple[Path, float]:
        """Our job; returns the file and the seconds that it took, from start to end of the process."""
        written, wanted = self.folder / f"{name}.pt", self.folder / f"{name}.json"
        wanted.write_text(json.dumps(spec))
        command = [self.secateur, "prune", self.folder / "original.pt", "--spec", wanted, "--data", self.folder / data]
        command += ["--device", self.device, "-o", written, "--report", self.folder / f"{name}.report.json"]
        started = time.monotonic()
        run = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
        (self.folder / f"{name}.log").write_text(run.stdout + run.stderr)
        if run.returncode != 0:
            raise JobFailedError(f"{name} of {self.subject.name}: {run.stderr[-2000:]}")
        return written, time.monotonic() - started


def shortened(subject: Subject, epochs: int | None, samples: int | None) -> Subject:
    def first(parts: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {**parts, "train": parts["train"][:samples]}

    labels = None if subject.labels is None else first(subject.labels)
    return replace(subject, samples=first(subject.samples), labels=labels, epochs=epochs or subject.epochs)


def kept_rows(folder: Path) -> list[Row]:
    """The rows of all runs in this folder; of those that were made again the newest."""
    lines = (folder / "results.jsonl").read_text().splitlines()
    rows = [Row(**json.loads(line)) for line in lines]
    return list({(*line_of(row), row.seed, row.device): row for row in rows}.values())


def line_of(row: Row) -> tuple[str, ...]:
    """What rows of one line of the table share."""
    asked = f", our job with `{json.dumps(row.fine_tune)}`" if row.fine_tune else ""
    effort = f"{row.epochs} epochs of {row.samples}"
    return row.subject + asked, row.unit, effort, f"{100 * row.reduction:.0f} %", row.learnt_from


def table(rows: list[Row]) -> str:
    """Markdown for the page about evaluation, in %; over several seeds the mean, and the lowest and highest in brackets."""
    header = ["network", "what is counted", "training", "MACs removed", "learnt from", "original", *WHO.values()]
    header.append("seconds: ours, expert's")
    lines = [header, ["---"] * len(header)]
    for line in dict.fromkeys(map(line_of, rows)):
        of_line = [row for row in rows if line_of(row) == line]
        scores = [percent([row.scores[who] for row in of_line]) for who in WHO]
        seconds = [f"{np.mean([row.seconds[who] for row in of_line]):.0f}" for who in ["ours", "expert"]]
        lines.append([*line, percent([row.original for row in of_line]), *scores, ", ".join(seconds)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def percent(scores: list[float]) -> str:
    mean = f"{100 * np.mean(scores):.1f}"
    return mean if min(scores) == max(scores) else f"{mean} ({100 * min(scores):.1f} to {100 * max(scores):.1f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("secateur", type=Path, nargs="?")
    parser.add_argument("--packages", type=Path, help="wanted for subjects that are not prepared yet")
    parser.add_argument("--subjects", nargs="+", choices=SUBJECTS, default=list(SUBJECTS))
    parser.add_argument("--reductions", nargs="+", type=float, default=[0.5, 0.7])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], help="of our jobs and of the expert's script")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="of all training and scoring")
    parser.add_argument("--folder", type=Path, default=Path("data/recover"))
    parser.add_argument("--epochs", type=int, help="instead of each subject's own, of both")
    parser.add_argument("--samples", type=int, help="train on the first so many alone")
    parser.add_argument("--fine-tune", type=json.loads, default={}, help="goes before our defaults")
    parser.add_argument("--prepare-only", action="store_true", help="prepare the subjects and pack them")
    parser.add_argument("--table-only", action="store_true", help="print the table of what was run before")
    arguments = parser.parse_args()
    if arguments.table_only:
        print(table(kept_rows(arguments.folder)))
        return
    if not arguments.prepare_only and arguments.secateur is None:
        parser.error("the binary is missing: only --prepare-only and --table-only go without it")

    for name in arguments.subjects:
        if is_prepared(arguments.folder / name):
            continue
        if arguments.packages is None and SUBJECTS[name].needs_packages(arguments.folder / name):
            parser.error(f"{name} is not prepared in {arguments.folder}: give --packages")
        started = time.monotonic()
        SUBJECTS[name].prepare(arguments.folder / name, arguments.packages, arguments.device)
        print(f"{name}: prepared in {time.monotonic() - started:.0f} s", flush=True)
    if arguments.prepare_only:
        packed = pack(arguments.folder, arguments.subjects)
        print(f"{packed}: {packed.stat().st_size / 2**20:.1f} MiB")
        return

    rows, wanted = [], 0
    for name in arguments.subjects:
        folder = arguments.folder / name
        subject = shortened(SUBJECTS[name].subject(folder), arguments.epochs, arguments.samples)
        comparison = Comparison(subject, arguments.secateur, folder, arguments.device, arguments.fine_tune)
        print(f"{subject.name}: {subject.unit}, original {comparison.original:.3f}", flush=True)
        for reduction in arguments.reductions:
            rows += comparison.rows(reduction, arguments.seeds)
        wanted += len(arguments.reductions) * len(arguments.seeds) * (1 if subject.labels is None else 2)
    print(f"\n{table(rows)}")
    if len(rows) < wanted:
        sys.exit(f"{wanted - len(rows)} of {wanted} rows are missing: a job failed")


if __name__ == "__main__":
    main()
