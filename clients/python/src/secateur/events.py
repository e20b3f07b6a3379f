"""What happened to a job, as it happens: server-sent events that resume after the last one that came.

:class:`EventStream` knows what to ask, what to make of the bytes and when to ask again; it does no I/O. The clients read.
"""

from __future__ import annotations

import codecs
import datetime
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from . import wire
from .flow import Request
from .retry import Patience, Retries, connection_failed, is_passing, problem_of, retry_after

#: What ends a job, and its events with it.
FINAL: Final = frozenset({"succeeded", "failed", "cancelled"})

#: The server says something every 15 seconds. A stream that is silent for longer is lost.
_SILENCE_SECONDS = 45.0


@dataclass(frozen=True)
class Event:
    """One thing that happened to a job.

    Attributes:
        id: Rises by one with every event of a job, from 1.
        at: When it happened.
        type: What happened: ``queued``, ``running``, ``stage``, ``progress``, ``task_finished``, ``task_retried``, ``reused``, ``best``,
            ``judgement_asked``, ``judged``, ``judgement_ended``, ``paused``, ``resumed``, ``succeeded``, ``failed``, ``cancelled``;
            more may come.
        data: What belongs to it, by type; the schema `Event` in openapi.yaml has the fields.
    """

    id: int
    at: datetime.datetime
    type: str
    data: dict[str, Any] = field(default_factory=dict)

    @property
    def is_final(self) -> bool:
        """Whether the job has ended with it."""
        return self.type in FINAL

    @property
    def readings(self) -> list[wire.Reading]:
        """What a task measured since its event before: losses and metrics of its epochs and candidates, none of which is left out."""
        readings: list[wire.Reading] = self.data.get("readings", [])
        return readings

    @classmethod
    def from_wire(cls, event: dict[str, Any]) -> Event:
        """The event that a JSON object says."""
        return cls(event["id"], parse_time(event["at"]), event["type"], event.get("data") or {})


def parse_time(text: str) -> datetime.datetime:
    """A time of RFC 3339; Python before 3.11 reads neither a `Z` nor other than three or six digits of a second."""
    text = text.removesuffix("Z") + ("+00:00" if text.endswith("Z") else "")
    head, dot, rest = text.partition(".")
    if dot:
        digits = len(rest) - len(rest.lstrip("0123456789"))
        text = f"{head}.{rest[:digits][:6]:0<6}{rest[digits:]}"
    return datetime.datetime.fromisoformat(text)


class EventParser:
    """Takes a stream of server-sent events apart, wherever the pieces are cut (WHATWG HTML, 9.2)."""

    def __init__(self) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._rest = ""
        self._data: list[str] = []

    def feed(self, piece: bytes) -> Iterator[str]:
        """The data of every event that is whole now."""
        self._rest += self._decode(piece)
        while (found := self._next_line()) is not None:
            if not found:
                if self._data:
                    yield "\n".join(self._data)
                self._data = []
                continue
            # Comments, which keep the connection alive, begin with a colon. `id` and `event` stand in the data too.
            name, _, value = found.partition(":")
            if name == "data":
                self._data.append(value.removeprefix(" "))

    def _next_line(self) -> str | None:
        end = _LINE_END.search(self._rest)
        # Behind a carriage return at the very end a line feed may follow.
        if end is None or (end.group() == "\r" and end.end() == len(self._rest)):
            return None
        line, self._rest = self._rest[: end.start()], self._rest[end.end() :]
        return line


_LINE_END = re.compile(r"\r\n|\n|\r")


class EventStream:
    """The events of one job after a known one, over as many connections as it takes.

    A reader asks with :meth:`request`, hands the answer's head to :meth:`begin` and its pieces to :meth:`feed`, and tells how a connection
    ended with :meth:`lost` or :meth:`closed`. Each of these says after how many seconds to ask again.
    """

    def __init__(self, job_id: str, after: int, retries: Retries) -> None:
        self._job_id = job_id
        self._patience = Patience(retries)
        self._had_ended = False
        self.last_id = after
        self.ended = False

    def request(self) -> Request:
        """What to ask for next; the connection begins anew."""
        self._parser = EventParser()
        self._came = 0
        headers = {"accept": "text/event-stream", "cache-control": "no-store"}
        if self.last_id:
            headers["last-event-id"] = str(self.last_id)
        return Request("GET", f"/v1/jobs/{self._job_id}/events", headers, read_timeout=_SILENCE_SECONDS)

    def begin(self, answer: httpx.Response) -> float | None:
        """`None` when the answer is a stream, else the seconds until the next attempt.

        Raises:
            ApiError: An answer that waiting does not mend.
        """
        if answer.is_success:
            return None
        pause = self._patience.next_pause(retry_after(answer.headers)) if is_passing(answer) else None
        if pause is None:
            raise problem_of(answer)
        return pause

    def feed(self, piece: bytes) -> Iterator[Event]:
        """The events that a piece completes, each once, whatever the server sends again."""
        for data in self._parser.feed(piece):
            event = Event.from_wire(json.loads(data))
            if event.id <= self.last_id:
                continue
            self.last_id = event.id
            self.ended = event.is_final
            self._came += 1
            self._patience.renew()
            yield event

    def lost(self, error: httpx.TransportError) -> float:
        """The connection broke: the seconds until the next attempt.

        Raises:
            ConnectionFailed: It was tried for long enough.
        """
        pause = self._patience.next_pause(None)
        if pause is None:
            raise connection_failed(self.request(), error) from error
        return pause

    def closed(self, job: wire.Job) -> float:
        """The server ended the stream in good order, as it does when it stops, and when the job has no more events; ``job`` is the job as
        it is now. Returns the seconds until the next attempt; :attr:`ended` is set when there is none.
        """
        if job["status"] not in FINAL:
            return self._patience.next_pause(None) or 1.0
        # An event may have come between the end of the stream and the look at the job: one more stream tells.
        self.ended = self._had_ended and not self._came
        self._had_ended = True
        return 0.0
