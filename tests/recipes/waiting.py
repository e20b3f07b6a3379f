"""Waiting for what other programs do."""

from __future__ import annotations

import time
from collections.abc import Callable

import httpx


def wait_for(answered: Callable[[], bool], what: str, seconds: float = 120) -> None:
    """Waits until it is so, which takes as long as it takes on a busy machine."""
    deadline = time.monotonic() + seconds
    while not answered():
        assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s"
        time.sleep(0.2)


def answers(url: str) -> bool:
    """Whether a GET of the URL is a success."""
    try:
        return httpx.get(url, timeout=5).is_success
    except httpx.TransportError:
        return False
