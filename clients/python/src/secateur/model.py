"""The model of a job: a TorchScript file, or a live module that becomes one."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from . import errors, wire
from .optional import loaded, require
from .source import FileSource

if TYPE_CHECKING:
    import torch

#: A path to a TorchScript file, or a module.
Model: TypeAlias = "str | os.PathLike[str] | torch.nn.Module"
#: What `forward` is called with: a tensor, the positional arguments, or named ones.
Inputs: TypeAlias = "torch.Tensor | tuple[Any, ...] | list[Any] | Mapping[str, Any]"
#: How a module becomes TorchScript.
Conversion: TypeAlias = Literal["auto", "trace", "script"]


@dataclass(frozen=True)
class Arguments:
    """Arguments of `forward`."""

    positional: tuple[Any, ...] = ()
    named: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, inputs: Inputs) -> Arguments:
        """From a tensor, a tuple or list of positional arguments, or a mapping of named ones."""
        if isinstance(inputs, Mapping):
            return cls(named=dict(inputs))
        if isinstance(inputs, tuple | list):
            return cls(tuple(inputs))
        return cls((inputs,))

    def call(self, function: Any) -> Any:
        """What the function returns for them."""
        return function(*self.positional, **(self.named or {}))

    def values(self) -> list[Any]:
        """All of them, in order."""
        return [*self.positional, *(self.named or {}).values()]


@contextlib.contextmanager
def open_model(
    model: Model, example_inputs: Inputs | None, conversion: Conversion = "auto", name: str | None = None
) -> Iterator[FileSource]:
    """The TorchScript file of a model, for as long as the context lasts.

    Raises:
        UsageError: It is neither a path nor a module, or cannot become TorchScript.
    """
    if isinstance(model, str | os.PathLike):
        with FileSource(model) as source:
            yield source
        return
    torch = loaded("torch")
    if torch is None or not isinstance(model, torch.nn.Module):
        raise errors.UsageError(f"the model is a {type(model).__name__}: it must be a path or a torch.nn.Module")
    with tempfile.TemporaryDirectory(prefix="secateur-") as folder:
        path = Path(folder) / "model.pt"
        script = to_torchscript(model, example_inputs, conversion)
        with _without_deprecations():
            torch.jit.save(script, str(path))
        with FileSource(path, name=name or f"{class_name(model)}.pt") as source:
            yield source


def class_name(model: torch.nn.Module) -> str:
    """What the class of a module is called in Python."""
    return str(getattr(model, "original_name", type(model).__name__))


def to_torchscript(
    module: torch.nn.Module, example_inputs: Inputs | None = None, conversion: Conversion = "auto"
) -> torch.jit.ScriptModule:
    """The TorchScript of a module as it is when it is evaluated; the module stays as it was.

    ``auto`` traces where there are example inputs, and scripts otherwise. What is TorchScript already stays so.

    Raises:
        UsageError: It cannot be traced or scripted; ``__cause__`` says why.
    """
    require("torch", "a live module", "torch")
    import torch

    if isinstance(module, torch.jit.ScriptModule):
        return module
    if conversion == "auto":
        conversion = "script" if example_inputs is None else "trace"
    if conversion == "trace" and example_inputs is None:
        raise errors.UsageError("to trace a module takes `example_inputs`, what its `forward` is called with")
    what = f"{class_name(module)} cannot be {conversion}{'d' if conversion == 'trace' else 'ed'}"
    with evaluating(module), torch.no_grad(), _without_deprecations():
        try:
            if conversion == "script":
                return _script(module)
            assert example_inputs is not None
            arguments = Arguments.of(example_inputs)
            if arguments.named is not None:
                traced = torch.jit.trace(module, example_kwarg_inputs=dict(arguments.named), check_trace=False)
            else:
                traced = torch.jit.trace(module, arguments.positional, check_trace=False)
        except Exception as error:
            other = "script" if conversion == "trace" else "trace"
            hint = f'hint: `conversion="{other}"` is the other way' + (
                "; it takes `example_inputs`" * (other == "trace")
            )
            raise errors.UsageError(f"{what}: {error}\n{hint}") from error
        result: torch.jit.ScriptModule = traced
        return result


def _script(module: torch.nn.Module) -> torch.jit.ScriptModule:
    import torch

    # `torch.jit.script` has no types.
    scripted: torch.jit.ScriptModule = torch.jit.script(module)
    return scripted


@contextlib.contextmanager
def _without_deprecations() -> Iterator[None]:
    """PyTorch deprecates TorchScript, which this is all about; what it says of a trace itself is shown."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"`torch\.jit\.", category=DeprecationWarning)
        yield


def load_torchscript(content: bytes, map_location: Any) -> torch.jit.ScriptModule:
    """A TorchScript file, loaded."""
    require("torch", "`job.model()`", "torch")
    import torch

    with _without_deprecations():
        model: torch.jit.ScriptModule = torch.jit.load(io.BytesIO(content), map_location=map_location)
    return model


@contextlib.contextmanager
def evaluating(module: torch.nn.Module) -> Iterator[None]:
    """The module and all in it do not train, and attention runs as its plain operators, which pruning knows, as long as the context lasts."""
    import torch

    modes = {part: part.training for part in module.modules()}
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    module.eval()
    try:
        yield
    finally:
        for part, training in modes.items():
            part.training = training
        torch.backends.mha.set_fastpath_enabled(fast_path)


def input_specs(example_inputs: Inputs) -> list[wire.InputSpec]:
    """What a spec says of inputs like these: shapes without the batch, types, names where they have names, numbers as numbers.

    Raises:
        UsageError: One is neither a tensor nor a number.
    """
    import torch

    arguments = Arguments.of(example_inputs)
    names: list[str | None] = [None] * len(arguments.positional) + list(arguments.named or {})
    specs: list[wire.InputSpec] = []
    for name, value in zip(names, arguments.values(), strict=True):
        spec: wire.InputSpec = {} if name is None else {"name": name}
        if isinstance(value, torch.Tensor):
            spec["shape"] = list(value.shape[1:])
            spec["dtype"] = str(value.dtype).removeprefix("torch.")
        elif isinstance(value, bool | int | float):
            spec["value"] = float(value)
        else:
            raise errors.UsageError(f"an example input is a {type(value).__name__}: it must be a tensor or a number")
        specs.append(spec)
    return specs
