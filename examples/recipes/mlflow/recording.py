"""What a job of Secateur leaves in MLflow: a run with parameters, metrics, the frontier and the files, and a version of a registered model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import mlflow
import numpy
import torch
from mlflow.models import ModelSignature
from mlflow.types import Schema, TensorSpec
from secateur import Job, Report

#: The tag of a run and of a model version that names the job.
JOB_TAG = "secateur.job"
FILES = ("report.json", "config.json", "graph.json")


def record(job: Job, registered_model: str) -> str:
    """Logs a job that has succeeded to the active run, and registers its network. Returns the new version."""
    report = job.report
    mlflow.set_tags({JOB_TAG: job.id, "secateur.winner": report.winner})
    mlflow.log_params(dict(flattened(report["spec"])))
    mlflow.log_metrics(dict(figures(report)))
    # The step of a point is its multiply-accumulates, so MLflow's chart of the metric is the frontier.
    for amount, points in job.frontier.items():
        for point in points:
            mlflow.log_metric(f"frontier_{amount}", point["accuracy"], step=point["macs"])
    if any(job.frontier.values()):
        mlflow.log_figure(job.frontier.plot().figure, "frontier.png")
    for name in FILES:
        mlflow.log_text(job.download(name).decode(), f"secateur/{name}")

    model = job.model()
    info = mlflow.pytorch.log_model(
        model,
        name="model",
        signature=signature(model, report),
        registered_model_name=registered_model,
        # A network in TorchScript needs nothing else, and MLflow need not find out.
        pip_requirements=[f"torch=={torch.__version__.split('+')[0]}", f"numpy=={numpy.__version__}"],
        # MLflow's other format is an export of Python code. With this one TorchScript is saved as TorchScript.
        serialization_format="pickle",
    )
    version = str(info.registered_model_version)
    mlflow.MlflowClient().set_model_version_tag(registered_model, version, JOB_TAG, job.id)
    return version


def flattened(spec: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The spec as it was run, a parameter for each number in it: `fine_tune.epochs`."""
    for name, value in spec.items():
        if isinstance(value, dict):
            yield from flattened(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def figures(report: Report) -> Iterator[tuple[str, float]]:
    """Costs and quality before and after, and the share that was removed of each cost."""
    for when, network in (("base", report.base), ("pruned", report.pruned)):
        for cost in ("macs", "params", "bytes"):
            yield f"{when}_{cost}", network[cost]
        yield f"{when}_latency_p50_ms", network["latency_ms"]["p50"]
    yield from report.reduction.items()
    # Without a data set nothing was measured.
    if metric := report.get("metric"):
        for when in ("base", "pruned"):
            for split in ("val", "test"):
                yield f"{when}_{split}_{metric['name']}", metric[when][split]


def signature(model: torch.jit.ScriptModule, report: Report) -> ModelSignature:
    """Types and shapes of inputs and output, -1 for sizes that a caller may choose. The network takes float32 here."""
    inputs, samples = [], []
    for size in report["sizes"]["inputs"]:
        shape = [-1 if dimension in size["varying"] else length for dimension, length in enumerate([1, *size["shape"]])]
        inputs.append(TensorSpec(numpy.dtype("float32"), shape))
        samples.append(torch.zeros(1, *size["shape"]))
    with torch.no_grad():
        output = model(*samples).numpy()
    return ModelSignature(Schema(inputs), Schema([TensorSpec(output.dtype, (-1, *output.shape[1:]))]))
