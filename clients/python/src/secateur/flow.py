"""What the client does, written once for the sync and the async client.

A :data:`Flow` is a generator that yields what is to be done, an :class:`Effect`, and is sent what came of it. It does no I/O itself.
:class:`~secateur.client.Client` and :class:`~secateur.async_client.AsyncClient` each run flows in their own way; nothing else differs.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias, TypeVar

import httpx

T = TypeVar("T")


class Sink(Protocol):
    """Where the body of an answer goes, piece by piece."""

    def begin(self, answer: httpx.Response) -> None:
        """Headers have come; called once for each answer with a status of success."""

    def write(self, piece: bytes) -> None:
        """A piece has come."""


@dataclass(frozen=True)
class Request:
    """One HTTP request; ``path`` is relative to the server's URL. The answer is read as a whole, or into ``sink`` if it is a success.

    The outcome is an :class:`httpx.Response`, or an :class:`httpx.TransportError` is thrown into the flow.
    """

    method: str
    path: str
    headers: dict[str, str] = field(default_factory=dict)
    params: dict[str, str | int] = field(default_factory=dict)
    json: Any = None
    content: bytes | None = None
    sink: Sink | None = None
    read_timeout: float | None = None
    """Seconds without a byte after which the connection counts as lost; `None`: as the client says."""


@dataclass(frozen=True)
class Sleep:
    """Wait for so many seconds."""

    seconds: float


@dataclass(frozen=True)
class Work:
    """Something that takes long and is no HTTP: a thread does it for the async client, which goes on with other things."""

    call: Callable[[], Any]


Effect: TypeAlias = Request | Sleep | Work
Flow: TypeAlias = Generator[Effect, Any, T]


def send(request: Request) -> Flow[httpx.Response]:
    """Makes one request, once."""
    answer: httpx.Response = yield request
    return answer


def sleep(seconds: float) -> Flow[None]:
    """Waits."""
    yield Sleep(seconds)


def work(call: Callable[[], T]) -> Flow[T]:
    """What ``call()`` returns."""
    result: T = yield Work(call)
    return result
