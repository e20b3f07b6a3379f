"""What Schemathesis is told of this API, when test.py runs it: how pieces of uploads are sent, and ids of things that are there.

An id that is made up leads to 404 and no further. So two in three ids are replaced by one of things.json in the current folder, which
test.py wrote, by the kind of thing that the path names.
"""

from __future__ import annotations

import json
from pathlib import Path

import schemathesis

THINGS = json.loads(Path("things.json").read_text())


@schemathesis.serializer("application/offset+octet-stream", "application/octet-stream")
def send_as_it_is(context: schemathesis.SerializationContext, value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


@schemathesis.hook
def map_path_parameters(context: schemathesis.HookContext, path_parameters: dict | None) -> dict | None:
    things = THINGS.get(context.operation.path.split("/")[2]) if path_parameters else None
    made_up = str((path_parameters or {}).get("id", ""))
    if things and made_up and len(made_up) % 3 != 0:
        path_parameters["id"] = things[sum(made_up.encode()) % len(things)]
    return path_parameters


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case, kwargs: dict) -> None:
    """Nothing changes here that a long poll would see, so it would only wait."""
    if case.query and str(case.query.get("wait", "")).isdecimal():
        case.query["wait"] = min(int(case.query["wait"]), 1)


@schemathesis.hook
def map_body(context: schemathesis.HookContext, body: object) -> object:
    """A job of JSON names a model and a data set that are there."""
    if context.operation.path == "/v1/jobs" and isinstance(body, dict) and "model_id" in body:
        body["model_id"] = THINGS["models"][0]
        if isinstance(body.get("dataset_id"), str):
            body["dataset_id"] = THINGS["datasets"][0]
    return body
