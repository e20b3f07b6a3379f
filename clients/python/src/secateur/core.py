"""What the sync and the async objects share: a client's settings, what a job knows of itself, and flows of several calls."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import calls, spec, waiting, wire
from .configuration import Configuration
from .download import download
from .flow import Flow, work
from .model import Conversion, Inputs, Model, input_specs, open_model
from .retry import Retries
from .samples import Data, open_data
from .upload import PIECE_BYTES, Kind, OnProgress, upload


@dataclass(frozen=True)
class Settings:
    """How a client works."""

    configuration: Configuration
    retries: Retries
    piece_bytes: int = PIECE_BYTES
    progress: bool = True
    """Whether uploads and waits draw bars where nothing else is said."""


def progress_of(settings: Settings, progress: bool | None) -> bool:
    """What was said here, else what the client does."""
    return settings.progress if progress is None else progress


def upload_model(
    settings: Settings, model: Model, example_inputs: Inputs | None, conversion: Conversion, progress: bool | None
) -> Flow[str]:
    """Makes a TorchScript file of a module where it is one, uploads it, and returns its id."""
    with ExitStack() as stack:
        source = yield from work(lambda: stack.enter_context(open_model(model, example_inputs, conversion)))
        return (yield from upload(source, "model", settings.retries, **_manner(settings, "model", progress)))


def upload_dataset(
    settings: Settings, data: Data, columns: Mapping[str, str] | None, progress: bool | None
) -> Flow[str]:
    """Uploads a data set and returns its id."""
    source = yield from work(lambda: open_data(data, columns=columns))
    try:
        return (yield from upload(source, "dataset", settings.retries, **_manner(settings, "dataset", progress)))
    finally:
        source.close()


def _manner(settings: Settings, kind: Kind, progress: bool | None) -> Any:
    on_progress: OnProgress | None = None
    if progress_of(settings, progress):
        on_progress = waiting.UploadBar("the model" if kind == "model" else "the data set")
    return {"piece_bytes": settings.piece_bytes, "on_progress": on_progress}


def prune(
    settings: Settings,
    model: Model,
    data: Data | None,
    *,
    example_inputs: Inputs | None,
    conversion: Conversion,
    columns: Mapping[str, str] | None,
    whole_spec: Mapping[str, Any] | None,
    idempotency_key: str | None,
    progress: bool | None,
    options: spec.PruneOptions,
) -> Flow[wire.Job]:
    """Uploads what there is to upload and submits a job."""
    built = spec.build(whole_spec, options)
    if example_inputs is not None and not _says_inputs(built) and (conversion == "script" or _is_path(model)):
        # A trace records what it was made with; nothing else does.
        built["inputs"] = input_specs(example_inputs)
    model_id = yield from upload_model(settings, model, example_inputs, conversion, progress)
    dataset_id = None
    if data is not None:
        dataset_id = yield from upload_dataset(settings, data, columns, progress)
    return (yield from calls.submit(built, model_id, dataset_id, settings.retries, idempotency_key))


def _is_path(model: Model) -> bool:
    return isinstance(model, str | os.PathLike)


def _says_inputs(built: Mapping[str, Any]) -> bool:
    return built.get("input_shape") is not None or built.get("inputs") is not None


def download_to(url: str, path: str | os.PathLike[str], retries: Retries) -> Flow[Path]:
    """Downloads into a file, which appears when it is whole."""
    target = Path(path)
    partial = target.with_name(target.name + ".partial")
    try:
        with partial.open("wb") as into:
            yield from download(url, into, retries)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    return target


def artifact_url(job_id: str, name: str) -> str:
    """Where an artifact of a job is."""
    return f"/v1/jobs/{job_id}/artifacts/{name}"
