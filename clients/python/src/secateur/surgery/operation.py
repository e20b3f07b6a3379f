"""The operation: tried out on a copy, then done to the module itself."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from .. import errors
from ..model import Arguments, Inputs, class_name, evaluating
from ..report import ProgramEdit, Report
from . import layers, places, scale, sizes
from .compare import difference, flatten
from .inputs import example_arguments
from .tensors import pruned_tensors, replace


def operate(
    module: nn.Module,
    script: torch.jit.ScriptModule,
    report: Report,
    *,
    example_inputs: Inputs | None,
    inplace: bool,
    tolerance: float,
) -> nn.Module:
    """As :func:`secateur.surgery.apply`."""
    if not isinstance(module, nn.Module):
        raise errors.UsageError(f"the module is a {type(module).__name__}: it must be a torch.nn.Module")
    if isinstance(module, torch.jit.ScriptModule):
        raise errors.UsageError("`apply` changes Python modules: the TorchScript is what `job.model()` returns")
    arguments = example_arguments(example_inputs, report)
    script = script.cpu().eval()
    plan = Plan(pruned_tensors(module, script, report.kept), report)
    trial = _copy(module).cpu()
    plan.perform(trial, as_in_torchscript=True)
    with evaluating(trial), torch.no_grad():
        fitting = _Fitting(trial, script, report.edits, plan, tolerance)
        fitting.run(arguments)
        _compare(trial, script, report.edits, arguments, tolerance, fitting.folded)
    target = module if inplace else _copy(module)
    plan.perform(target)
    return target


@dataclass
class Plan:
    """What is to be done to a module."""

    tensors: dict[str, torch.Tensor]
    report: Report
    attributes: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By submodule, what its attributes are to be."""

    def perform(self, module: nn.Module, *, as_in_torchscript: bool = False) -> None:
        """Does it. Tensors keep their types, or with ``as_in_torchscript`` have the TorchScript's, in which it is compared."""
        kept = self.report.kept
        touched = _ancestors(kept)
        replace(module, self.tensors, keep_types=not as_in_torchscript)
        for name, part in module.named_modules():
            if name in touched:
                layers.fit(part, kept, name)
        for name, changes in self.attributes.items():
            part = module.get_submodule(name)
            for attribute, value in changes.items():
                setattr(part, attribute, value)


