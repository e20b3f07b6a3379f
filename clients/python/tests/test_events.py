"""Events come once each and in order, whatever becomes of the connection and of the server."""

from __future__ import annotations

import asyncio
import datetime
import itertools
import threading
from pathlib import Path

import httpx
import pytest
from secateur import AsyncClient, Client, Event, Job, NotFound, Retries
from secateur.events import EventParser, parse_time

from .proxy import Proxy
from .server import Server


def all_events(client: Client, job: Job) -> list[Event]:
    """The events as a page has them."""
    page = httpx.get(f"{client.url}/v1/jobs/{job.id}/events", params={"limit": 200}).json()
    return [Event.from_wire(item) for item in page["items"]]


def test_events_come_until_the_job_has_ended(client: Client, model_path: Path) -> None:
    job = client.prune(model_path, flops_reduction=0.4, method="uniform")
    events = list(job.events())
    assert events == all_events(client, job)
    assert [event.id for event in events] == list(range(1, len(events) + 1))
    assert events[0].type == "queued" and events[-1].type == "succeeded" and events[-1].is_final
    stages = [event.data["stage"] for event in events if event.type == "stage"]
    assert stages[0] == "import" and stages[-1] == "verify"
    assert all(event.at.tzinfo is not None for event in events)
    assert job.refresh().status == "succeeded"
    # Behind some, behind the last, and once more of a job that has ended.
    assert list(job.events(after=3)) == events[3:]
    assert list(job.events(after=events[-1].id)) == []
    assert list(job.events()) == events


def test_a_stream_resumes_where_the_connection_broke(client: Client, proxy: Proxy, model_path: Path) -> None:
    job = client.prune(model_path, flops_reduction=0.4, method="uniform")
    expected_cuts = 4
    # In the head of an answer, in the middle of events, and so on.
    proxy.cut_downstream(200, 700, 900, 1200)
    with Client(proxy.url, progress=False, retries=Retries(first_pause=0.05)) as through:
        events = list(through.job(job.id).events())
    assert proxy.cuts == expected_cuts
    assert events == all_events(client, job)
    assert events[-1].type == "succeeded"


def test_a_stream_goes_on_after_the_server_was_killed(own_server: Server, model_path: Path) -> None:
    with Client(own_server.url, progress=False) as client:
        job = client.prune(model_path, flops_reduction=0.4, method="uniform")
        events = job.events()
        seen = list(itertools.islice(events, 3))
        own_server.kill()
        restart = threading.Thread(target=own_server.start)
        restart.start()
        seen += events
        restart.join()
        assert seen == all_events(client, job)
        assert seen[-1].type == "succeeded"
        assert job.wait(60).status == "succeeded"


def test_a_wait_goes_on_after_the_server_was_restarted(own_server: Server, model_path: Path) -> None:
    with Client(own_server.url, progress=False) as client:
        job = client.prune(model_path, flops_reduction=0.4, method="uniform")

        def restart() -> None:
            own_server.stop()
            own_server.start()

        restarting = threading.Thread(target=restart)
        restarting.start()
        assert job.wait(300).status == "succeeded"
        restarting.join()


def test_events_of_no_job_are_not_found(client: Client, model_path: Path) -> None:
    job = client.prune(model_path, flops_reduction=0.4, method="uniform").wait(120)
    job.delete()
    with pytest.raises(NotFound):
        list(job.events())


def test_a_stream_resumes_on_an_event_loop(client: Client, proxy: Proxy, model_path: Path) -> None:
    job = client.prune(model_path, flops_reduction=0.4, method="uniform")
    proxy.cut_downstream(600, 800)

    async def follow() -> list[Event]:
        async with AsyncClient(proxy.url, progress=False, retries=Retries(first_pause=0.05)) as through:
            return [event async for event in (await through.job(job.id)).events()]

    events = asyncio.run(follow())
    assert proxy.cuts == 2 and events == all_events(client, job)


def test_events_are_whole_wherever_a_stream_is_cut() -> None:
    stream = (
        'id: 1\r\nevent: a\r\ndata: {"ü": 1}\r\n\r\n: alive\n\ndata: x\ndata:y\rdata\r\r\ndata: unfinished\n'.encode()
    )
    expected = ['{"ü": 1}', "x\ny\n"]
    for size in range(1, len(stream) + 1):
        parser = EventParser()
        pieces = [stream[start : start + size] for start in range(0, len(stream), size)]
        assert [data for piece in pieces for data in parser.feed(piece)] == expected, size


def test_times_are_read_with_any_number_of_digits() -> None:
    utc = datetime.timezone.utc
    assert parse_time("2026-11-27T10:35:51.7Z") == datetime.datetime(2026, 11, 27, 10, 35, 51, 700000, utc)
    assert parse_time("2026-11-27T10:35:51.123456789Z") == datetime.datetime(2026, 11, 27, 10, 35, 51, 123456, utc)
    assert parse_time("2026-11-27T12:35:51+02:00") == datetime.datetime(2026, 11, 27, 10, 35, 51, 0, utc)
