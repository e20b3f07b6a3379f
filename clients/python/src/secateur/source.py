"""The bytes of an upload: where they come from, in any order, so that an upload can go on from any of them."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import Protocol

from typing_extensions import Self

from . import errors


class Source(Protocol):
    """Bytes of a known number that can be read from any offset."""

    @property
    def name(self) -> str:
        """What the server is to call the file."""

    @property
    def length(self) -> int:
        """Bytes in all."""

    def read(self, offset: int, size: int) -> bytes:
        """The bytes from ``offset`` on, ``size`` of them or all that are left.

        Raises:
            UploadChanged: There are other bytes now than when the source was opened.
        """

    def close(self) -> None:
        """Frees what the source holds."""


class FileSource:
    """A file on the disk.

    Raises:
        UsageError: There is no such file.
    """

    def __init__(self, path: str | os.PathLike[str], *, name: str | None = None, temporary: bool = False) -> None:
        self._path = Path(path)
        self._temporary = temporary
        self._name = name or self._path.name
        try:
            self._file = self._path.open("rb")
            self._stamp = self._stamp_now()
        except OSError as error:
            raise errors.UsageError(f"`{self._path}` cannot be read: {error.strerror}") from error

    @property
    def name(self) -> str:
        return self._name

    @property
    def length(self) -> int:
        return self._stamp[0]

    def read(self, offset: int, size: int) -> bytes:
        self._file.seek(offset)
        piece = self._file.read(size)
        if self._stamp_now() != self._stamp or len(piece) < min(size, self.length - offset):
            raise errors.UploadChanged(f"`{self._path}` was changed while it was uploaded")
        return piece

    def close(self) -> None:
        self._file.close()
        if self._temporary:
            self._path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _stamp_now(self) -> tuple[int, int]:
        status = os.fstat(self._file.fileno())
        return status.st_size, status.st_mtime_ns
