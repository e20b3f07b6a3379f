"""The client for code that runs on an event loop."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from types import TracebackType
from typing import Any, TypeVar, cast

import anyio.to_thread
import httpx
from typing_extensions import Self, Unpack

from . import calls, core, wire
from .async_job import AsyncJob
from .configuration import Configuration
from .flow import Effect, Flow, Request, Sleep
from .model import Conversion, Inputs, Model
from .retry import Retries
from .samples import Data
from .spec import PruneOptions
from .upload import PIECE_BYTES

T = TypeVar("T")


class AsyncClient:
    """A Secateur server.

    Args:
        url: Where it is; ``SECATEUR_URL`` of the environment otherwise, else ``http://127.0.0.1:8080``.
        key: Who asks; ``SECATEUR_KEY`` of the environment otherwise. A server on the loopback interface may need none.
        retries: How long to keep trying; see :class:`~secateur.Retries`.
        piece_bytes: Bytes of a piece of an upload, what is sent again at the most when a connection breaks.
        progress: Whether uploads and waits draw bars, in terminals and notebooks.
        http: An `httpx.AsyncClient` of one's own, with proxies, certificates and so on; it is not closed here.
    """

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        retries: Retries | None = None,
        piece_bytes: int = PIECE_BYTES,
        progress: bool = True,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        configuration = Configuration.of(url, key)
        self._settings = core.Settings(configuration, retries or Retries(), piece_bytes, progress)
        self._owns_http = http is None
        self._http = http or httpx.AsyncClient()

    @property
    def url(self) -> str:
        """Where the server is."""
        return self._settings.configuration.url

    @property
    def _retries(self) -> Retries:
        return self._settings.retries

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connections."""
        if self._owns_http:
            await self._http.aclose()

    async def prune(
        self,
        model: Model,
        data: Data | None = None,
        *,
        example_inputs: Inputs | None = None,
        conversion: Conversion = "auto",
        columns: Mapping[str, str] | None = None,
        spec: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
        progress: bool | None = None,
        **options: Unpack[PruneOptions],
    ) -> AsyncJob:
        """Uploads a model and maybe a data set and submits a job; returns as soon as it is queued.

        Args:
            model: A path to a TorchScript file, or a live module, which is traced with ``example_inputs`` or else scripted, as it is when
                it is evaluated. The module stays as it is.
            data: A path to a data set in any format of docs/data.md; an array ``x``, arrays ``(x, y)`` or ``{"x": x, "y": y, "x_val": ...}``; a
                `torch.utils.data.Dataset` or a `datasets.Dataset`, or one for each split, ``{"train": ..., "val": ..., "test": ...}``.
                Data sets are read while they are sent.
            example_inputs: What the module's `forward` is called with: a tensor, a tuple of arguments, or a mapping of named ones, batch first.
            conversion: ``trace`` or ``script``; ``auto`` traces where there are example inputs.
            columns: Of a Hugging Face data set, which column is which array, ``{"pixels": "x", "label": "y"}``.
            spec: A whole job spec; what is named beside it takes the place of its fields.
            idempotency_key: The same key with the same request gives the same job; a new one each time otherwise.
            progress: Whether to draw bars of the uploads; `None`: as the client does.
            options: The target, exactly one of ``flops_reduction``, ``params_reduction``, ``channel_reduction`` and ``latency_reduction``,
                maybe ``max_metric_drop``; and every field of the job spec: ``preset``, ``method``, ``fine_tune``, ``input`` and so on.

        Raises:
            UsageError: The arguments cannot be meant.
            InvalidRequest: The server does not take the model, the data set or the spec.
        """
        flow = core.prune(
            self._settings,
            model,
            data,
            example_inputs=example_inputs,
            conversion=conversion,
            columns=columns,
            whole_spec=spec,
            idempotency_key=idempotency_key,
            progress=progress,
            options=options,
        )
        return AsyncJob(self, await self._run(flow), example_inputs)

    async def submit(
        self,
        spec: Mapping[str, Any],
        model_id: str,
        dataset_id: str | None = None,
        *,
        idempotency_key: str | None = None,
    ) -> AsyncJob:
        """Submits a job on what was uploaded before; ``spec`` is a whole job spec, ``idempotency_key`` as in :meth:`prune`."""
        made = await self._run(calls.submit(spec, model_id, dataset_id, self._retries, idempotency_key))
        return AsyncJob(self, made)

    async def upload_model(
        self,
        model: Model,
        *,
        example_inputs: Inputs | None = None,
        conversion: Conversion = "auto",
        progress: bool | None = None,
    ) -> str:
        """Uploads a model, as :meth:`prune` takes one, and returns its id. The same bytes give the same model."""
        return await self._run(core.upload_model(self._settings, model, example_inputs, conversion, progress))

    async def upload_dataset(
        self, data: Data, *, columns: Mapping[str, str] | None = None, progress: bool | None = None
    ) -> str:
        """Uploads a data set, as :meth:`prune` takes one, and returns its id. The same bytes give the same data set."""
        return await self._run(core.upload_dataset(self._settings, data, columns, progress))

    async def inspect(self, model_id: str, inputs: wire.InspectionIn | None = None) -> wire.ModelOut:
        """What a model that was uploaded would let go: waits for its inspection. ``summary`` of the answer has layers, groups, costs, what can
        be reached, what nothing may cut and why.

        Args:
            inputs: ``{"input_shape": [3, 224, 224]}`` or ``{"inputs": [...]}``, for a file that was not traced.

        Raises:
            InvalidRequest: It cannot be pruned, or more has to be said of its inputs.
        """
        return await self._run(calls.inspect(model_id, inputs, self._retries))

    async def job(self, job_id: str) -> AsyncJob:
        """The job with this id."""
        return AsyncJob(self, await self._run(calls.show_job(job_id, self._retries)))

    async def jobs(self, status: wire.JobStatus | None = None) -> AsyncIterator[AsyncJob]:
        """All jobs, newest first; with ``status`` those that have it."""
        async for found in self._pages("/v1/jobs", {"status": status} if status else {}):
            yield AsyncJob(self, found)

    async def model(self, model_id: str) -> wire.ModelOut:
        """A model that was uploaded."""
        return await self._run(calls.show_model(model_id, self._retries))

    def models(self) -> AsyncIterator[wire.ModelOut]:
        """The models that were uploaded, newest first."""
        return self._pages("/v1/models", {})

    async def delete_model(self, model_id: str) -> None:
        """Forgets a model. Jobs that have ended keep their results.

        Raises:
            Conflict: Jobs need it; ``members["jobs"]`` names them.
        """
        await self._run(calls.delete(f"/v1/models/{model_id}", self._retries))

    async def dataset(self, dataset_id: str) -> wire.DatasetOut:
        """A data set that was uploaded."""
        return cast(wire.DatasetOut, await self._run(calls.get(f"/v1/datasets/{dataset_id}", self._retries)))

    def datasets(self) -> AsyncIterator[wire.DatasetOut]:
        """The data sets that were uploaded, newest first."""
        return self._pages("/v1/datasets", {})

    async def delete_dataset(self, dataset_id: str) -> None:
        """Forgets a data set. Jobs that have ended keep their results.

        Raises:
            Conflict: Jobs need it; ``members["jobs"]`` names them.
        """
        await self._run(calls.delete(f"/v1/datasets/{dataset_id}", self._retries))

    async def _pages(self, path: str, params: dict[str, str]) -> AsyncIterator[Any]:
        after: str | int | None = None
        while True:
            asked: dict[str, str | int] = {**params, **({} if after is None else {"after": after})}
            page = await self._run(calls.get(path, self._retries, asked))
            for item in page["items"]:
                yield item
            after = page.get("next")
            if after is None:
                return

    async def _run(self, flow: Flow[T]) -> T:
        """Does what a flow asks for until it is through."""
        try:
            resume = partial(next, flow)
            while True:
                resume = await self._step(flow, resume())
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            flow.close()

    async def _step(self, flow: Flow[Any], effect: Effect) -> partial[Effect]:
        """Does one thing; what it returns hands the outcome to the flow, and is called for the next thing."""
        try:
            outcome = await self._perform(effect)
        except Exception as error:
            return partial(flow.throw, error)
        return partial(flow.send, outcome)

    async def _perform(self, effect: Effect) -> Any:
        if isinstance(effect, Sleep):
            return await anyio.sleep(effect.seconds)
        if isinstance(effect, Request):
            return await self._send(effect)
        return await anyio.to_thread.run_sync(effect.call)

    async def _send(self, request: Request) -> httpx.Response:
        if request.sink is None:
            return await self._http.send(self._settings.configuration.build(request, self._http))
        async with self._stream(request) as answer:
            if answer.is_success:
                request.sink.begin(answer)
                async for piece in answer.aiter_raw():
                    request.sink.write(piece)
            return answer

    @asynccontextmanager
    async def _stream(self, request: Request) -> AsyncGenerator[httpx.Response, None]:
        """An answer whose body is still to come; that of an error is there."""
        answer = await self._http.send(self._settings.configuration.build(request, self._http), stream=True)
        try:
            if not answer.is_success:
                await answer.aread()
            yield answer
        finally:
            await answer.aclose()
