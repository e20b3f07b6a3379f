#!/usr/bin/env python3
"""Asks much of a server at once, and looks whether anything is lost and how long everyone waits.

    python3 scripts/load_test.py SECATEUR [--streams 1000] [--rate 500] [--seconds 60] [--burst 1000]

SECATEUR is the binary, with secateur-engine beside it. A server with its own PostgreSQL and one worker slot runs a real job. Then:

1. --streams clients follow the job's events, each over a connection of its own, and stay. Meanwhile others ask for its status, --rate times
   a second for --seconds. They ask on time, whether or not the answers before have come, and a time is counted from when a request was due:
   a server that stops for a second is not flattered.
2. --burst jobs are submitted as fast as 64 connections can, with a key whose tenant may have 100 open jobs. Each must be accepted, or refused
   with 429 and Retry-After, and the list of jobs must have all that were accepted and no others.

It prints a table. The exit code is 0 only when every request was answered as it had to be, no stream broke, and nothing was lost. Client,
server, database and engine share the machine. Needs Python's standard library alone.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import multiprocessing.connection
import os
import resource
import sys
import time
from collections import Counter
from pathlib import Path

from demo import EXAMPLES, DemoError, LocalServer, call, submit

# Clients that ask for the status, or submit, over connections that stay open.
CONNECTIONS = 64
SPEC = {
    "name": "load",
    "method": "global_l2",
    "target": {"flops_reduction": 0.5},
    "input": {"mean": 4.9, "std": 6.0},
    "fine_tune": {"epochs": 1000, "patience": None},
}
QUICK_SPEC = {"method": "global_l2", "target": {"flops_reduction": 0.5}, "fine_tune": None}
PATIENCE = 120


class Failed(Exception):
    """Something that must not happen under load; the message says what."""


def main() -> int:
    arguments = parse_arguments()
    raise_file_limit(2 * arguments.streams + 1000)
    connections = str(2 * arguments.streams + 1000)
    server = LocalServer(arguments.binary, "--max-connections", connections, "--requests-per-minute", "0")
    succeeded = False
    try:
        server.wait_until_ready()
        asyncio.run(run(arguments, server))
        succeeded = True
    except (Failed, DemoError) as failed:
        print(f"failed: {failed}", file=sys.stderr)
    finally:
        stopped = server.stop(keep_data=not succeeded)
    return 0 if succeeded and stopped else 1


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", type=Path)
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--rate", type=int, default=500)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--burst", type=int, default=1000)
    return parser.parse_args()


def raise_file_limit(files: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < files:
        raise SystemExit(f"this needs {files} open files, and the system allows {hard}: see `ulimit -Hn`")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, files), hard))


async def run(arguments: argparse.Namespace, server: LocalServer) -> None:
    job = start_job(server)
    load_before = os.getloadavg()[0]
    print(f"{os.cpu_count()} cores, load {load_before:.1f} before; job {job} runs")
    print(f"\n{'what':<34}{'asked':>8}{'answered':>10}{'a second':>10}{'p50 ms':>9}{'p99 ms':>9}{'most ms':>9}")
    host, port = server.url.removeprefix("http://").split(":")
    address = (host, int(port))
    followers = Followers(address, f"/v1/jobs/{job}/events", arguments.streams)
    print_row("streams opened", *await followers.opened())

    asked = Load(address, arguments.rate * arguments.seconds)
    await asked.at_rate(arguments.rate, "GET", f"/v1/jobs/{job}")
    print_row(f"status, {arguments.rate}/s beside the streams", asked.times, asked.count, asked.took)
    asked.require({200})
    broken, events = await followers.standing()
    if broken or min(events) != max(events):
        await asyncio.sleep(10)
        broken, events = await followers.standing()
    print(f"{'events that every stream has':<34}{min(events):>8}{max(events):>10}")
    if broken:
        raise Failed(f"{broken} of {arguments.streams} streams ended while the job was running")
    followers.stop()
    call(f"{server.url}/v1/jobs/{job}/cancel", b"", "application/json")
    await burst(arguments, server, address)


def start_job(server: LocalServer) -> str:
    """A job that trains for longer than the test takes, once its tasks have come to that."""
    spec = server.folder / "spec.json"
    spec.write_text(json.dumps(SPEC))
    inputs = argparse.Namespace(model=EXAMPLES / "resnet20-digits.pt", dataset=EXAMPLES / "digits.npz", spec=spec)
    job = submit(server.url, inputs)["id"]
    deadline = time.monotonic() + PATIENCE
    while True:
        shown = json.loads(call(f"{server.url}/v1/jobs/{job}"))
        if shown["stage"] == "tune" and shown["status"] == "running":
            return job
        if shown["status"] not in ("queued", "running") or time.monotonic() > deadline:
            raise Failed(f"the job did not come to its training: {shown}")
        time.sleep(0.2)


async def burst(arguments: argparse.Namespace, server: LocalServer, address: tuple[str, int]) -> None:
    body = (EXAMPLES / "vgg-digits.pt").read_bytes()
    model = json.loads(call(f"{server.url}/v1/models", body, "application/octet-stream"))["id"]
    secret = server.make_key("load", "submit")
    before = set(await list_jobs(address, secret))

    asked = Load(address, arguments.burst, secret)
    spec = json.dumps({**QUICK_SPEC, "model_id": model}).encode()
    await asked.at_once("POST", "/v1/jobs", spec)
    print_row("jobs submitted in a burst", asked.times, asked.count, asked.took)
    asked.require({202, 429})
    refusals = [answer for answer in asked.answers if answer.status == 429]
    impatient = [answer for answer in refusals if "retry-after" not in answer.headers]
    if impatient:
        raise Failed(f"{len(impatient)} answers with 429 have no Retry-After: {impatient[0].body[:300]!r}")
    accepted = {json.loads(answer.body)["id"] for answer in asked.answers if answer.status == 202}
    listed = set(await list_jobs(address, secret)) - before
    print(f"{'accepted, refused, listed':<34}{len(accepted):>8}{len(refusals):>10}{len(listed):>10}")
    if listed != accepted:
        raise Failed(f"lost: {sorted(accepted - listed)}, made up: {sorted(listed - accepted)}")


async def list_jobs(address: tuple[str, int], secret: str) -> list[str]:
    jobs, after = [], ""
    connection = Connection(address, secret)
    while True:
        answer = await connection.ask("GET", f"/v1/jobs?limit=200{after}")
        page = json.loads(answer.body)
        jobs += [job["id"] for job in page["items"]]
        if page["next"] is None:
            connection.close()
            return jobs
        after = f"&after={page['next']}"


def print_row(what: str, times: list[float], asked: int, took: float) -> None:
    ordered = sorted(times)
    p50, p99, most = (1e3 * ordered[round((len(ordered) - 1) * part)] for part in (0.5, 0.99, 1))
    print(
        f"{what:<34}{asked:>8}{len(times):>10}{len(times) / took:>10.0f}{p50:>9.1f}{p99:>9.1f}{most:>9.1f}", flush=True
    )


class Answer:
    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body


class Connection:
    """HTTP/1.1 over one connection that is kept, made when it is first used."""

    def __init__(self, address: tuple[str, int], secret: str | None = None) -> None:
        self.address = address
        self.head = f"Host: {address[0]}:{address[1]}\r\n"
        if secret is not None:
            self.head += f"Authorization: Bearer {secret}\r\n"
        self.reader: asyncio.StreamReader | None = None
        self.writer: asyncio.StreamWriter | None = None

    async def send(self, method: str, path: str, body: bytes = b"", headers: str = "") -> Answer:
        """Sends a request and reads the head of its answer."""
        if self.reader is None or self.writer is None:
            self.reader, self.writer = await asyncio.open_connection(*self.address)
        length = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n" if method == "POST" else ""
        self.writer.write(f"{method} {path} HTTP/1.1\r\n{self.head}{headers}{length}\r\n".encode() + body)
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        fields = (line.partition(":") for line in head[1:] if line)
        return Answer(int(head[0].split()[1]), {name.lower(): value.strip() for name, _, value in fields}, b"")

    async def ask(self, method: str, path: str, body: bytes = b"") -> Answer:
        answer = await self.send(method, path, body)
        answer.body = await self.reader.readexactly(int(answer.headers["content-length"]))
        if answer.headers.get("connection") == "close":
            self.close()
        return answer

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()
        self.reader = self.writer = None


class Load:
    """Many requests over some connections, with the time that each took and its answer."""

    def __init__(self, address: tuple[str, int], count: int, secret: str | None = None) -> None:
        self.count = count
        self.connections = [Connection(address, secret) for _ in range(CONNECTIONS)]
        self.times: list[float] = []
        self.answers: list[Answer] = []
        self.took = 0.0
        self.due: asyncio.Queue[float] = asyncio.Queue()

    async def at_rate(self, rate: int, method: str, path: str) -> None:
        asking = [asyncio.create_task(self.ask_when_due(connection, method, path)) for connection in self.connections]
        started = time.monotonic()
        for number in range(self.count):
            due = started + number / rate
            if due > time.monotonic():
                await asyncio.sleep(due - time.monotonic())
            self.due.put_nowait(due)
        await self.finish(asking, started)

    async def at_once(self, method: str, path: str, body: bytes) -> None:
        started = time.monotonic()
        for _ in range(self.count):
            self.due.put_nowait(0.0)
        asking = [
            asyncio.create_task(self.ask_when_due(connection, method, path, body)) for connection in self.connections
        ]
        await self.finish(asking, started)

    async def finish(self, asking: list[asyncio.Task[None]], started: float) -> None:
        for _ in asking:
            self.due.put_nowait(-1.0)
        try:
            await asyncio.wait_for(asyncio.gather(*asking), PATIENCE)
        except TimeoutError:
            late = f"{PATIENCE} s after the last was due {len(self.answers)} of {self.count} were answered"
            raise Failed(late) from None
        self.took = time.monotonic() - started
        for connection in self.connections:
            connection.close()

    async def ask_when_due(self, connection: Connection, method: str, path: str, body: bytes = b"") -> None:
        while (due := await self.due.get()) >= 0:
            # Of a burst a request is due when its connection is free.
            since = due or time.monotonic()
            answer = await connection.ask(method, path, body)
            self.times.append(time.monotonic() - since)
            self.answers.append(answer)

    def require(self, allowed: set[int]) -> None:
        statuses = Counter(answer.status for answer in self.answers)
        if len(self.answers) != self.count or not set(statuses) <= allowed:
            raise Failed(f"{self.count} were asked, and the answers were {dict(statuses)}")


class Followers:
    """Many who follow a job's events. They are a process of their own: to read a thousand streams takes this language so long that the
    clocks of the others would show that instead of the server."""

    def __init__(self, address: tuple[str, int], path: str, count: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.count = count
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=follow, args=(theirs, address, path, count), daemon=True)
        self.process.start()

    async def opened(self) -> tuple[list[float], int, float]:
        """When each had its first event, how many they are, and how long that took for all of them."""
        times, took = await asyncio.wait_for(asyncio.to_thread(self.pipe.recv), PATIENCE)
        return times, self.count, took

    async def standing(self) -> tuple[int, list[int]]:
        """How many streams have ended, and the events of each."""
        self.pipe.send("how far")
        return await asyncio.wait_for(asyncio.to_thread(self.pipe.recv), PATIENCE)

    def stop(self) -> None:
        self.process.kill()
        self.process.join()


def follow(pipe: multiprocessing.connection.Connection, address: tuple[str, int], path: str, count: int) -> None:
    """The process of the followers."""
    asyncio.run(follow_until_killed(pipe, [Stream(address, path) for _ in range(count)]))


async def follow_until_killed(pipe: multiprocessing.connection.Connection, streams: list[Stream]) -> None:
    started = time.monotonic()
    following = [asyncio.create_task(stream.follow()) for stream in streams]
    await asyncio.wait_for(asyncio.gather(*(stream.first.wait() for stream in streams)), PATIENCE)
    pipe.send(([stream.first_after for stream in streams], time.monotonic() - started))
    while await asyncio.to_thread(pipe.recv):
        pipe.send((sum(task.done() for task in following), [stream.events for stream in streams]))


class Stream:
    """Somebody who follows a job's events."""

    def __init__(self, address: tuple[str, int], path: str) -> None:
        self.connection, self.path = Connection(address), path
        self.first = asyncio.Event()
        self.first_after = 0.0
        self.events = 0

    async def follow(self) -> None:
        started = time.monotonic()
        answer = await self.connection.send("GET", self.path, headers="Accept: text/event-stream\r\n")
        if answer.status != 200:
            raise Failed(f"a stream was answered with {answer.status}")
        assert self.connection.reader is not None
        while line := await self.connection.reader.readline():
            if line.startswith(b"id:"):
                self.events += 1
                if not self.first.is_set():
                    self.first_after = time.monotonic() - started
                    self.first.set()


if __name__ == "__main__":
    sys.exit(main())
