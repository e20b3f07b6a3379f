"""Requests that are made again, when the server says so."""

from __future__ import annotations

import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path

import httpx
import pytest
from secateur import Client, NotFound, RateLimited, Retries
from secateur.retry import Patience, retry_after

from .server import Server


@pytest.fixture(scope="module")
def strict_server() -> Iterator[Server]:
    """A server that lets a key make 20 requests in a minute, and have one open job."""
    with Server("--requests-per-minute", "20", "--max-jobs", "1") as running:
        for scope in ("submit", "admin"):
            running.make_key(scope)
        yield running


class Sleeps:
    """The pauses that a client made, and what the server had asked for before each."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.slept: list[float] = []
        self.asked: list[float] = []
        sleep = time.sleep

        def record(seconds: float) -> None:
            self.slept.append(seconds)
            sleep(seconds)

        monkeypatch.setattr("secateur.client.time.sleep", record)

    def listen(self, answer: httpx.Response) -> None:
        if "retry-after" in answer.headers:
            self.asked.append(float(answer.headers["retry-after"]))


def test_a_client_waits_for_as_long_as_the_server_asks(strict_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    sleeps = Sleeps(monkeypatch)
    http = httpx.Client(event_hooks={"response": [sleeps.listen]})
    with http, Client(strict_server.url, strict_server.keys["submit"], progress=False, http=http) as client:
        while not sleeps.asked:
            assert list(client.jobs()) == []
        # That call was refused first, and succeeded after the pause.
        assert sleeps.asked and sleeps.slept == sleeps.asked


def test_a_client_does_not_wait_longer_than_it_may(strict_server: Server) -> None:
    impatient = Client(strict_server.url, strict_server.keys["submit"], progress=False, retries=Retries(seconds=0))
    with impatient as client, pytest.raises(RateLimited) as caught:
        for _ in range(40):
            list(client.jobs())
    error = caught.value
    assert (error.status, error.code) == (429, "rate_limited")
    assert error.retry_after is not None and error.retry_after >= 1


def test_a_used_up_quota_says_what_is_used(strict_server: Server, model_path: Path) -> None:
    retries = Retries(seconds=50)
    with Client(strict_server.url, strict_server.keys["admin"], progress=False, retries=retries) as client:
        job = client.prune(model_path, flops_reduction=0.4, method="uniform", fine_tune=None)
        job.pause()
        model_id = job.data["model_id"]
        # The server asks for a minute, and this client has less.
        with pytest.raises(RateLimited) as caught:
            client.submit({"target": {"flops_reduction": 0.3}}, model_id)
        assert caught.value.code == "quota_exceeded" and caught.value.retry_after == 60
        assert caught.value.members["quota"] == {"used": 1, "most": 1}
        job.cancel()


def test_retry_after_is_a_number_or_a_date() -> None:
    now = 1_800_000_000.0
    assert retry_after({"retry-after": "7"}) == 7
    assert retry_after({"retry-after": formatdate(now + 30, usegmt=True)}, now) == 30
    assert retry_after({"retry-after": formatdate(now - 30, usegmt=True)}, now) == 0
    assert retry_after({"retry-after": "soon"}) is None
    assert retry_after({}) is None


def test_pauses_double_up_to_a_limit_and_end() -> None:
    patience = Patience(Retries(seconds=20, first_pause=1, longest_pause=4))
    pauses = []
    while (pause := patience.next_pause(None)) is not None:
        pauses.append(pause)
    assert all(0.75 * mean <= pause <= 1.25 * mean for pause, mean in zip(pauses, [1, 2, 4, 4, 4, 4], strict=False))
    assert sum(pauses) <= 20 and len(pauses) >= 4
    patience.renew()
    assert patience.next_pause(12.0) == 12.0
    assert patience.next_pause(12.0) is None


def test_what_no_waiting_mends_is_asked_for_once(server: Server) -> None:
    requests: list[httpx.Request] = []
    http = httpx.Client(event_hooks={"request": [requests.append]})
    with http, Client(server.url, progress=False, http=http) as client, pytest.raises(NotFound):
        client.job("job_" + "1" * 32)
    assert len(requests) == 1 and requests[0].headers["user-agent"].startswith("secateur-python/")
