"""When a request is made again, and after how long."""

from __future__ import annotations

import email.utils
import json
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import httpx

from . import errors
from .flow import Flow, Request, send, sleep

#: Statuses that tell of a moment's trouble; 429 counts where the server says when to come back.
_PASSING = frozenset({502, 503, 504})


@dataclass(frozen=True)
class Retries:
    """How long a client keeps trying.

    Attributes:
        seconds: For how many seconds in all one call waits between its attempts. A server that is started anew is back within them.
            A wait for a job and a stream of events begin to count anew whenever the server answers. 0: nothing is tried twice.
        first_pause: Seconds before the second attempt, where the server names none; each further pause is twice as long.
        longest_pause: Seconds that no such pause exceeds. What ``Retry-After`` says is always waited for, unless it is more than what is
            left of ``seconds``: then the error is raised at once.
    """

    seconds: float = 120.0
    first_pause: float = 0.25
    longest_pause: float = 15.0


class Patience:
    """What is left of the time for waiting."""

    def __init__(self, retries: Retries) -> None:
        self._retries = retries
        self.renew()

    def renew(self) -> None:
        """The server answered: all of the time is there again."""
        self._left = self._retries.seconds
        self._pause = self._retries.first_pause

    def next_pause(self, asked: float | None) -> float | None:
        """Seconds until the next attempt, `None` when there is to be no more. ``asked``: what the server said, if it did."""
        if asked is None:
            pause = self._pause * random.uniform(0.75, 1.25)
            self._pause = min(self._pause * 2, self._retries.longest_pause)
        else:
            pause = asked
        if pause > self._left or self._left <= 0:
            return None
        self._left -= pause
        return pause


def call(request: Request, patience: Patience, *, repeatable: bool = True) -> Flow[httpx.Response]:
    """Makes a request until it is answered for good. ``repeatable``: whether it does no harm if the server already did it.

    Raises:
        ApiError: The answer is an error that waiting does not mend, or that lasted.
        ConnectionFailed: The server was not reached.
    """
    while True:
        try:
            answer = yield from send(request)
        except httpx.TransportError as error:
            never_sent = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
            pause = patience.next_pause(None) if repeatable or never_sent else None
            if pause is None:
                raise connection_failed(request, error) from error
        else:
            if answer.is_success or answer.status_code == 304:
                return answer
            asked = retry_after(answer.headers)
            if not is_passing(answer):
                raise problem_of(answer)
            pause = patience.next_pause(asked)
            if pause is None:
                raise problem_of(answer)
        yield from sleep(pause)


def is_passing(answer: httpx.Response) -> bool:
    """Whether the same request may be answered otherwise soon."""
    return answer.status_code in _PASSING or (answer.status_code == 429 and retry_after(answer.headers) is not None)


def retry_after(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """`Retry-After` in seconds, which may stand there as a number or as a date (RFC 9110, 10.2.3)."""
    text = headers.get("retry-after", "").strip()
    if text.isdigit():
        return float(text)
    try:
        then = email.utils.parsedate_to_datetime(text).timestamp()
    except ValueError:
        return None
    return max(0.0, then - (time.time() if now is None else now))


def problem_of(answer: httpx.Response) -> errors.ApiError:
    """The exception for an answer that is not a success; something between client and server may have written it."""
    try:
        document: Any = json.loads(answer.content)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        code = {404: "not_found", 502: "bad_gateway", 503: "unavailable", 504: "gateway_timeout"}
        text = answer.text[:500].strip() or answer.reason_phrase
        document = {"code": code.get(answer.status_code, "unknown"), "title": answer.reason_phrase, "detail": text}
    return errors.of_answer(
        answer.status_code,
        document,
        retry_after=retry_after(answer.headers),
        request_id=answer.headers.get("x-request-id"),
    )


def connection_failed(request: Request, error: httpx.TransportError) -> errors.ConnectionFailed:
    reason = str(error) or type(error).__name__
    return errors.ConnectionFailed(f"{request.method} {request.path}: no answer of the server ({reason})")


def with_headers(request: Request, **headers: str) -> Request:
    """The same request with more headers; underscores in their names stand for dashes."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return replace(request, headers={**request.headers, **named})
