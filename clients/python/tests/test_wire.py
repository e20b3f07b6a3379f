"""The types of the wire are those of openapi.yaml, and of what the server really says."""

from __future__ import annotations

import subprocess
import sys
import types
import typing
from pathlib import Path
from typing import Any

import httpx
import typing_extensions
import yaml
from secateur import Client, wire
from secateur.calls import LONGEST_WAIT
from secateur.events import FINAL, Event
from secateur.spec import Options

ROOT = Path(__file__).resolve().parents[3]
OPENAPI = yaml.safe_load((ROOT / "openapi.yaml").read_text())
SCHEMAS = OPENAPI["components"]["schemas"]


def test_the_file_is_what_openapi_says() -> None:
    script = ROOT / "clients/python/scripts/generate_wire.py"
    subprocess.run([sys.executable, script, "--check"], check=True)


def test_prune_takes_every_field_of_a_spec() -> None:
    # `target` is said by its parts, and `data.resize` is `resize`, since `data` is the data set.
    ours = set(Options.__annotations__) - {"resize"} | {"target", "data"}
    assert ours == set(SCHEMAS["JobSpec"]["properties"])
    assert set(SCHEMAS["DataSpec"]["properties"]) == {"resize"}
    assert {"max_metric_drop"} | {
        name for name in SCHEMAS["Target"]["properties"] if name.endswith("_reduction")
    } == set(SCHEMAS["Target"]["properties"])


def test_every_event_has_a_type_that_is_documented() -> None:
    documented = Event.__doc__ or ""
    for alternative in SCHEMAS["EventBody"]["oneOf"]:
        assert f"``{alternative['properties']['type']['enum'][0]}``" in documented
    ends = set(SCHEMAS["JobStatus"]["enum"]) - {"queued", "running"}
    assert ends == FINAL


def test_no_wait_is_longer_than_the_server_allows() -> None:
    (parameter,) = (each for each in OPENAPI["paths"]["/v1/jobs/{id}"]["get"]["parameters"] if each["name"] == "wait")
    assert parameter["schema"]["maximum"] == LONGEST_WAIT


def test_what_the_server_says_has_these_types(client: Client, model_path: Path) -> None:
    job = client.prune(model_path, flops_reduction=0.4, method="uniform").wait(120)
    paths = {
        f"/v1/jobs/{job.id}": wire.Job,
        "/v1/jobs": wire.JobPage,
        f"/v1/jobs/{job.id}/artifacts": wire.ArtifactList,
        f"/v1/jobs/{job.id}/candidates": wire.CandidatePage,
        f"/v1/jobs/{job.id}/judgements": wire.Judgements,
        f"/v1/models/{job.data['model_id']}": wire.ModelOut,
        "/v1/models": wire.ModelPage,
        "/v1/datasets": wire.DatasetPage,
        "/v1/jobs/nope": wire.Problem,
    }
    for path, kind in paths.items():
        check(httpx.get(client.url + path).json(), kind, path)


def check(value: Any, kind: Any, where: str) -> None:
    """Fails unless a value of JSON has a type."""
    origin = typing.get_origin(kind)
    if typing_extensions.is_typeddict(kind):
        hints = typing_extensions.get_type_hints(kind, include_extras=True)
        # `__required_keys__` does not see through annotations that are text.
        required = {name for name, hint in hints.items() if not is_not_required(hint)}
        assert isinstance(value, dict) and required <= value.keys(), where
        # A problem has members of its own.
        assert kind is wire.Problem or value.keys() <= hints.keys(), where
        for name in value.keys() & hints.keys():
            check(value[name], hints[name], f"{where}: {name}")
    elif is_not_required(kind):
        check(value, typing.get_args(kind)[0], where)
    elif origin in (typing.Union, types.UnionType):
        assert any(fits(value, part, where) for part in typing.get_args(kind)), (where, value)
    elif origin is typing.Literal:
        assert value in typing.get_args(kind), (where, value)
    elif origin is list:
        assert isinstance(value, list), where
        for item in value:
            check(item, typing.get_args(kind)[0], where)
    elif origin is dict:
        assert isinstance(value, dict), where
        for item in value.values():
            check(item, typing.get_args(kind)[1], where)
    elif kind is float:
        assert isinstance(value, int | float), (where, value)
    elif kind is not Any:
        assert isinstance(value, type(None) if kind is None else kind), (where, value)


def fits(value: Any, kind: Any, where: str) -> bool:
    try:
        check(value, kind, where)
    except AssertionError:
        return False
    return True


def is_not_required(hint: Any) -> bool:
    """Whether a field may be left out."""
    origin: Any = typing.get_origin(hint)
    return origin is typing_extensions.NotRequired
