"""Answers that are not a success, as exceptions."""

from __future__ import annotations

import asyncio
import pickle
from pathlib import Path

import pytest
from secateur import (
    AsyncClient,
    AuthenticationError,
    Client,
    Conflict,
    ConnectionFailed,
    InvalidRequest,
    JobCancelled,
    JobFailed,
    NotFound,
    PermissionDenied,
    Retries,
    SecateurError,
    UsageError,
    WaitTimeout,
)

from .networks import Gate
from .server import Server, free_port


def test_a_bad_spec_is_refused_with_code_and_detail(client: Client, model_path: Path) -> None:
    with pytest.raises(InvalidRequest) as caught:
        client.prune(model_path, spec={"sed": 1}, flops_reduction=0.5)
    error = caught.value
    assert (error.status, error.code) == (422, "invalid_spec")
    assert "sed" in error.detail and error.detail in str(error) and error.request_id
    with pytest.raises(InvalidRequest) as caught:
        client.prune(model_path, flops_reduction=1.5)
    assert caught.value.code == "invalid_spec" and "1.5" in caught.value.detail


def test_a_file_that_is_no_model_is_refused(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "no.pt"
    path.write_bytes(b"this is no archive")
    with pytest.raises(InvalidRequest) as caught:
        client.upload_model(path)
    assert caught.value.status == 422 and caught.value.code


def test_a_failed_job_raises_with_code_stage_field_and_hint(client: Client) -> None:
    job = client.prune(Gate(), flops_reduction=0.5, method="uniform")
    with pytest.raises(JobFailed) as caught:
        job.wait(120)
    error = caught.value
    assert error.code and error.stage == "import" and error.hint and error.hint in str(error)
    assert error.job["id"] == job.id and job.error is not None and job.error["code"] == error.code
    assert job.wait(check=False).status == "failed"
    with pytest.raises(JobFailed):
        _ = job.report
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.code, again.job["id"]) == (str(error), error.code, job.id)


def test_an_unreachable_target_names_what_can_be_reached(client: Client, model_path: Path) -> None:
    job = client.prune(model_path, flops_reduction=0.5, method="uniform", constraints={"max_layer_reduction": 0.01})
    with pytest.raises(JobFailed) as caught:
        job.wait(120)
    assert caught.value.code == "target_unreachable" and caught.value.stage == "graph"


def test_a_bad_key_is_refused(keyed_server: Server) -> None:
    for key in (None, "sct_nonsense"):
        with Client(keyed_server.url, key, progress=False) as client, pytest.raises(AuthenticationError) as caught:
            list(client.jobs())
        assert (caught.value.status, caught.value.code) == (401, "unauthenticated")


def test_a_key_that_may_only_read_may_not_submit(keyed_server: Server, model_path: Path) -> None:
    with Client(keyed_server.url, keyed_server.keys["read"], progress=False) as client:
        assert list(client.jobs()) == []
        with pytest.raises(PermissionDenied) as caught:
            client.prune(model_path, flops_reduction=0.5)
    assert caught.value.code == "insufficient_scope"


def test_url_and_key_come_from_the_environment(keyed_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECATEUR_URL", keyed_server.url + "/")
    monkeypatch.setenv("SECATEUR_KEY", keyed_server.keys["submit"])
    with Client(progress=False) as client:
        assert client.url == keyed_server.url
        assert list(client.models()) == []
    with pytest.raises(UsageError, match="must begin with `http"):
        Client("localhost:8080")


def test_an_unknown_job_is_not_found(client: Client) -> None:
    with pytest.raises(NotFound) as caught:
        client.job("job_" + "0" * 32)
    assert (caught.value.status, caught.value.code) == (404, "job_not_found")
    assert isinstance(caught.value, SecateurError)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.code, again.status) == (str(caught.value), "job_not_found", 404)


def test_an_unknown_artifact_is_not_found(client: Client, model_path: Path, tmp_path: Path) -> None:
    job = client.prune(model_path, flops_reduction=0.4, method="uniform").wait(120)
    with pytest.raises(NotFound) as caught:
        job.download("nothing.pt", tmp_path / "nothing.pt")
    assert caught.value.code == "artifact_not_found" and list(tmp_path.iterdir()) == []


def test_a_job_is_cancelled_and_only_then_deleted(client: Client, model_path: Path) -> None:
    job = client.prune(model_path, flops_reduction=0.4, fine_tune={"epochs": 10000}, method="uniform")
    job.pause()
    assert job.data.get("paused_at")
    with pytest.raises(WaitTimeout):
        job.wait(1)
    with pytest.raises(UsageError, match=r"wait for it with `wait\(\)` first"):
        _ = job.report
    with pytest.raises(Conflict) as caught:
        job.delete()
    assert (caught.value.status, caught.value.code) == (409, "job_not_ended") and caught.value.hint
    with pytest.raises(Conflict) as in_use:
        client.delete_model(job.data["model_id"])
    assert in_use.value.code == "model_in_use" and job.id in in_use.value.members["jobs"]
    job.resume().cancel()
    # It was asked for, and is so.
    assert job.cancel().status == "cancelled"
    with pytest.raises(JobCancelled):
        job.wait(60)
    job.delete()
    with pytest.raises(NotFound):
        job.refresh()


def test_to_cancel_what_has_ended_otherwise_is_a_conflict(client: Client, model_path: Path) -> None:
    job = client.prune(model_path, flops_reduction=0.4, method="uniform").wait(120)
    with pytest.raises(Conflict) as caught:
        job.cancel()
    assert caught.value.code == "job_has_ended"


def test_a_server_that_is_not_there_is_said() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with (
        Client(url, retries=Retries(seconds=0), progress=False) as client,
        pytest.raises(ConnectionFailed, match="GET /v1/jobs: no answer"),
    ):
        list(client.jobs())


def test_errors_are_the_same_on_an_event_loop(server: Server) -> None:
    async def ask() -> None:
        async with AsyncClient(server.url, progress=False) as client:
            with pytest.raises(NotFound) as caught:
                await client.job("nope")
            assert caught.value.code == "job_not_found"
            job = await client.prune(Gate(), flops_reduction=0.5, method="uniform")
            with pytest.raises(JobFailed):
                await job.wait(120)
            paused = await (await client.prune(Gate(), input_shape=[6], flops_reduction=0.3, method="uniform")).pause()
            assert (await paused.cancel()).status == "cancelled"
            await paused.delete()

    asyncio.run(ask())
