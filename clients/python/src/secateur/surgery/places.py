"""Where in somebody's Python code a size stands."""

from __future__ import annotations

import inspect
import io
import os
import tokenize
import traceback
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Place:
    """A line of Python."""

    file: str
    line: int
    source: str

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}: `{self.source}`"


def is_of_torch(module: torch.nn.Module) -> bool:
    """Whether a module is PyTorch's own and nobody wrote its code by hand."""
    return type(module).__module__.startswith("torch.")


def of_error(error: BaseException) -> Place | None:
    """The last line of an error's way that is neither PyTorch's nor this package's."""
    inner = tuple(os.path.dirname(os.path.abspath(path or "")) + os.sep for path in (torch.__file__, _PACKAGE))
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not os.path.abspath(frame.filename).startswith(inner) and not frame.filename.startswith("<")
    ]
    if not frames:
        return None
    last = frames[-1]
    return Place(last.filename, last.lineno or 0, last.line or "")


_PACKAGE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "__init__.py")


def of_number(module: torch.nn.Module, number: int | None) -> Place | None:
    """The first line in the methods of a module's class, but for ``__init__``, that has this number in it."""
    if number is None:
        return None
    for kind in type(module).__mro__:
        if kind.__module__.startswith("torch."):
            break
        for name, method in vars(kind).items():
            if name == "__init__" or not inspect.isfunction(method):
                continue
            if (found := _find(method, str(number))) is not None:
                return found
    return None


def _find(method: object, number: str) -> Place | None:
    try:
        lines, start = inspect.getsourcelines(method)  # type: ignore[arg-type]
        file = inspect.getsourcefile(method) or "?"  # type: ignore[arg-type]
    except (OSError, TypeError):
        return None
    try:
        for token in tokenize.generate_tokens(io.StringIO(inspect.cleandoc("".join(lines))).readline):
            if token.type == tokenize.NUMBER and token.string == number:
                line = token.start[0]
                return Place(file, start + line - 1, lines[line - 1].strip())
    except (tokenize.TokenError, IndentationError):
        pass
    return None
