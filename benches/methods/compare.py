"""SACP against uniform, global_l1 and global_l2 on the example networks, and ablations of SACP.

    python3 benches/methods/compare.py SECATEUR [--study methods|tau|top_m|top_k|objective|ranking] [--settings sacp …]
                                       [--networks resnet20-digits …] [--targets 0.5 …] [--seeds 0 …] [--epochs N]
                                       [--results FILE.jsonl]

SECATEUR is the binary, with secateur-engine beside it; each run is a `secateur prune`. The final network of a classical method
gets the epochs that SACP's got on its way (light fine-tune, --epochs); what SACP spends in all, on networks
that lose too, is a column of its own. A finished run is one line of the results file and is not done again, so an interrupted
comparison goes on where it was; the line below the table says how many runs another build of the engine took. Accuracy is on the test split, winners are chosen on the
validation split. docs/evaluation.md says what was found.
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
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
BASELINES = ("uniform", "global_l1", "global_l2")
# Origins of candidates that take part in SACP's screen without having been searched.
CLASSICAL = (*BASELINES, "sensitivity")
# SACP's finalists have had a light epoch before their --epochs.
EARLIER_EPOCHS = 1


@dataclass(frozen=True)
class Network:
    model: str
    data: str
    mean: float
    std: float


NETWORKS = {
    "resnet20-digits": Network("resnet20-digits.pt", "digits.npz", 4.9, 6.0),
    "vgg-digits": Network("vgg-digits.pt", "digits.npz", 4.9, 6.0),
    "resnet20-shapes": Network("resnet20-shapes.pt", "shapes.npz", 100.0, 64.0),
}


@dataclass(frozen=True)
class Study:
    """Settings that are compared, and what each adds to the spec."""

    settings: tuple[str, ...]
    spec: Callable[[str], dict[str, Any]]


def sacp(**sections: Any) -> dict[str, Any]:
    return {"method": "sacp", "preset": "quick", **sections}


STUDIES = {
    "methods": Study(("sacp", *BASELINES), lambda name: sacp() if name == "sacp" else {"method": name}),
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
}


@dataclass(frozen=True)
class Run:
    study: str
    setting: str
    network: str
    target: float
    seed: int
    epochs: int

    def key(self) -> str:
        return json.dumps(self.__dict__, sort_keys=True)

    def spec(self) -> dict[str, Any]:
        network = NETWORKS[self.network]
        spec = {
            "target": {"flops_reduction": self.target},
            "seed": self.seed,
            "input": {"mean": network.mean, "std": network.std},
            "fine_tune": {"objective": "cross_entropy", "distill": 0.5, "epochs": self.epochs, "batch_size": 64},
        }
        if self.setting in BASELINES:
            spec["fine_tune"]["epochs"] += EARLIER_EPOCHS
        return spec | STUDIES[self.study].spec(self.setting)


def main() -> None:
    arguments = parse_arguments()
    done = {line["key"]: line for line in read_lines(arguments.results)}
    for run in runs(arguments):
        if run.key() not in done:
            what = f"{run.network} {run.study}={run.setting} target {run.target} seed {run.seed}"
            print(what, file=sys.stderr, flush=True)
            line = measure(arguments.binary, arguments.engine, run)
            with arguments.results.open("a") as file:
                file.write("\n" + json.dumps(line) + "\n")
            done[run.key()] = line
    results = [(run, done[run.key()]) for run in runs(arguments)]
    print_table(arguments.study, results)
    engine = sha256(arguments.engine)
    others = sum(line["engine_sha256"] != engine for _, line in results)
    print(f"\nEngine {engine[:12]}; {others} of {len(results)} runs were taken with another build.")


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
    arguments = parser.parse_args()
    arguments.binary = arguments.binary.resolve()
    arguments.engine = arguments.binary.with_name("secateur-engine")
    for program in (arguments.binary, arguments.engine):
        if not program.is_file():
            parser.error(f"{program} is missing: cargo build --release --workspace --bins makes it")
    known = STUDIES[arguments.study].settings
    if arguments.study == "methods" and (unknown := set(arguments.settings or ()) - set(known)):
        parser.error(f"{', '.join(sorted(unknown))}: no setting of --study methods, which has {', '.join(known)}")
    arguments.results.parent.mkdir(parents=True, exist_ok=True)
    if arguments.study == "tau":
        arguments.targets = [0.0]
    for name in arguments.networks:
        if not (EXAMPLES / NETWORKS[name].data).exists():
            parser.error(f"examples/{NETWORKS[name].data} is missing: python examples/make_shapes.py writes it")
    return arguments


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
                for setting in arguments.settings or STUDIES[arguments.study].settings:
                    at = float(setting) if arguments.study == "tau" else target
                    yield Run(arguments.study, setting, network, at, seed, arguments.epochs)


def measure(binary: Path, engine: Path, run: Run) -> dict[str, Any]:
    network, spec = NETWORKS[run.network], run.spec()
    with tempfile.TemporaryDirectory() as folder:
        spec_file, report_file = Path(folder, "spec.json"), Path(folder, "report.json")
        spec_file.write_text(json.dumps(spec))
        command = [binary, "prune", EXAMPLES / network.model, "--data", EXAMPLES / network.data]
        command += ["--spec", spec_file, "--report", report_file, "--output", Path(folder, "pruned.pt")]
        finished = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if finished.returncode != 0:
            sys.exit(f"secateur prune failed on {json.dumps(spec)}:\n{finished.stderr[-2000:]}")
        report = json.loads(report_file.read_text())
    candidates = report["candidates"]
    repaired = sum(candidate.get("repaired_accuracy") is not None for candidate in candidates)
    light = sum(candidate["light_accuracy"] is not None for candidate in candidates)
    tuned = sum(candidate["tuned_accuracy"] is not None for candidate in candidates)
    fine_tune = report["spec"]["fine_tune"]
    steps = report["repair"]["steps"] if report["repair"] else 0
    repair = repaired * steps * fine_tune["batch_size"] / report["data"]["samples"]["train"]
    return {
        "key": run.key(),
        "base": report["base"]["accuracy"],
        "pruned": report["pruned"]["accuracy"],
        "screened": report["screened_accuracy"],
        "reduction": report["reduction"]["flops_reduction"],
        "winner": report["winner"],
        "epochs": repair + light * fine_tune["light_epochs"] + tuned * fine_tune["epochs"],
        "repair": report["repair"],
        "candidates": candidates,
        "seconds": report["seconds"],
        "engine_sha256": sha256(engine),
        "threads": os.environ.get("OMP_NUM_THREADS"),
    }


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def print_table(study: str, results: list[tuple[Run, dict[str, Any]]]) -> None:
    """A row for each network, target and setting: mean and spread over seeds."""
    names = ["network", "MACs removed", study, "test accuracy, %", "epochs in all", "winners"]
    names += ["best searched: repaired, light", "rho after repair: screen, similarity, sensitivity"]
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
        best = ", ".join(best_searched(lines, name) for name in ("repaired_accuracy", "light_accuracy"))
        rho = ", ".join(range_of(lines, name) for name in ("screened", "similarity", "sensitivity"))
        print(
            f"| {network} | {target:.0%} | {setting} | {statistics.mean(accuracies):.2f}{spread} ({len(lines)}) "
            f"| {epochs:.0f} | {winners} | {best} | {rho} |"
        )


def best_searched(lines: list[dict[str, Any]], name: str) -> str:
    """The best validation accuracy in % of a network that the search proposed, mean over seeds."""
    searched = [[found for found in line["candidates"] if found["origin"] not in CLASSICAL] for line in lines]
    best = [max((found[name] for found in of_run if found[name] is not None), default=None) for of_run in searched]
    values = [value for value in best if value is not None]
    return f"{100 * statistics.mean(values):.1f}" if values else "–"


def range_of(lines: list[dict[str, Any]], name: str) -> str:
    """The correlations with the accuracy after the repair, from the least to the greatest over seeds."""
    repairs = [line["repair"] for line in lines if line["repair"]]
    values = [repair[name]["rho"] for repair in repairs if repair[name]]
    return f"{min(values):+.2f} to {max(values):+.2f}" if values else "–"


if __name__ == "__main__":
    main()
