"""Sizes that people's own modules keep as attributes, such as `num_heads`, `head_dim` and `hidden`.

The report says which numbers of a submodule's TorchScript followed the channels, from what to what. Which attribute such a number came from it
cannot know. An attribute of that value may take the new one; each choice is tried on the submodule alone, with what it is called with in the
pruned network, until it returns what the pruned TorchScript's submodule returns. The choice with the fewest changes wins.
"""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from ..report import ProgramEdit
from .compare import difference

#: Choices that are tried of one submodule.
_MOST_TRIALS = 2000


@dataclass(frozen=True)
class Change:
    """An attribute of a submodule and what it is to be."""

    attribute: str
    value: Any


@dataclass
class Trial:
    """A choice of attributes, and what came of it."""

    changes: tuple[Change, ...]
    difference: float
    """From the pruned TorchScript's submodule; infinite where shapes differ, NaN where there is nothing to compare with."""

    @property
    def is_unknown(self) -> bool:
        return self.difference != self.difference


@dataclass
class Choice:
    """What trying gave: the first choice that is right, or those that at least run."""

    right: Trial | None = None
    running: list[Trial] = field(default_factory=list)
    error: Exception | None = None


def choose(
    module: torch.nn.Module,
    edits: Sequence[ProgramEdit],
    script: torch.nn.Module | None,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    tolerance: float,
) -> Choice:
    """Tries what attributes of a submodule may be, and leaves it as it was.

    ``script`` is the pruned TorchScript's submodule, and what it returns for the same arguments is what is looked for.
    """
    expected = None if script is None else expected_of(script, args, kwargs)
    choice = Choice()
    for changes in itertools.islice(_choices(module, number_changes(edits)), _MOST_TRIALS):
        with _changed(module, changes):
            try:
                got = module.forward(*args, **kwargs)
            except Exception as error:
                choice.error = choice.error or error
                continue
        trial = Trial(changes, float("nan") if expected is None else difference(got, expected))
        if trial.difference <= tolerance:
            choice.right = trial
            return choice
        choice.running.append(trial)
    return choice


def explained(module: torch.nn.Module, changes: Sequence[Change]) -> int:
    """How many different numbers the changes of a module's attributes take the place of."""
    return len({str(getattr(module, change.attribute)) for change in changes})


def number_changes(edits: Sequence[ProgramEdit]) -> dict[int, set[int]]:
    """The whole numbers of a submodule's program that changed: before, to what."""
    changes: dict[int, set[int]] = {}
    for edit in edits:
        before, after = number_before(edit), edit["after"]
        if before is not None and after.isdigit():
            changes.setdefault(before, set()).add(int(after))
    return changes


def number_before(edit: ProgramEdit) -> int | None:
    """The whole number that stood there, in a scripted program maybe as an attribute's, `self.heads = 4`; `None` of anything else."""
    found = _NUMBER.fullmatch(edit["before"])
    return None if found is None else int(found[1])


_NUMBER = re.compile(r"(?:self\.[\w.]+ = )?(\d+)")


def difference_with(
    module: torch.nn.Module,
    changes: Sequence[Change],
    script: torch.nn.Module | None,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> float:
    """How far a submodule is from the TorchScript's with these attributes; infinitely where it does not run."""
    expected = None if script is None else expected_of(script, args, kwargs)
    with _changed(module, changes):
        try:
            return difference(module.forward(*args, **kwargs), expected)
        except Exception:
            return float("inf")


def expected_of(script: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What a TorchScript submodule returns, `None` if it cannot be called so; tracing keeps of its arguments each tensor once."""
    tensors: list[Any] = []
    for value in [*args, *kwargs.values()]:
        if isinstance(value, torch.Tensor) and not any(value is other for other in tensors):
            tensors.append(value)
    # Whatever a program does that is called otherwise than it was recorded, it cannot be compared with.
    with contextlib.suppress(Exception):
        return script(*args, **kwargs)
    with contextlib.suppress(Exception):
        return script(*tensors)
    return None


def _choices(module: torch.nn.Module, numbers: Mapping[int, set[int]]) -> Iterator[tuple[Change, ...]]:
    """Every choice of attributes and new values, those with few changes first."""
    options = [(name, values) for name, value in _sizes(module) if (values := _options(value, numbers))]
    for count in range(len(options) + 1):
        for chosen in itertools.combinations(options, count):
            for picked in itertools.product(*(new for _, new in chosen)):
                yield tuple(Change(name, value) for (name, _), value in zip(chosen, picked, strict=True))


def _sizes(module: torch.nn.Module) -> list[tuple[str, Any]]:
    return [(name, value) for name, value in vars(module).items() if not name.startswith("_") and name != "training"]


def _options(value: Any, numbers: Mapping[int, set[int]]) -> list[Any]:
    """What an attribute may become: a number another one, a tuple or list all of its numbers that change."""
    if isinstance(value, int) and not isinstance(value, bool):
        return sorted(numbers.get(value, ()))
    if isinstance(value, tuple | list) and value and all(type(part) is int for part in value):
        choices = [sorted(numbers.get(part, ())) or [part] for part in value]
        made = [parts for parts in itertools.product(*choices) if list(parts) != list(value)]
        return [torch.Size(parts) if isinstance(value, torch.Size) else type(value)(parts) for parts in made]
    return []


class _changed:
    """The attributes of a module are others for as long as the context lasts."""

    def __init__(self, module: torch.nn.Module, changes: Sequence[Change]) -> None:
        self._module, self._changes = module, changes

    def __enter__(self) -> None:
        self._before = {change.attribute: getattr(self._module, change.attribute) for change in self._changes}
        for change in self._changes:
            setattr(self._module, change.attribute, change.value)

    def __exit__(self, *_: object) -> None:
        for name, value in self._before.items():
            setattr(self._module, name, value)
