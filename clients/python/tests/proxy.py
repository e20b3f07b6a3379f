"""A TCP proxy that breaks connections after so many bytes."""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType

from typing_extensions import Self


class Proxy:
    """Hands bytes on to a port of this machine, and resets connections where it was told to.

    Attributes:
        cuts: How many connections were broken so far.
        upstream: Bytes that were handed on to the server so far, over all connections.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._up: list[int] = []
        self._down: list[int] = []
        self._lock = threading.Lock()
        self.cuts = 0
        self.upstream = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def cut_upstream(self, *after: int) -> None:
        """Breaks one connection after another, each once so many bytes have gone to the server over it."""
        self._up = list(after)

    def cut_downstream(self, *after: int) -> None:
        """Breaks one connection after another, each once so many bytes have come from the server over it."""
        self._down = list(after)

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                _reset(near)
                continue
            for source, target, is_up in ((near, far, True), (far, near, False)):
                threading.Thread(target=self._copy, args=(source, target, is_up), daemon=True).start()

    def _copy(self, source: socket.socket, target: socket.socket, is_up: bool) -> None:
        passed = 0
        try:
            while piece := source.recv(1 << 14):
                limits = self._up if is_up else self._down
                with self._lock:
                    limit = limits[0] if limits else None
                    cut = limit is not None and passed + len(piece) >= limit
                    if cut:
                        limits.pop(0)
                        self.cuts += 1
                        piece = piece[: (limit or 0) - passed]
                    if is_up:
                        self.upstream += len(piece)
                target.sendall(piece)
                passed += len(piece)
                if cut:
                    _reset(source)
                    _reset(target)
                    return
            target.shutdown(socket.SHUT_WR)
        except OSError:
            _reset(source)
            _reset(target)


def _reset(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
