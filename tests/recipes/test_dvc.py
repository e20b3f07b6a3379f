"""The DVC recipe: real `dvc repro`, through the server and without it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import yaml
from conftest import PlaceOf
from secateur import Client


def test_a_stage_prunes_again_when_the_spec_changes(place_of: PlaceOf, client: Client) -> None:
    somebody = {f"GIT_{role}_{what}": "somebody" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    before = jobs(client)
    with place_of("dvc", **somebody, GIT_CONFIG_GLOBAL=os.devnull) as place:
        place.succeed("project")
        project = place.folder / "project"
        half = check(project, 0.5)
        assert (len(jobs(client)) - len(before), locked(project)["target.flops_reduction"]) == (1, 0.5)

        printed = place.succeed("change")
        assert len(jobs(client)) - len(before) == 2
        less = check(project, 0.7)
        assert locked(project)["target.flops_reduction"] == 0.7
        # What `dvc metrics diff` prints: path, name, before, after, difference.
        rows = {tuple(line.split()) for line in printed.splitlines()}
        assert ("metrics.json", "macs", str(half["macs"]), str(less["macs"]), str(less["macs"] - half["macs"])) in rows
        assert ("spec.json", "target.flops_reduction", "0.5", "0.7") in rows

        # Nothing has changed since.
        assert "Data and pipelines are up to date." in place.succeed("again")

        # The engine wants libtorch, which Python's torch must not find.
        place.succeed("local", LD_LIBRARY_PATH=f"{os.environ['LIBTORCH']}/lib")
        assert len(jobs(client)) - len(before) == 2
        check(project, 0.7)


def jobs(client: Client) -> list[str]:
    return [job.id for job in client.jobs()]


def check(project: Path, asked: float) -> dict[str, Any]:
    """The metrics are those of the report, the target is met, and DVC has the files in its lock."""
    report = json.loads((project / "report.json").read_text())
    metrics: dict[str, Any] = json.loads((project / "metrics.json").read_text())
    assert abs(metrics["flops_reduction"] - asked) <= 0.01
    assert metrics["macs"] == report["pruned"]["macs"]
    assert metrics["test_accuracy"] == report["metric"]["pruned"]["test"]
    outputs = yaml.safe_load((project / "dvc.lock").read_text())["stages"]["prune"]["outs"]
    assert {output["path"]: output["size"] for output in outputs} == {
        name: (project / name).stat().st_size for name in ("pruned.pt", "report.json", "metrics.json")
    }
    return metrics


def locked(project: Path) -> dict[str, Any]:
    """The parameters that the stage ran with, with dots between the names."""
    spec = yaml.safe_load((project / "dvc.lock").read_text())["stages"]["prune"]["params"]["spec.json"]
    return {
        f"{outer}.{inner}": value for outer, of in spec.items() if isinstance(of, dict) for inner, value in of.items()
    }
