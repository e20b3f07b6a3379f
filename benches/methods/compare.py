"""SACP against uniform, global_l1, global_l2 and Torch-Pruning, and ablations of SACP.

    python3 benches/methods/compare.py SECATEUR [--study methods|tau|top_m|top_k|objective|ranking|sizes] [--settings sacp …]
                                       [--networks resnet20-digits …] [--targets 0.5 …] [--seeds 0 …] [--epochs N]
                                       [--results FILE.jsonl] [--rival FOLDER] [--packages FOLDER] [--prepared FOLDER]
                                       [--device cuda] [--at-once N]

SECATEUR is the binary, with secateur-engine beside it; each run is a `secateur prune`. The final network of a classical method
gets the epochs that SACP's got on its way (light fine-tune, --epochs); what SACP spends in all, on networks
that lose too, is a column of its own. A finished run is one line of the results file and is not done again, so an interrupted
comparison goes on where it was; the line below the table says how many runs another build of the engine took. Accuracy is on the test split, winners are chosen on the
validation split. With `--at-once` several runs share the machine, which a GPU wants: their seconds are then not those of a run alone. docs/evaluation.md says what was found.

The networks on Fashion-MNIST are trained once, by ../recover/fashion.py, and the ResNet-56 by deep.py, into a folder of their own (`--prepared`), with the data of
`--packages`, the folder that scripts/setup-recover.sh prints. The settings torch_pruning and torch_pruning_each_layer are rival.py with the package in
`--rival`, the folder that scripts/setup-rival.sh prints. The setting untrained is a job that has neither labels nor training: samples, the repair in
closed form, and seconds; its accuracy is measured in stock PyTorch. These want a Python with PyTorch; `make bench-study` has it all.
"""

import argparse
import contextlib
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
BASELINES = ("uniform", "global_l1", "global_l2")
# Origins of candidates that take part in SACP's screen without having been searched.
CLASSICAL = (*BASELINES, "greedy_sensitivity")
# SACP's finalists have had a light epoch before their --epochs.
EARLIER_EPOCHS = 1


@dataclass(frozen=True)
class Network:
    model: str
    data: str
    mean: float
    std: float
    is_prepared: bool = False
    """Whether it is trained here, and its file is in the folder of such networks instead of the examples'."""

    def data_folder(self, prepared: Path) -> Path:
        return prepared if self.data == FASHION_DATA else EXAMPLES


FASHION = ("fashion-resnet20", "fashion-vgg", "fashion-mobilenet", "fashion-vit")
FASHION_DATA = "fashion.npz"
NETWORKS = {
    "resnet20-digits": Network("resnet20-digits.pt", "digits.npz", 4.9, 6.0),
    "vgg-digits": Network("vgg-digits.pt", "digits.npz", 4.9, 6.0),
    "resnet20-shapes": Network("resnet20-shapes.pt", "shapes.npz", 100.0, 64.0),
    "resnet56-shapes": Network("resnet56-shapes/network.pt", "shapes.npz", 100.0, 64.0, is_prepared=True),
    **{name: Network(f"{name}/network.pt", FASHION_DATA, 72.9, 90.0, is_prepared=True) for name in FASHION},
}
# What is said to rival.py.
RIVALS = {"torch_pruning": [], "torch_pruning_each_layer": ["--each-layer"]}
UNTRAINED = "untrained"


@dataclass(frozen=True)
class Study:
    """Settings that are compared, and what each adds to the spec."""

    settings: tuple[str, ...]
    spec: Callable[[str], dict[str, Any]]


def sacp(**sections: Any) -> dict[str, Any]:
    return {"method": "sacp", "preset": "quick", **sections}


def method(name: str) -> dict[str, Any]:
    if name == UNTRAINED:
        return sacp(fine_tune=None)
    return sacp() if name == "sacp" else {"method": name}


def size(name: str) -> dict[str, Any]:
    if name == "wide":
        return sacp(search={"top_m": 150, "top_k": 10})
    return {"method": "sacp", "preset": name}


