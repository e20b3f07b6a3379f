"""The calls of the API, each as a flow; the sync and the async client run them."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias, cast

from . import errors, wire
from .events import FINAL
from .flow import Flow, Request
from .retry import Patience, Retries, call

Listed: TypeAlias = Literal["jobs", "models", "datasets"]
Verb: TypeAlias = Literal["cancel", "pause", "resume"]

#: The longest that the server lets a request wait.
LONGEST_WAIT = 60


def submit(
    spec: Mapping[str, Any], model_id: str, dataset_id: str | None, retries: Retries, key: str | None
) -> Flow[wire.Job]:
    """Submits a job; however often the request is made, there is one."""
    body = {**spec, "model_id": model_id, **({"dataset_id": dataset_id} if dataset_id else {})}
    headers = {"idempotency-key": key or str(uuid.uuid4())}
    answer = yield from call(Request("POST", "/v1/jobs", headers, json=body), Patience(retries))
    return cast(wire.Job, answer.json())


def show_job(job_id: str, retries: Retries, *, wait: int = 0, patience: Patience | None = None) -> Flow[wire.Job]:
    """A job; with ``wait``, as soon as its status changes or after so many seconds."""
    params: dict[str, str | int] = {"wait": wait} if wait else {}
    request = Request("GET", f"/v1/jobs/{job_id}", params=params, read_timeout=wait + 30.0 if wait else None)
    answer = yield from call(request, patience or Patience(retries))
    return cast(wire.Job, answer.json())


def change_job(job_id: str, verb: Verb, retries: Retries) -> Flow[wire.Job]:
    """Cancels, pauses or resumes a job."""
    try:
        answer = yield from call(Request("POST", f"/v1/jobs/{job_id}/{verb}"), Patience(retries))
    except errors.Conflict as conflict:
        # Where the first answer was lost the job is what was asked for already.
        job = yield from show_job(job_id, retries)
        if verb == "cancel" and conflict.code == "job_has_ended" and job["status"] == "cancelled":
            return job
        raise
    return cast(wire.Job, answer.json())


def delete(path: str, retries: Retries) -> Flow[None]:
    """Deletes a thing of the server."""
    attempts = Patience(retries)
    request = Request("DELETE", path)
    yield from call(request, attempts)


def get(path: str, retries: Retries, params: dict[str, str | int] | None = None) -> Flow[Any]:
    """The JSON at a path."""
    answer = yield from call(Request("GET", path, params=params or {}), Patience(retries))
    return answer.json()


def post(path: str, body: Any, retries: Retries) -> Flow[Any]:
    """The JSON answer to a JSON body that may be posted twice without harm."""
    answer = yield from call(Request("POST", path, json=body), Patience(retries))
    return answer.json()


def show_model(model_id: str, retries: Retries, *, wait: int = 0) -> Flow[wire.ModelOut]:
    """A model; with ``wait``, as soon as its inspection ends or after so many seconds."""
    params: dict[str, str | int] = {"wait": wait} if wait else {}
    request = Request("GET", f"/v1/models/{model_id}", params=params, read_timeout=wait + 30.0 if wait else None)
    answer = yield from call(request, Patience(retries))
    return cast(wire.ModelOut, answer.json())


def inspect(model_id: str, shapes: wire.InspectionIn | None, retries: Retries) -> Flow[wire.ModelOut]:
    """Has a model inspected, and waits for the end of it.

    Raises:
        InvalidRequest: It cannot be pruned, or more has to be said of its inputs.
    """
    if shapes:
        yield from post(f"/v1/models/{model_id}/inspect", shapes, retries)
    while True:
        model = yield from show_model(model_id, retries, wait=LONGEST_WAIT)
        inspection = model.get("inspection")
        if inspection is None or inspection["status"] in FINAL:
            break
    if inspection is not None and inspection["status"] != "succeeded":
        found = inspection.get("error")
        raise errors.of_answer(422, {**found} if found else {"detail": f"the inspection was {inspection['status']}"})
    return model


def is_final(job: wire.Job) -> bool:
    """Whether a job has ended."""
    return job["status"] in FINAL


def raise_unless_succeeded(job: wire.Job) -> None:
    """Raises for a job that ended otherwise than with success.

    Raises:
        JobFailed: It failed.
        JobCancelled: It was cancelled.
    """
    if job["status"] == "failed":
        raise errors.JobFailed(job)
    if job["status"] == "cancelled":
        raise errors.JobCancelled(job)
