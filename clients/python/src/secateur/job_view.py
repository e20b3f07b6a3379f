"""What a job knows of itself without asking the server; :class:`Job` and :class:`AsyncJob` add what asks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from . import calls, waiting, wire
from .errors import UsageError
from .model import Inputs, load_torchscript
from .report import Report
from .surgery import apply, slicing

if TYPE_CHECKING:
    import torch


class JobView:
    """A job as the server last said it is.

    Attributes:
        id: `job_` and 32 hexadecimal digits.
        data: All that the server says, the schema `Job` in openapi.yaml.
    """

    def __init__(self, data: wire.Job, example_inputs: Inputs | None = None) -> None:
        self.data = data
        self._example_inputs = example_inputs
        self._report: Report | None = None

    @property
    def id(self) -> str:
        return self.data["id"]

    @property
    def status(self) -> wire.JobStatus:
        """``queued``, ``running``, ``succeeded``, ``failed`` or ``cancelled``, as of the last look."""
        return self.data["status"]

    @property
    def stage(self) -> wire.Stage:
        """The stage that runs, or the last one that did, as of the last look."""
        return self.data["stage"]

    @property
    def progress(self) -> dict[str, wire.StageProgress]:
        """How far every stage is that has begun, by name, as of the last look."""
        return self.data["progress"]

    @property
    def best(self) -> wire.Best | None:
        """The best network so far, as of the last look."""
        return self.data.get("best")

    @property
    def result(self) -> wire.JobResult | None:
        """The figures of a job that succeeded."""
        return self.data.get("result")

    @property
    def error(self) -> wire.JobError | None:
        """The error of a job that failed."""
        return self.data.get("error")

    @property
    def is_final(self) -> bool:
        """Whether it had ended at the last look."""
        return calls.is_final(self.data)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {waiting.describe(self.data)}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, JobView) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    def _require_success(self) -> None:
        calls.raise_unless_succeeded(self.data)
        if self.status != "succeeded":
            raise UsageError(f"{self.id} is {self.status}: wait for it with `wait()` first")

    def _apply(
        self,
        module: torch.nn.Module,
        torchscript: bytes,
        report: Report,
        example_inputs: Inputs | None,
        inplace: bool,
        tolerance: float,
    ) -> torch.nn.Module:
        script = load_torchscript(torchscript, "cpu")
        inputs = example_inputs if example_inputs is not None else self._example_inputs
        return apply(module, script, report, example_inputs=inputs, inplace=inplace, tolerance=tolerance)

    @staticmethod
    def _slice(state_dict: Mapping[str, Any], report: Report) -> dict[str, Any]:
        return slicing.slice_state_dict(state_dict, report.kept)