STUDIES = {
    "methods": Study(("sacp", *BASELINES, *RIVALS, UNTRAINED), method),
    # The target is the setting.
    "tau": Study(("0.5", "0.6", "0.7", "0.8"), lambda tau: sacp(target={"flops_reduction": float(tau)})),
    "top_m": Study(("25", "50", "100", "150"), lambda m: sacp(search={"top_m": int(m)})),
    "top_k": Study(("1", "3", "5", "10"), lambda k: sacp(search={"top_k": int(k)})),
    # The published ranking in both its forms; a search by sensitivities would hide the encoder.
    "objective": Study(
        ("contrastive", "regression"),
        lambda objective: sacp(encoder={"objective": objective}, search={"ranking": "similarity"}),
    ),
    "ranking": Study(("similarity", "sensitivity"), lambda ranking: sacp(search={"ranking": ranking})),
    # `wide` screens and tunes as many networks as the paper, and repairs them as `quick` does.
    "sizes": Study(("quick", "wide", "paper"), size),
}


@dataclass(frozen=True)
class Run:
    study: str
    setting: str
    network: str
    target: float
    seed: int
    epochs: int

    def __str__(self) -> str:
        return f"{self.network} {self.study}={self.setting} target {self.target} seed {self.seed}"

    def key(self) -> str:
        return json.dumps(self.__dict__, sort_keys=True)

    def plain_epochs(self) -> int:
        return self.epochs + EARLIER_EPOCHS

    def spec(self) -> dict[str, Any]:
        network = NETWORKS[self.network]
        spec = {
            "target": {"flops_reduction": self.target},
            "seed": self.seed,
            "input": {"mean": network.mean, "std": network.std},
            "fine_tune": {"objective": "cross_entropy", "distill": 0.5, "epochs": self.epochs, "batch_size": 64},
        }
        if self.setting in BASELINES:
            spec["fine_tune"]["epochs"] = self.plain_epochs()
        return spec | STUDIES[self.study].spec(self.setting)


class RunFailedError(Exception):
    pass


def main() -> None:
    arguments = parse_arguments()
    done = {line["key"]: line for line in read_lines(arguments.results)}
    wanted = list(runs(arguments))
    writing = threading.Lock()

    def take(run: Run) -> bool:
        print(run, file=sys.stderr, flush=True)
        try:
            line = measure_rival(arguments, run) if run.setting in RIVALS else measure(arguments, run)
        except RunFailedError as error:
            print(f"{run}: {error}", file=sys.stderr, flush=True)
            return False
        with writing, arguments.results.open("a") as file:
            file.write("\n" + json.dumps(line) + "\n")
        done[run.key()] = line
        return True

    with ThreadPoolExecutor(arguments.at_once) as pool:
        failures = list(pool.map(take, [run for run in wanted if run.key() not in done])).count(False)
    results = [(run, done[run.key()]) for run in wanted if run.key() in done]
    print_table(arguments.study, results)
    engine = sha256(arguments.engine)
    ours = [line for run, line in results if run.setting not in RIVALS]
    others = sum(line["engine_sha256"] != engine for line in ours)
    print(f"\nEngine {engine[:12]}; {others} of {len(ours)} runs were taken with another build.")
    if failures:
        sys.exit(f"{failures} of {len(wanted)} runs failed")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", type=Path)
    parser.add_argument("--study", choices=STUDIES, default="methods")
    parser.add_argument("--settings", nargs="+", help="of the study, instead of all")
    parser.add_argument("--results", type=Path, default=Path("methods.jsonl"))
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=["resnet20-digits", "resnet20-shapes"])
    parser.add_argument("--targets", nargs="+", type=float, default=[0.5, 0.7, 0.85])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--rival", type=Path, help="the folder that has Torch-Pruning")
    parser.add_argument("--packages", type=Path, help="the folder that has Fashion-MNIST")
    parser.add_argument(
        "--prepared", type=Path, default=ROOT / "target" / "study", help="where trained networks are kept"
    )
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="of all training")
    parser.add_argument("--at-once", type=int, default=1, help="runs that share the machine")
    arguments = parser.parse_args()
    arguments.binary, arguments.prepared = arguments.binary.resolve(), arguments.prepared.resolve()
    arguments.engine = arguments.binary.with_name("secateur-engine")
    for program in (arguments.binary, arguments.engine):
        if not program.is_file():
            parser.error(f"{program} is missing: cargo build --release --workspace --bins makes it")
    known = STUDIES[arguments.study].settings
    if arguments.settings is None:
        # Those that need PyTorch are left out where it was not asked for.
        arguments.settings = [name for name in known if name not in (*RIVALS, UNTRAINED) or arguments.rival]
    if RIVALS.keys() & set(arguments.settings) and not arguments.rival:
        parser.error(f"{' and '.join(RIVALS)} need --rival")
    if arguments.study == "methods" and (unknown := set(arguments.settings) - set(known)):
        parser.error(f"{', '.join(sorted(unknown))}: no setting of --study methods, which has {', '.join(known)}")
    arguments.results.parent.mkdir(parents=True, exist_ok=True)
    if arguments.study == "tau":
        arguments.targets = [0.0]
    for name in arguments.networks:
        network = NETWORKS[name]
        data = network.data_folder(arguments.prepared) / network.data
        if not data.exists() and data.parent == EXAMPLES:
            parser.error(f"examples/{network.data} is missing: python examples/make_shapes.py writes it")
        if network.is_prepared and not (arguments.prepared / network.model).exists():
            if not data.exists() and not arguments.packages:
                parser.error(f"{arguments.prepared / network.model} is missing, and training it needs --packages")
            prepare(name, arguments)
    return arguments


