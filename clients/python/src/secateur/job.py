"""A job, for code that waits where it stands."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, overload

import httpx

from . import calls, core, waiting, wire
from .download import read
from .events import Event, EventStream
from .job_view import JobView
from .model import Inputs, load_torchscript
from .report import Frontier, Report

if TYPE_CHECKING:
    import torch

    from .client import Client


class Job(JobView):
    """A job of a :class:`~secateur.Client`; every method may raise :class:`~secateur.ApiError` and
    :class:`~secateur.ConnectionFailed`."""

    def __init__(self, client: Client, data: wire.Job, example_inputs: Inputs | None = None) -> None:
        super().__init__(data, example_inputs)
        self._client = client

    def refresh(self) -> Job:
        """Looks at the job anew."""
        self.data = self._client._run(calls.show_job(self.id, self._client._retries))
        return self

    def wait(self, timeout: float | None = None, *, progress: bool | None = None, check: bool = True) -> Job:
        """Waits for the end of the job, over outages of the server too, and returns the job.

        Args:
            timeout: Seconds to wait at the most; `None`: for ever.
            progress: Whether to draw a bar; `None`: as the client does. It is drawn in terminals and notebooks only.
            check: Whether to raise unless the job succeeds.

        Raises:
            JobFailed: The job failed.
            JobCancelled: The job was cancelled.
            WaitTimeout: It had not ended after ``timeout`` seconds; it goes on.
        """
        if core.progress_of(self._client._settings, progress):
            with waiting.Bar(self.id) as bar:
                self._wait(timeout, bar)
        else:
            self._wait(timeout, None)
        if check:
            calls.raise_unless_succeeded(self.data)
        return self

    def _wait(self, timeout: float | None, watcher: waiting.Watcher | None) -> None:
        self.data = self._client._run(waiting.wait(self.id, self._client._retries, timeout, watcher))

    def events(self, after: int = 0) -> Iterator[Event]:
        """What happened and happens to the job, each event once and in order, until the last one.

        A lost connection and a server that is started anew are gone over: the stream resumes behind the last event that came.

        Args:
            after: The id of the last event that is known; 0: from the first on.
        """
        stream = EventStream(self.id, after, self._client._retries)
        while not stream.ended:
            pause: float | None = None
            try:
                with self._client._stream(stream.request()) as answer:
                    pause = stream.begin(answer)
                    if pause is None:
                        for piece in answer.iter_raw():
                            yield from stream.feed(piece)
                if pause is None and not stream.ended:
                    self.refresh()
                    pause = stream.closed(self.data)
            except httpx.TransportError as error:
                pause = stream.lost(error)
            if not stream.ended:
                time.sleep(pause or 0.0)

    def cancel(self) -> Job:
        """Cancels the job; what it has found so far stays.

        Raises:
            Conflict: It has ended otherwise.
        """
        return self._change("cancel")

    def pause(self) -> Job:
        """Pauses the job: nothing more of it runs until :meth:`resume`."""
        return self._change("pause")

    def resume(self) -> Job:
        """Resumes a job that was paused."""
        return self._change("resume")

    def _change(self, verb: calls.Verb) -> Job:
        self.data = self._client._run(calls.change_job(self.id, verb, self._client._retries))
        return self

    def delete(self) -> None:
        """Deletes the job, which must have ended, with its events and artifacts."""
        self._client._run(calls.delete(f"/v1/jobs/{self.id}", self._client._retries))

    @property
    def report(self) -> Report:
        """`report.json` of a job that succeeded; it is fetched once.

        Raises:
            UsageError: The job has not ended.
            JobFailed: It failed.
            JobCancelled: It was cancelled.
        """
        if self._report is None:
            self._ensure_success()
            url = core.artifact_url(self.id, "report.json")
            self._report = Report(self._client._run(calls.get(url, self._client._retries)))
        return self._report

    @property
    def frontier(self) -> Frontier:
        """The best accuracies for their MACs; ``job.frontier.plot()`` draws them."""
        return self.report.frontier

    def artifacts(self) -> list[wire.Artifact]:
        """The files that the job has made so far."""
        found = self._client._run(calls.get(f"/v1/jobs/{self.id}/artifacts", self._client._retries))
        return cast(wire.ArtifactList, found)["items"]

    @overload
    def download(self, name: str, path: None = None) -> bytes: ...
    @overload
    def download(self, name: str, path: str | os.PathLike[str]) -> Path: ...
    def download(self, name: str, path: str | os.PathLike[str] | None = None) -> bytes | Path:
        """A file of the job, such as ``model.pt``, ``report.json``, ``config.json`` or ``log.txt``: its bytes, or its path when it was
        written to one. A download that breaks off goes on where it did, and is compared with its SHA-256.

        Raises:
            DownloadDamaged: What has come is not what the server has.
        """
        url = core.artifact_url(self.id, name)
        if path is None:
            return self._client._run(read(url, self._client._retries))
        return self._client._run(core.download_to(url, path, self._client._retries))

    def model(self, map_location: Any = "cpu") -> torch.jit.ScriptModule:
        """The pruned network, loaded. ``map_location``: the device to put it on."""
        self._ensure_success()
        return load_torchscript(self.download("model.pt"), map_location)

    def apply(
        self,
        module: torch.nn.Module,
        *,
        example_inputs: Inputs | None = None,
        inplace: bool = True,
        tolerance: float = 1e-5,
    ) -> torch.nn.Module:
        """Does to a live module what the job did to its TorchScript, and returns it: the class, the code and the names stay.

        Parameters and buffers get the pruned network's shapes and values, and sizes that modules keep as attributes follow (`out_channels`,
        `num_features`, `groups`, `hidden_size`, `num_heads`, `normalized_shape`, and those of your own classes). The outputs are then
        compared with the pruned TorchScript's. Parameters are new objects: make optimisers anew.

        Args:
            module: The module as it was pruned, with any weights.
            example_inputs: What `forward` is called with, a batch of two or more if it can be; those of `prune` otherwise, or random ones.
            inplace: Whether the module itself is changed; else a copy is. When something is raised nothing is changed.
            tolerance: How far an output may be from the TorchScript's, as a share of its largest element or, where that is below 1,
                as it is.

        Raises:
            ModuleMismatch: It is not the module that the job pruned.
            HandWrittenSize: Its code has a size written in by hand; the error names the submodule, the file and the line.
            OutputMismatch: It runs and computes something else.
        """
        return self._apply(module, self._torchscript(), self.report, example_inputs, inplace, tolerance)

    def slice_state_dict(self, state_dict: Mapping[str, Any]) -> dict[str, Any]:
        """The kept channels of a checkpoint of the original module, which the applied module can load.

        Raises:
            ModuleMismatch: The checkpoint is of another module, or of the pruned one already.
        """
        return self._slice(state_dict, self.report)

    def candidates(self) -> Iterator[wire.CandidateReport]:
        """Every configuration that was proposed, with what has been measured of it so far."""
        return self._client._pages(f"/v1/jobs/{self.id}/candidates", {})

    def judgements(self) -> wire.Judgements:
        """The finalists that a judge of one's own is asked about, and the scores so far."""
        found = self._client._run(calls.get(f"/v1/jobs/{self.id}/judgements", self._client._retries))
        return cast(wire.Judgements, found)

    def finalist(self, candidate: int, map_location: Any = "cpu") -> torch.jit.ScriptModule:
        """A finalist, loaded."""
        return load_torchscript(self.download(f"finalist-{candidate}.pt"), map_location)

    def score(self, candidate: int, score: float) -> wire.Judgements:
        """Says what one's own judge thinks of a finalist; with the last one's score the judgement ends."""
        body = {"candidate": candidate, "score": score}
        found = self._client._run(calls.post(f"/v1/jobs/{self.id}/judgements", body, self._client._retries))
        return cast(wire.Judgements, found)

    def judge(
        self, measure: Callable[[torch.jit.ScriptModule], float], *, poll: float = 5.0, map_location: Any = "cpu"
    ) -> Job:
        """Waits until the job asks its judge, and posts ``measure(model)`` of every finalist.

        Args:
            measure: Gets a finalist, loaded, and returns its score.
            poll: Seconds between two looks.
        """
        while self.judgements()["state"] == "not_asked" and not self.refresh().is_final:
            time.sleep(poll)
        for finalist in self.judgements()["finalists"]:
            if finalist.get("score") is None and self.judgements()["state"] == "open":
                candidate = finalist["candidate"]
                self.score(candidate, measure(self.finalist(candidate, map_location)))
        return self

    def _ensure_success(self) -> None:
        if not self.is_final:
            self.refresh()
        self._require_success()

    def _torchscript(self) -> bytes:
        self._ensure_success()
        return self.download("model.pt")
