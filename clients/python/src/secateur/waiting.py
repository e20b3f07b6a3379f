"""To wait for the end of a job, with a bar that says how far it is."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any, Protocol

from tqdm.auto import tqdm
from typing_extensions import Self

from . import calls, errors, wire
from .flow import Flow
from .retry import Patience, Retries

#: A bar moves this often; without one, only the end matters.
_WITH_BAR = 2
_WITHOUT = 30


class Watcher(Protocol):
    """Is shown a job whenever there is news of it."""

    def show(self, job: wire.Job) -> None:
        """The job as it is now."""


def wait(job_id: str, retries: Retries, timeout: float | None, watcher: Watcher | None) -> Flow[wire.Job]:
    """The job once it has ended.

    Raises:
        WaitTimeout: It had not after ``timeout`` seconds.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    patience = Patience(retries)
    job = yield from calls.show_job(job_id, retries, patience=patience)
    while True:
        # The server is there: an outage to come has all of the time for waiting before it.
        patience.renew()
        if watcher is not None:
            watcher.show(job)
        if calls.is_final(job):
            return job
        longest = _WITH_BAR if watcher is not None else _WITHOUT
        if deadline is not None:
            left = deadline - time.monotonic()
            if left <= 0:
                raise errors.WaitTimeout(f"{job_id} is still {job['status']} after {timeout:g} s")
            longest = max(1, min(longest, round(left)))
        job = yield from calls.show_job(job_id, retries, wait=longest, patience=patience)


class Bar:
    """A bar of the stage that runs, in a terminal or in a notebook, and a line with the best network so far.

    It goes to the standard error stream, and is not drawn where that is no terminal and no notebook.
    """

    def __init__(self, job_id: str) -> None:
        self._job_id = job_id
        self._stage: str | None = None
        self._bar: tqdm[Any] = tqdm(total=1, unit="", dynamic_ncols=True, leave=True, disable=_is_silent())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()

    def show(self, job: wire.Job) -> None:
        """Draws the job as it is now."""
        stage = job["stage"]
        progress = job["progress"].get(stage)
        total, done, unit = (progress["total"], progress["done"], progress["unit"]) if progress else (1, 0, "tasks")
        if stage != self._stage:
            self._stage = stage
            self._bar.reset(total=total or None)
        self._bar.unit = f" {unit}"
        self._bar.total = total or None
        self._bar.set_description_str(describe(job), refresh=False)
        if best := job.get("best"):
            self._bar.set_postfix_str(describe_best(best), refresh=False)
        self._bar.update(done - self._bar.n)
        self._bar.refresh()


class UploadBar:
    """A bar of bytes."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._bar: tqdm[Any] | None = None

    def __call__(self, done: int, total: int) -> None:
        if self._bar is None:
            self._bar = tqdm(
                total=total,
                unit="B",
                unit_scale=True,
                desc=f"uploading {self._what}",
                leave=False,
                disable=_is_silent(),
            )
        self._bar.update(done - self._bar.n)
        if done >= total:
            self._bar.close()


def describe(job: wire.Job) -> str:
    """What a job does, in a few words."""
    if job["status"] != "running":
        return str(job["status"])
    return f"{job['stage']} (paused)" if job.get("paused_at") else str(job["stage"])


def describe_best(best: wire.Best) -> str:
    """The best network so far, in a few words."""
    words = f"best: -{best['reduction']:.1%}"
    accuracy, metric = best.get("val_accuracy"), best.get("val_metric")
    if accuracy is not None:
        return f"{words}, accuracy {accuracy:.2%}"
    return f"{words}, metric {metric:.4f}" if metric is not None else words


def _is_silent() -> bool | None:
    """`None` leaves it to tqdm, which draws in a terminal only. A notebook has none and shows a widget, or text without ipywidgets."""
    return False if "ipykernel" in sys.modules else None
