"""Downloads that go on where they broke off, and are compared with their SHA-256."""

from __future__ import annotations

import hashlib
import io
from typing import BinaryIO

import httpx

from . import errors
from .flow import Flow, Request, send, sleep
from .retry import Patience, Retries, connection_failed, is_passing, problem_of, retry_after


def download(path: str, into: BinaryIO, retries: Retries) -> Flow[None]:
    """Writes a file of the server into an open one, from its position on.

    Raises:
        ApiError: The server does not have it.
        ConnectionFailed: The server was not reached for longer than ``retries`` allow.
        DownloadDamaged: What has come is not what the server has.
    """
    patience = Patience(retries)
    sink = _FileSink(into)
    while True:
        request = Request("GET", path, sink.headers(), sink=sink)
        before = sink.received
        try:
            answer = yield from send(request)
        except httpx.TransportError as error:
            if sink.received > before:
                patience.renew()
            pause = patience.next_pause(None)
            if pause is None:
                raise connection_failed(request, error) from error
        else:
            if answer.is_success:
                break
            pause = patience.next_pause(retry_after(answer.headers)) if is_passing(answer) else None
            if pause is None:
                raise problem_of(answer)
        yield from sleep(pause)
    sink.check(path)


def read(path: str, retries: Retries) -> Flow[bytes]:
    """A file of the server as bytes; errors are those of :func:`download`."""
    into = io.BytesIO()
    yield from download(path, into, retries)
    return into.getvalue()


class _FileSink:
    def __init__(self, into: BinaryIO) -> None:
        self._into = into
        self._start = into.tell()
        self._etag: str | None = None
        self._begin()

    def headers(self) -> dict[str, str]:
        headers = {"accept-encoding": "identity"}
        if self.received and self._etag:
            headers |= {"range": f"bytes={self.received}-", "if-range": self._etag}
        return headers

    def begin(self, answer: httpx.Response) -> None:
        etag = answer.headers.get("etag")
        if answer.status_code != 206 or etag != self._etag:
            self._begin()
        self._etag = etag

    def write(self, piece: bytes) -> None:
        self._into.write(piece)
        self._digest.update(piece)
        self.received += len(piece)

    def check(self, path: str) -> None:
        """Raises when the bytes do not have the SHA-256 that is their `ETag`."""
        expected = (self._etag or "").strip('"')
        if len(expected) == 64 and self._digest.hexdigest() != expected:
            raise errors.DownloadDamaged(
                f"{path}: the file has the SHA-256 {self._digest.hexdigest()} and should have {expected}"
            )

    def _begin(self) -> None:
        self.received = 0
        self._digest = hashlib.sha256()
        self._into.seek(self._start)
        self._into.truncate()
