"""Resumable uploads, by the tus protocol 1.0.0 (https://tus.io/protocols/resumable-upload).

A file goes up in pieces, each with its SHA-256. Whatever happens on the way, the server is asked how many bytes have come, and the upload
goes on from there. The last piece has the server check the file; when that answer is lost, an empty piece asks for it again.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from typing import Literal, TypeAlias

import httpx

from . import errors, wire
from .flow import Flow, Request, send, sleep, work
from .retry import Patience, Retries, call, connection_failed, is_passing, problem_of, retry_after
from .source import Source

#: Bytes of a piece: what is sent again at the most when a connection breaks.
PIECE_BYTES = 8 << 20

#: Seconds that a server may take to check a file once its last byte has come.
_CHECK_SECONDS = 600.0

_TUS = {"tus-resumable": "1.0.0"}

#: Called with the bytes that have come and the bytes in all.
OnProgress: TypeAlias = Callable[[int, int], None]
Kind: TypeAlias = Literal["model", "dataset"]


def upload(
    source: Source,
    kind: Kind,
    retries: Retries,
    *,
    piece_bytes: int = PIECE_BYTES,
    on_progress: OnProgress | None = None,
) -> Flow[str]:
    """Uploads a file and returns the id of the model or data set that it is.

    Raises:
        ApiError: The server does not take the file.
        ConnectionFailed: The server was not reached for longer than ``retries`` allow.
        UploadChanged: The source has other bytes than before.
    """
    begun_again = False
    while True:
        path = yield from _create(source, kind, Patience(retries))
        try:
            return (yield from _Upload(source, path, Patience(retries), piece_bytes, on_progress).run())
        except errors.NotFound:
            # It waited for longer than the server keeps unfinished uploads.
            if begun_again:
                raise
            begun_again = True


def _create(source: Source, kind: Kind, patience: Patience) -> Flow[str]:
    pairs = {"kind": kind, "filename": source.name}
    metadata = ",".join(f"{name} {base64.b64encode(value.encode()).decode()}" for name, value in pairs.items())
    headers = {**_TUS, "upload-length": str(source.length), "upload-metadata": metadata}
    answer = yield from call(Request("POST", "/v1/uploads", headers), patience)
    return httpx.URL(answer.headers["location"]).path


class _Upload:
    def __init__(
        self, source: Source, path: str, patience: Patience, piece_bytes: int, on_progress: OnProgress | None
    ) -> None:
        self._source, self._path, self._patience = source, path, patience
        self._piece_bytes, self._on_progress = piece_bytes, on_progress

    def run(self) -> Flow[str]:
        offset = 0
        while True:
            self._tell(offset)
            answer = yield from self._append(offset)
            if answer is None:
                offset = yield from self._ask_offset()
                continue
            if location := answer.headers.get("location"):
                self._tell(self._source.length)
                return str(location).rsplit("/", 1)[1]
            if offset >= self._source.length:
                # The file is whole, was looked at before, and is no model or data set.
                raise (yield from self._refusal())
            offset = int(answer.headers["upload-offset"])
            self._patience.renew()

    def _append(self, offset: int) -> Flow[httpx.Response | None]:
        """Sends the piece at an offset; `None` when it is not known what became of it, or it has to be sent again."""
        piece = yield from work(lambda: self._source.read(offset, self._piece_bytes))
        digest = base64.b64encode(hashlib.sha256(piece).digest()).decode()
        headers = {
            **_TUS,
            "content-type": "application/offset+octet-stream",
            "upload-offset": str(offset),
            "upload-checksum": f"sha256 {digest}",
        }
        is_last = offset + len(piece) >= self._source.length
        request = Request("PATCH", self._path, headers, content=piece, read_timeout=_CHECK_SECONDS if is_last else None)
        try:
            answer = yield from send(request)
        except httpx.TransportError as error:
            pause = self._patience.next_pause(None)
            if pause is None:
                raise connection_failed(request, error) from error
            yield from sleep(pause)
            return None
        if answer.is_success:
            return answer
        problem = problem_of(answer)
        # Of a piece that broke off the server may know later than its sender; pieces that came damaged were dropped.
        mends = is_passing(answer) or problem.code in _MENDS
        pause = self._patience.next_pause(retry_after(answer.headers)) if mends else None
        if pause is None:
            raise problem
        yield from sleep(pause)
        return None

    def _ask_offset(self) -> Flow[int]:
        answer = yield from call(Request("HEAD", self._path, dict(_TUS)), self._patience)
        return int(answer.headers["upload-offset"])

    def _refusal(self) -> Flow[errors.ApiError]:
        answer = yield from call(Request("GET", self._path), self._patience)
        found: wire.Upload = answer.json()
        end = found.get("end")
        return errors.of_answer(422, {**end} if end else {"detail": "The upload became nothing."})

    def _tell(self, offset: int) -> None:
        if self._on_progress is not None:
            self._on_progress(offset, self._source.length)


_MENDS = frozenset({"offset_mismatch", "upload_locked", "checksum_mismatch", "upload_broken", "upload_stalled"})
