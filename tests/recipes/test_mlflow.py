"""The MLflow recipe: a real MLflow server, a run of the script, a delivery of a real webhook."""

from __future__ import annotations

import json
import re
from typing import Any

import httpx
import mlflow
import numpy
import pytest
from conftest import PlaceOf
from mlflow.entities.model_registry import ModelVersion
from secateur import Client
from server import Server
from waiting import answers, wait_for

from page import ROOT, Place


def test_a_job_becomes_a_run_and_a_version(
    place_of: PlaceOf, server: Server, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    with place_of("mlflow", 5000, 8001, ADMIN_KEY=server.keys["admin"]) as place:
        place.start("mlflow")
        tracking = f"http://127.0.0.1:{place.port(5000)}"
        place.wait_for("mlflow", lambda: answers(f"{tracking}/health"))
        # An artifact that is logged through the server is asked of it, too.
        monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking)

        said = re.search(r"(job_[0-9a-f]{32}) is version (\d+) of digits", place.succeed("prune"))
        assert said
        pruned = version_of(said[1])
        assert pruned.version == said[2]
        check_run(client, pruned)
        check_model(client, pruned)

        place.succeed("secret")
        place.start("receiver")
        receiver = f"http://127.0.0.1:{place.port(8001)}"
        place.wait_for("receiver", lambda: listens(receiver))
        assert httpx.post(receiver, json={"type": "job.succeeded", "data": {}}).status_code == 401

        job = client.job(json.loads(place.succeed("submit"))["id"])
        job.wait(timeout=600)
        place.wait_for("receiver", lambda: delivered(server, place, job.id), seconds=300)
        told = version_of(job.id)
        assert int(told.version) > int(pruned.version)
        check_run(client, told)
        check_model(client, told)

        # The same message again makes no second version.
        redeliver(server, job.id)
        wait_for(lambda: len(deliveries(server, job.id)[0]["attempts"]) > 1, "the message is sent again")
        place.wait_for("receiver", lambda: delivered(server, place, job.id))
        assert version_of(job.id).version == told.version


def version_of(job_id: str) -> ModelVersion:
    """The one version whose tag names the job."""
    found = [
        one
        for one in mlflow.MlflowClient().search_model_versions("name = 'digits'")
        if one.tags["secateur.job"] == job_id
    ]
    assert len(found) == 1
    return found[0]


def check_run(client: Client, version: ModelVersion) -> None:
    """The run says what the report says."""
    registry = mlflow.MlflowClient()
    run, report = registry.get_run(version.run_id), client.job(version.tags["secateur.job"]).report
    assert float(run.data.params["target.flops_reduction"]) == report["spec"]["target"]["flops_reduction"]
    assert run.data.params["fine_tune.epochs"] == "3"
    assert (
        run.data.metrics["pruned_macs"] == report.pruned["macs"] < report.base["macs"] == run.data.metrics["base_macs"]
    )
    assert run.data.metrics["pruned_test_accuracy"] == report["metric"]["pruned"]["test"]
    assert run.data.metrics["flops_reduction"] == report.reduction["flops_reduction"]
    history = registry.get_metric_history(version.run_id, "frontier_tuned")
    assert [(point.step, point.value) for point in history] == [
        (point["macs"], point["accuracy"]) for point in report.frontier["tuned"]
    ]
    logged = {file.path for folder in (None, "secateur") for file in registry.list_artifacts(version.run_id, folder)}
    assert {"frontier.png", "secateur/report.json", "secateur/config.json", "secateur/graph.json"} <= logged


def check_model(client: Client, version: ModelVersion) -> None:
    """The registered network is the job's, and its signature takes pictures of another size."""
    import torch

    loaded = mlflow.pyfunc.load_model(f"models:/{version.name}/{version.version}")
    (taken,), (given,) = loaded.metadata.signature.inputs.inputs, loaded.metadata.signature.outputs.inputs
    assert (taken.shape, given.shape) == ((-1, 1, -1, -1), (-1, 10))
    pictures = numpy.load(ROOT / "examples/digits.npz")["x_test"][:32].astype("float32")
    with torch.no_grad():
        expected = client.job(version.tags["secateur.job"]).model()(torch.from_numpy(pictures)).numpy()
    numpy.testing.assert_allclose(loaded.predict(pictures), expected, rtol=1e-5, atol=1e-5)
    assert loaded.predict(numpy.zeros((2, 1, 16, 16), "float32")).shape == (2, 10)


def listens(url: str) -> bool:
    try:
        return httpx.post(url, timeout=5).status_code == 413
    except httpx.TransportError:
        return False


def deliveries(server: Server, job_id: str) -> list[dict[str, Any]]:
    return ask(server, "GET", f"/v1/jobs/{job_id}/deliveries")["items"]


def delivered(server: Server, place: Place, job_id: str) -> bool:
    (delivery,) = deliveries(server, job_id)
    assert delivery["status"] != "failed", f"{delivery}\n{place.log('receiver').read_text()}"
    return delivery["status"] == "delivered"


def redeliver(server: Server, job_id: str) -> None:
    (delivery,) = deliveries(server, job_id)
    ask(server, "POST", f"/v1/jobs/{job_id}/deliveries/{delivery['id']}/redeliver")


def ask(server: Server, method: str, path: str) -> Any:
    headers = {"authorization": f"Bearer {server.keys['submit']}"}
    answer = httpx.request(method, f"{server.url}{path}", headers=headers, timeout=30).raise_for_status()
    return answer.json()
