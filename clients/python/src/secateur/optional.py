"""Packages that only some calls need: imported when they are, with a word on how to get them."""

from __future__ import annotations

import importlib
import sys
from typing import Any

from . import errors


def require(package: str, what_for: str, extra: str) -> Any:
    """The package of this name.

    Raises:
        MissingPackage: It is not installed.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise errors.MissingPackage(f"{what_for} needs {package}: pip install 'secateur[{extra}]'") from error


def loaded(module: str) -> Any | None:
    """The module if somebody imported it already: an object of a class of it cannot be there otherwise."""
    return sys.modules.get(module)