def prepare(name: str, arguments: argparse.Namespace) -> None:
    print(f"training {name}", file=sys.stderr, flush=True)
    folder = arguments.prepared / name
    if name in FASHION:
        sys.path.insert(0, str(ROOT / "benches" / "recover"))
        import fashion

        fashion.prepare(folder, arguments.packages, arguments.device)
    else:
        import deep

        deep.prepare(folder, arguments.device)


def read_lines(path: Path) -> list[dict[str, Any]]:
    lines = []
    for text in path.read_text().splitlines() if path.exists() else []:
        # A run that was killed may have left half a line.
        with contextlib.suppress(json.JSONDecodeError):
            lines.append(json.loads(text))
    return lines


def runs(arguments: argparse.Namespace) -> Iterator[Run]:
    """Seed by seed, so that an interrupted comparison is a complete one with fewer seeds."""
    for seed in arguments.seeds:
        for network in arguments.networks:
            for target in arguments.targets:
                for setting in arguments.settings:
                    at = float(setting) if arguments.study == "tau" else target
                    yield Run(arguments.study, setting, network, at, seed, arguments.epochs)


def files(arguments: argparse.Namespace, network: Network) -> tuple[Path, Path]:
    """Of the model and of the data."""
    folder = arguments.prepared if network.is_prepared else EXAMPLES
    return folder / network.model, network.data_folder(arguments.prepared) / network.data


def measure_rival(arguments: argparse.Namespace, run: Run) -> dict[str, Any]:
    network = NETWORKS[run.network]
    numbers = [network.mean, network.std, run.target, run.seed, run.plain_epochs()]
    command = [sys.executable, ROOT / "benches" / "methods" / "rival.py", run.network, *files(arguments, network)]
    command += [*map(str, numbers), "--packages", arguments.rival, "--device", arguments.device, *RIVALS[run.setting]]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode != 0:
        raise RunFailedError(f"rival.py failed: {finished.stderr[-2000:]}")
    found = json.loads(finished.stdout.splitlines()[-1])
    nothing = {"winner": run.setting, "epochs": run.plain_epochs(), "repair": None, "candidates": []}
    return {"key": run.key(), **found, **nothing}