class _Fitting:
    """Gives submodules their attributes while the network runs: each is looked at when it is called for the first time."""

    def __init__(
        self,
        module: nn.Module,
        script: torch.jit.ScriptModule,
        edits: Sequence[ProgramEdit],
        plan: Plan,
        tolerance: float,
    ) -> None:
        self._module, self._script, self._plan, self._tolerance = module, script, plan, tolerance
        self._fault: Exception | None = None
        self.folded: set[str] = set()
        """Submodules whose parameters are not the TorchScript's, since they hold a scale."""
        self._edits = {
            name: own
            for name, part in module.named_modules()
            if (own := _edits_of(name, edits)) and not _is_fitted(part)
        }

    def run(self, arguments: Arguments) -> None:
        if not self._edits:
            return
        hooks = [
            self._module.get_submodule(name).register_forward_pre_hook(self._hook(name), with_kwargs=True)
            for name in self._edits
        ]
        try:
            arguments.call(self._module)
        except Exception as error:
            if error is self._fault:
                raise
            # The network itself does not run; the comparison runs into it again, and says where.
        finally:
            for hook in hooks:
                hook.remove()

    def _hook(self, name: str) -> Any:
        done = False

        def fit(part: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            nonlocal done
            if done:
                return
            done = True
            try:
                self._fit(name, part, args, kwargs)
            except Exception as error:
                self._fault = error
                raise

        return fit

    def _fit(self, name: str, part: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        edits = self._edits[name]
        choice = sizes.choose(part, edits, _submodule(self._script, name), args, kwargs, self._tolerance)
        found = choice.right
        if found is None:
            found = next((trial for trial in choice.running if self._mend_scale(name, part, trial, args, kwargs)), None)
        if found is None:
            # Of those that run and that nothing can be compared with, the one that explains most of what changed. The whole network's
            # outputs tell whether it was right.
            unknown = [trial for trial in choice.running if trial.is_unknown]
            found = max(unknown, key=lambda trial: sizes.explained(part, trial.changes), default=None)
            likely = scale.likeliest(part, edits) if found is not None else None
            if likely is not None:
                likely.fold(part)
                self._keep(name, part, likely)
        for change in found.changes if found is not None else ():
            setattr(part, change.attribute, change.value)
            self._plan.attributes.setdefault(name, {})[change.attribute] = change.value

    def _mend_scale(
        self, name: str, part: nn.Module, trial: sizes.Trial, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> bool:
        """Whether the submodule is right once its queries hold the original's scale; they do then."""
        if trial.is_unknown or trial.difference == float("inf"):
            return False
        edits = self._edits[name]
        for folding in scale.foldings(part, edits):
            folding.fold(part)
            again = sizes.difference_with(part, trial.changes, _submodule(self._script, name), args, kwargs)
            if again <= self._tolerance:
                self._keep(name, part, folding)
                return True
            folding.unfold(part)
        return False

    def _keep(self, name: str, part: nn.Module, folding: scale.Folding) -> None:
        for parameter, value in folding.values(part).items():
            whole = f"{name}.{parameter}" if name else parameter
            self._plan.tensors[whole] = value
            self.folded.add(whole.rpartition(".")[0])


def _edits_of(name: str, edits: Sequence[ProgramEdit]) -> list[ProgramEdit]:
    return [edit for edit in edits if edit["module"] == name]


def _is_fitted(part: nn.Module) -> bool:
    """Whether its sizes follow from its tensors, so that nothing is to be tried."""
    if isinstance(part, nn.RNNBase | nn.MultiheadAttention | nn.modules.conv._ConvNd):
        return True
    return places.is_of_torch(part) and any(True for _ in part.parameters(recurse=False))


def _compare(
    module: nn.Module,
    script: torch.jit.ScriptModule,
    edits: Sequence[ProgramEdit],
    arguments: Arguments,
    tolerance: float,
    folded: Collection[str],
) -> None:
    """Raises unless the module returns what the TorchScript does."""
    try:
        expected = arguments.call(script)
    except Exception as error:
        raise errors.UsageError(f"the pruned TorchScript does not take these example inputs: {error}") from error
    with _recorded(module) as record:
        try:
            got = arguments.call(module)
        except Exception as error:
            raise _hand_written(module, record, edits, error) from error
    apart = difference(got, expected)
    if apart <= tolerance and flatten(expected):
        return
    name = _first_that_differs(script, record, tolerance, folded)
    part = module.get_submodule(name)
    own = _edits_of(name, edits)
    if own and not _is_fitted(part):
        raise _hand_written(module, record, edits, None, name=name)
    raise errors.OutputMismatch(
        f"{_called(module, name)} computes something else than the pruned TorchScript: outputs differ by {apart:.2e}, and "
        f"{tolerance:.0e} is allowed",
        name,
        difference=apart,
        tolerance=tolerance,
    )


@dataclass
class _Record:
    """What submodules were called with and returned, those that returned first at the head; and which were called when it broke."""

    calls: dict[str, tuple[tuple[Any, ...], dict[str, Any], Any]] = field(default_factory=dict)
    open: list[str] = field(default_factory=list)


@contextmanager
def _recorded(module: nn.Module) -> Iterator[_Record]:
    record = _Record()
    hooks = []
    for name, part in module.named_modules():

        def before(_: nn.Module, __: Any, name: str = name) -> None:
            record.open.append(name)

        def after(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any, name: str = name) -> None:
            record.open.pop()
            record.calls.setdefault(name, (args, kwargs, output))

        hooks.append(part.register_forward_pre_hook(before))
        hooks.append(part.register_forward_hook(after, with_kwargs=True))
    try:
        yield record
    finally:
        for hook in hooks:
            hook.remove()


def _first_that_differs(
    script: torch.jit.ScriptModule, record: _Record, tolerance: float, folded: Collection[str]
) -> str:
    """The submodule that returned first of those that return something else than the TorchScript's do for the same arguments."""
    for name, (args, kwargs, output) in record.calls.items():
        part = None if name in folded else _submodule(script, name)
        expected = None if part is None else sizes.expected_of(part, args, kwargs)
        if expected is not None and difference(output, expected) > tolerance:
            return name
    return ""


def _hand_written(
    module: nn.Module,
    record: _Record,
    edits: Sequence[ProgramEdit],
    error: Exception | None,
    name: str | None = None,
) -> errors.HandWrittenSize:
    """The error for a submodule whose code has a size that did not follow."""
    if name is None:
        # The innermost one whose code somebody wrote: PyTorch's own only stumble over what they are given.
        own = [part for part in record.open if not places.is_of_torch(module.get_submodule(part))]
        name = own[-1] if own else ""
    part = module.get_submodule(name)
    changed = [edit for edit in _edits_of(name, edits) if not edit["after"].startswith("torch.")]
    place = next(
        (found for edit in changed if (found := places.of_number(part, sizes.number_before(edit))) is not None), None
    )
    if place is None and error is not None:
        place = places.of_error(error)
    told = tuple(dict.fromkeys((edit["operator"], edit["before"], edit["after"]) for edit in changed))
    lines = [
        f"{_called(module, name)} has a size written in by hand, or one that cannot be found, which must follow the channels"
    ]
    if place is not None:
        lines.append(f"at: {place}")
    lines += [
        f"the program's {operator} has {after.strip(', ')} now{_instead(before)}" for operator, before, after in told
    ]
    if error is not None:
        lines.append(f"it fails with: {str(error).splitlines()[0] if str(error) else type(error).__name__}")
    lines.append(f"hint: {_hint(told)}")
    return errors.HandWrittenSize(
        "\n".join(lines),
        name,
        file=place.file if place else None,
        line=place.line if place else None,
        source=place.source if place else None,
        sizes=told,
    )


def _instead(before: str) -> str:
    return f", where it had {before}" if before else ""


def _hint(told: Sequence[tuple[str, str, str]]) -> str:
    if any(after.startswith("[") for _, _, after in told):
        return (
            "the parts became unequal: split by sizes that are an attribute, as in `torch.split(x, self.sizes, dim=1)`"
        )
    if len({before for _, before, _ in told}) < len(told):
        return "one size became different ones at different places: give each an attribute of its own"
    if any("scale" in after for _, _, after in told):
        return "compute the scale of attention once, from the original size, and give it to the attention"
    return "keep the size in an attribute, such as `self.channels`, or take it from the tensor, as in `x.flatten(1)`"


def _called(module: nn.Module, name: str) -> str:
    kind = class_name(module.get_submodule(name))
    return f"`{name}` ({kind})" if name else f"the module ({kind})"


def _submodule(script: torch.jit.ScriptModule, name: str) -> nn.Module | None:
    # `get_submodule` is not for TorchScript.
    return dict(script.named_modules()).get(name)


def _ancestors(names: Any) -> set[str]:
    found = {""}
    for name in names:
        parts = name.split(".")
        found.update(".".join(parts[:count]) for count in range(1, len(parts)))
    return found


def _copy(module: nn.Module) -> nn.Module:
    """A deep copy; weights that are computed before each call, as by the older weight normalisation, are no obstacle."""
    memo: dict[int, Any] = {}
    for part in module.modules():
        for value in vars(part).values():
            if isinstance(value, torch.Tensor) and not value.is_leaf:
                memo[id(value)] = value.detach().clone()
    try:
        return copy.deepcopy(module, memo)
    except Exception as error:
        raise errors.SurgeryError(f"the module cannot be copied, and it is tried out on a copy: {error}") from error
