"""The spec of a job, from what `prune` is called with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from typing_extensions import TypedDict

from . import errors, wire

_REDUCTIONS = ("flops_reduction", "params_reduction", "channel_reduction", "latency_reduction")


class Goal(TypedDict, total=False):
    """What is to be removed: exactly one of the reductions, each a share between 0 and 1."""

    flops_reduction: float | None
    """Of the multiply-accumulates."""
    params_reduction: float | None
    """Of the parameters."""
    channel_reduction: float | None
    """Of the prunable channels."""
    latency_reduction: float | None
    """Of the time of one forward pass at batch 1 on the device that runs the job."""
    max_metric_drop: float | None
    """The job fails cleanly when the metric of the report drops by more than this on the validation split."""


class Options(TypedDict, total=False):
    """Everything else that a spec can say; docs/spec.md of the server has the meaning of each."""

    config: wire.ReplayConfig | None
    constraints: wire.Constraints
    diagnostics: bool
    encoder: wire.EncoderSpec
    fine_tune: wire.FineTune | None
    importance: wire.ImportanceSpec
    input: wire.InputScaling | None
    input_shape: wire.InputShape | None
    inputs: list[wire.InputSpec] | None
    judge: wire.JudgeSpec | None
    labels: dict[str, str]
    max_runtime_s: int | None
    method: wire.Method
    name: str | None
    preset: wire.Preset | None
    priority: int
    recovery: wire.RecoverySpec
    requires: wire.Requirements
    resize: wire.Resize | None
    """`data.resize`: what is done with pictures that do not have the model's size."""
    search: wire.SearchSpec
    seed: int
    triton: wire.TritonSpec | None
    webhook: wire.WebhookSpec | None


class PruneOptions(Goal, Options, total=False):
    """What `prune` takes by name."""


def build(spec: Mapping[str, Any] | None, options: PruneOptions) -> dict[str, Any]:
    """A spec of what `prune` was given: a whole one in ``spec``, of which named options take the place of fields.

    Raises:
        UsageError: There is no target, or more than one.
    """
    whole: dict[str, Any] = dict(spec or {})
    target: dict[str, Any] = dict(whole.get("target") or {})
    given: dict[str, Any] = dict(options)
    reductions = {name: given.pop(name) for name in _REDUCTIONS if given.get(name) is not None}
    for name in _REDUCTIONS:
        given.pop(name, None)
    if reductions:
        # Named here, it takes the place of another one in the spec.
        target = {name: value for name, value in target.items() if name not in _REDUCTIONS} | reductions
    if (drop := given.pop("max_metric_drop", None)) is not None:
        target["max_metric_drop"] = drop
    if (resize := given.pop("resize", None)) is not None:
        given["data"] = {**(whole.get("data") or {}), "resize": resize}
    found = [name for name in _REDUCTIONS if target.get(name) is not None]
    if len(found) != 1:
        named = f"{' and '.join(found)} are given" if found else "none is given"
        raise errors.UsageError(f"{named}: exactly one of {', '.join(_REDUCTIONS)} says what is to be removed")
    return {**whole, **given, "target": target}
