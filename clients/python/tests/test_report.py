"""What a job says of itself: report, frontier, bar, candidates, judge."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest
import torch
from secateur import Client, Job, Report, UsageError
from secateur.waiting import describe_best

from .server import Server

mpl.use("Agg")


@pytest.fixture(scope="module")
def job(server: Server, model_path: Path, digits: tuple[torch.Tensor, torch.Tensor]) -> Job:
    """A job with a search, on data with labels, that has succeeded."""
    client = Client(server.url, progress=False)
    search = {"candidates": 2000, "top_m": 3, "top_k": 1}
    encoder = {"configs": 50, "epochs": 1, "hidden": 16}
    fine_tune = {"epochs": 1}
    spec = {"search": search, "encoder": encoder, "fine_tune": fine_tune}
    return client.prune(model_path, digits, spec=spec, flops_reduction=0.4).wait(400)


def test_the_report_has_what_one_looks_at_and_all_else(job: Job) -> None:
    report = job.report
    assert isinstance(report, Report) and report is job.report
    assert report["model_sha256"] and len(report) == len(list(report)) > 20
    assert report.base["macs"] > report.pruned["macs"] > 0
    assert report.reduction["flops_reduction"] == pytest.approx(0.4, abs=0.01)
    assert report.kept["0.weight"][0] == sorted(report.kept["0.weight"][0])
    assert report.winner and isinstance(report.warnings, list)
    assert "MACs" in repr(report) and "test accuracy" in repr(report)
    assert json.loads(job.download("report.json")) == dict(report)
    result = job.result
    assert result is not None and result["pruned"] == report.pruned


def test_the_frontier_is_plotted(job: Job, tmp_path: Path) -> None:
    frontier = job.frontier
    assert set(frontier) == {"screened", "repaired", "lightly_tuned", "tuned"}
    macs = [point["macs"] for point in frontier["screened"]]
    assert macs == sorted(macs) and macs
    axes: Any = frontier.plot()
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert "after the surgery" in labels and labels[-2:] == ["original", "exported"]
    path = tmp_path / "frontier.png"
    axes.figure.savefig(path)
    assert path.stat().st_size > 1000
    again = frontier.plot(axes)
    assert again is axes
    assert "screened: " in repr(frontier)


def test_a_frontier_without_labels_says_why_it_has_none(client: Client, model_path: Path) -> None:
    frontier = client.prune(model_path, flops_reduction=0.4, method="uniform").wait(120).frontier
    with pytest.raises(UsageError, match="where the data set has labels"):
        frontier.plot()


def test_candidates_and_artifacts_are_listed(job: Job, tmp_path: Path) -> None:
    candidates = list(job.candidates())
    assert [candidate["index"] for candidate in candidates] == list(range(len(candidates)))
    assert any(candidate.get("screened_accuracy") is not None for candidate in candidates)
    for artifact in job.artifacts():
        assert job.download(artifact["name"], tmp_path / artifact["name"]).stat().st_size == artifact["bytes"]


def test_a_wait_draws_a_bar_in_a_terminal_and_nothing_elsewhere(server: Server, model_path: Path) -> None:
    code = (
        "import sys; from secateur import Client\n"
        f"Client({server.url!r}).prune(sys.argv[1], flops_reduction=0.4, method='uniform').wait(120)\n"
    )
    command = [sys.executable, "-c", code, str(model_path)]
    quiet = subprocess.run(command, check=True, capture_output=True)
    assert quiet.stderr == quiet.stdout == b""
    ours, theirs = pty.openpty()
    rows_and_columns = struct.pack("HHHH", 24, 120, 0, 0)
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, rows_and_columns)
    with subprocess.Popen(command, stderr=theirs, stdout=subprocess.PIPE) as process:
        os.close(theirs)
        drawn = b""
        try:
            while piece := os.read(ours, 4096):
                drawn += piece
        except OSError:
            pass  # the terminal's other end was closed
        os.close(ours)
        assert process.wait() == 0
    text = drawn.decode()
    assert "uploading the model" in text and "succeeded" in text and "best: -" in text


def test_the_best_network_is_described_by_what_was_measured(job: Job) -> None:
    best = job.best
    assert best is not None
    assert describe_best(best).startswith("best: -") and "accuracy" in describe_best(best)


def test_a_judge_of_ones_own_chooses(
    client: Client, model_path: Path, digits: tuple[torch.Tensor, torch.Tensor]
) -> None:
    judge = {"name": "size"}
    options = {"method": "uniform", "fine_tune": {"epochs": 1}}
    job = client.prune(model_path, digits, spec={**options, "judge": judge}, flops_reduction=0.4)
    measured: list[int] = []

    def measure(model: torch.jit.ScriptModule) -> float:
        measured.append(sum(parameter.numel() for parameter in model.parameters()))
        return float(-measured[-1])

    assert job.judge(measure, poll=0.2).wait(120).status == "succeeded"
    judgements = job.judgements()
    assert judgements["state"] == "decided" and judgements.get("decided_by") == "judge"
    assert [finalist.get("score") for finalist in judgements["finalists"]] == [-measured[0]]