def measure(arguments: argparse.Namespace, run: Run) -> dict[str, Any]:
    network, spec = NETWORKS[run.network], run.spec()
    model, data = files(arguments, network)
    with tempfile.TemporaryDirectory() as folder:
        if run.setting == UNTRAINED:
            data = without_labels(data, Path(folder, "samples.npz"))
        spec_file, report_file = Path(folder, "spec.json"), Path(folder, "report.json")
        spec_file.write_text(json.dumps(spec))
        command = [arguments.binary, "prune", model, "--data", data]
        command += ["--spec", spec_file, "--report", report_file, "--output", Path(folder, "pruned.pt")]
        command += ["--device", arguments.device]
        if threads := os.environ.get("OMP_NUM_THREADS"):
            # Engines take it from nowhere else.
            command += ["--threads", threads]
        finished = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if finished.returncode != 0:
            raise RunFailedError(f"secateur prune failed: {finished.stderr[-2000:]}")
        report = json.loads(report_file.read_text())
        base, pruned = report["base"]["accuracy"], report["pruned"]["accuracy"]
        if run.setting == UNTRAINED:
            base, pruned = (accuracies(arguments, network, file) for file in (model, Path(folder, "pruned.pt")))
    return {
        "key": run.key(),
        "base": base,
        "pruned": pruned,
        "screened": report["screened_accuracy"],
        "reduction": report["reduction"]["flops_reduction"],
        "winner": report["winner"],
        "epochs": report["compute"]["epochs"],
        "compute": report["compute"],
        "repair": report["repair"],
        "candidates": report["candidates"],
        "seconds": report["seconds"],
        "engine_sha256": sha256(arguments.engine),
        "threads": os.environ.get("OMP_NUM_THREADS"),
        "device": arguments.device,
    }


def without_labels(data: Path, file: Path) -> Path:
    import numpy as np

    with np.load(data) as arrays:
        np.savez(file, **{name: arrays[name] for name in arrays if name.startswith("x")})
    return file


def accuracies(arguments: argparse.Namespace, network: Network, file: Path) -> dict[str, float]:
    """Of a written file in stock PyTorch, by the labels that the job did not have."""
    import torch

    import rival

    splits = rival.load(files(arguments, network)[1], network.mean, network.std)
    return rival.accuracies(torch.jit.load(str(file)), splits)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def print_table(study: str, results: list[tuple[Run, dict[str, Any]]]) -> None:
    """A row for each network, target and setting: mean and spread over seeds."""
    names = [
        "network",
        "MACs removed",
        study,
        "test accuracy, %",
        "epochs in all",
        "times a plain fine-tune",
        "winners",
    ]
    names += ["before training: best searched, best classical"]
    print(f"| {' | '.join(names)} |")
    print("|---" * len(names) + "|")
    rows: dict[tuple[str, float, str], list[dict[str, Any]]] = {}
    for run, line in results:
        rows.setdefault((run.network, run.target, run.setting), []).append(line)
    for (network, target, setting), lines in sorted(rows.items(), key=lambda row: row[0][:2]):
        accuracies = [100 * line["pruned"]["test"] for line in lines]
        spread = f" ± {statistics.stdev(accuracies):.2f}" if len(lines) > 1 else ""
        winners = ", ".join(sorted(line["winner"] for line in lines))
        epochs = statistics.mean(line["epochs"] for line in lines)
        ratio = statistics.mean(times_plain(line) for line in lines)
        best = " and ".join(best_screened(lines, classical) for classical in (False, True))
        print(
            f"| {network} | {target:.0%} | {setting} | {statistics.mean(accuracies):.2f}{spread} ({len(lines)}) "
            f"| {epochs:.0f} | {ratio:.1f} | {winners} | {best} |"
        )


def times_plain(line: dict[str, Any]) -> float:
    """What a run trained in all, in what a fine-tune of its result alone trains."""
    if "compute" not in line:
        return 1.0
    compute = line["compute"]
    if compute["plain"] is None:
        return 0.0
    return compute["epochs_of_original"] / compute["plain"]["epochs_of_original"]


def best_screened(lines: list[dict[str, Any]], is_classical: bool) -> str:
    """The best validation accuracy in % before any training of the networks of either kind, mean over seeds."""
    best = []
    for line in lines:
        of_kind = [found for found in line["candidates"] if (found["origin"] in CLASSICAL) == is_classical]
        known = [found["screened_accuracy"] for found in of_kind if found["screened_accuracy"] is not None]
        best += [max(known)] if known else []
    return f"{100 * statistics.mean(best):.1f}" if best else "–"


if __name__ == "__main__":
    main()
