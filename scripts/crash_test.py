#!/usr/bin/env python3
"""Kills a working server over and over, and looks whether anything was lost.

    python3 scripts/crash_test.py SECATEUR [--kills 500] [--seed 0] [--between 0.05 0.3] [--folder FOLDER] [--disk MIB]

SECATEUR is the binary, with secateur-engine beside it. A server with its own PostgreSQL and one more worker, which reaches the database
through a relay of this script, run jobs on an example network with real engines. First one job runs undisturbed. Then, again and again after
a random part of the time that it took, between the two numbers of --between, one of these happens:

    engine    a process that works on a task is killed
    worker    the other worker is killed, and started again at once
    server    the server is killed, with its own worker in it, and started again at once
    postgres  the database's process is killed; the server starts it again
    network   the relay cuts all connections of the other worker and takes none for some seconds
    disk      the disk with the data folder is filled to its last byte for some seconds; with --disk only, which mounts a file system of so
              many MiB in memory for the data folder and needs root

All kills are SIGKILL. A task that is lost ten times in a row before it leaves a checkpoint fails its job on purpose, so kills that come faster
than tasks can work show nothing. Each job must succeed with the bytes of `model.pt` and `config.json` that the undisturbed one has. In the end
everything is deleted, and no blob may be left. The exit code is 0 only then. Needs Python's standard library alone.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
COMPARED = ("model.pt", "config.json")
FINAL = ("succeeded", "failed", "cancelled")
PORT_OF_SOCKET = ".s.PGSQL.5432"
SPEC = {
    "method": "sacp",
    "preset": "quick",
    "target": {"flops_reduction": 0.5},
    "input": {"mean": 4.9, "std": 6.0},
    "encoder": {"configs": 400, "epochs": 2},
    "search": {"candidates": 20000, "top_m": 8, "top_k": 2},
    "fine_tune": {"epochs": 2, "batch_size": 64},
}
PATIENCE = 600


def main() -> int:
    arguments = parse_arguments()
    if arguments.disk and os.geteuid() != 0:
        print("--disk mounts a file system, which needs root: leave it out, or run this as root", file=sys.stderr)
        return 2
    chance = random.Random(arguments.seed)
    folder = Path(tempfile.mkdtemp(prefix="secateur-crash-", dir=arguments.folder))
    folder.chmod(0o755)
    world = World(arguments.binary.resolve(), folder)
    kills: Counter[str] = Counter()
    try:
        if arguments.disk:
            world.mount_disk(arguments.disk)
        world.start()
        expected = world.run_job()
        print(f"undisturbed: {expected['seconds']:.0f} s, model.pt {expected['model.pt'][:12]}", flush=True)
        between = tuple(part * expected["seconds"] for part in arguments.between)
        jobs = 0
        while kills.total() < arguments.kills:
            with world.disturbed(chance, between, kills):
                found = world.run_job()
            jobs += 1
            for name in COMPARED:
                if found[name] != expected[name]:
                    raise Lost(f"job {found['id']}: {name} is {found[name]} instead of {expected[name]}")
            counts = ", ".join(f"{kind} {count}" for kind, count in sorted(kills.items()))
            print(f"job {jobs}: {found['seconds']:.0f} s, attempts {found['attempts']}; so far {counts}", flush=True)
        world.delete_everything()
        left = world.count_blobs()
        if left:
            raise Lost(f"{left} blobs are left after everything was deleted")
    except Lost as lost:
        print(f"lost: {lost}\nthe folder is {folder}", file=sys.stderr)
        world.stop()
        return 1
    world.stop()
    world.unmount_disk()
    shutil.rmtree(folder)
    print(f"{kills.total()} kills and cuts, {jobs} jobs, nothing lost")
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", type=Path)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--between", type=float, nargs=2, default=(0.05, 0.3))
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--disk", type=int, metavar="MIB")
    return parser.parse_args()


class Lost(Exception):
    """Something that a service must not lose; the message says what."""


class Relay:
    """Passes a unix socket on to another, and can cut all that is connected."""

    def __init__(self, path: Path, target: Path) -> None:
        self.target = target
        self.is_cut = threading.Event()
        self.open: set[socket.socket] = set()
        self.lock = threading.Lock()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen(64)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self) -> None:
        while True:
            near, _ = self.listener.accept()
            far = socket.socket(socket.AF_UNIX)
            try:
                if self.is_cut.is_set():
                    raise OSError("cut")
                far.connect(str(self.target))
            except OSError:
                near.close()
                continue
            with self.lock:
                self.open |= {near, far}
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self.pass_on, args=(one, other), daemon=True).start()

    def pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                sink.sendall(data)
        self.close(source)
        self.close(sink)

    def close(self, end: socket.socket) -> None:
        with self.lock:
            self.open.discard(end)
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()

    def cut(self, seconds: float) -> None:
        self.is_cut.set()
        with self.lock:
            ends = list(self.open)
        for end in ends:
            self.close(end)
        time.sleep(seconds)
        self.is_cut.clear()


class World:
    """A server, one more worker, and what is between them and the database."""

    def __init__(self, binary: Path, folder: Path) -> None:
        self.binary, self.folder, self.data = binary, folder, folder / "data"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.server: subprocess.Popen[bytes] | None = None
        self.worker: subprocess.Popen[bytes] | None = None
        self.relay: Relay | None = None
        self.has_disk = False

    def mount_disk(self, mib: int) -> None:
        """Gives the data folder a file system of its own, which can be filled without harm to others."""
        self.data.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mib}m", "secateur-crash", self.data], check=True)
        self.has_disk = True

    def unmount_disk(self) -> None:
        if self.has_disk:
            subprocess.run(["umount", self.data], check=True)

    def fill_disk(self, seconds: float) -> None:
        """Leaves no byte free for so long."""
        filler = self.data / "filler"
        with filler.open("wb") as file:
            size, step = 0, 1 << 30
            while step >= 4096:
                if reserve(file.fileno(), size, step):
                    size += step
                else:
                    step //= 2
            time.sleep(seconds)
        filler.unlink()

    def start(self, *options: str) -> None:
        self.start_server(*options)
        self.wait_until_ready()
        sockets = self.folder / "relay"
        sockets.mkdir()
        self.relay = Relay(sockets / PORT_OF_SOCKET, self.data / "postgres/run" / PORT_OF_SOCKET)
        self.start_worker()

    def start_server(self, *options: str) -> None:
        self.server = self.run("serve", "--listen", f"127.0.0.1:{self.port}", "--data-dir", str(self.data), *options)

    def start_worker(self) -> None:
        database = f"postgres://secateur@{str(self.folder / 'relay').replace('/', '%2F')}/secateur"
        self.worker = self.run(
            "worker", "--database-url", database, "--blobs", str(self.data / "blobs"), "--scratch", str(self.folder)
        )

    def run(self, *words: str) -> subprocess.Popen[bytes]:
        environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
        with (self.folder / f"{words[0]}.log").open("ab") as log:
            return subprocess.Popen(
                [self.binary, *words], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment
            )

    @contextlib.contextmanager
    def disturbed(self, chance: random.Random, between: tuple[float, ...], kills: Counter[str]) -> Any:
        """Things happen as long as this lasts."""
        over = threading.Event()

        def disturb() -> None:
            while not over.wait(chance.uniform(*between)):
                kinds = ["engine", "engine", "worker", "server", "postgres", "network"]
                kind = chance.choice(kinds + ["disk"] * self.has_disk)
                if self.hurt(kind, chance):
                    kills[kind] += 1

        thread = threading.Thread(target=disturb)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def hurt(self, kind: str, chance: random.Random) -> bool:
        """Whether there was something to hurt."""
        match kind:
            case "engine":
                engines = self.engines()
                return bool(engines) and kill(chance.choice(engines))
            case "worker":
                self.worker = killed(self.worker)
                self.start_worker()
                return True
            case "server":
                self.server = killed(self.server)
                self.start_server()
                return True
            case "postgres":
                try:
                    pid = int((self.data / "postgres/cluster/postmaster.pid").read_text().split()[0])
                except (OSError, IndexError, ValueError):
                    return False
                return kill(pid)
            case "disk":
                self.fill_disk(chance.uniform(0.2, 3.0))
                return True
            case _:
                assert self.relay
                self.relay.cut(chance.uniform(0.2, 3.0))
                return True

    def engines(self) -> list[int]:
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if os.readlink(process / "exe") == str(self.binary.with_name("secateur-engine")):
                    parent = int((process / "stat").read_text().rsplit(")", 1)[1].split()[1])
                    if parent in [owner.pid for owner in (self.server, self.worker) if owner]:
                        found.append(int(process.name))
        return found

    def run_job(self) -> dict[str, Any]:
        """Submits a job and waits for its end; what it made, as digests."""
        started = time.monotonic()
        key = str(uuid.uuid4())
        job = self.ask("POST", "/v1/jobs", *form(SPEC), headers={"idempotency-key": key})
        path = f"/v1/jobs/{job['id']}"
        while job["status"] not in FINAL:
            if time.monotonic() - started > PATIENCE:
                raise Lost(f"job {job['id']} is {job['status']} at {job['stage']} after {PATIENCE} s")
            job = self.ask("GET", f"{path}?wait=2")
        if job["status"] != "succeeded":
            raise Lost(f"job {job['id']} {job['status']}: {json.dumps(job['error'])}")
        return {"seconds": time.monotonic() - started, **self.made(job["id"])}

    def made(self, job: str) -> dict[str, Any]:
        """What a job that has ended made, as digests, and how often its tasks were tried."""
        path = f"/v1/jobs/{job}"
        found: dict[str, Any] = {"id": job}
        for name in COMPARED:
            found[name] = hashlib.sha256(self.ask("GET", f"{path}/artifacts/{name}", parse=False)).hexdigest()
        events: list[dict[str, Any]] = []
        while page := self.ask("GET", f"{path}/events?limit=200&after={len(events)}")["items"]:
            events += page
        ids = [event["id"] for event in events]
        if ids != list(range(1, len(ids) + 1)):
            raise Lost(f"job {job}: its events are {ids}")
        if len([event for event in events if event["type"] in FINAL]) != 1:
            raise Lost(f"job {job} has not ended once")
        found["attempts"] = 1 + len([event for event in events if event["type"] == "task_retried"])
        return found

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        content_type: str | None = None,
        headers: dict[str, str] | None = None,
        parse: bool = True,
    ) -> Any:
        """Asks until there is an answer: the server may be away. What is refused for good is lost."""
        started = time.monotonic()
        while True:
            request = urllib.request.Request(self.url + path, data=body, method=method, headers=dict(headers or {}))
            if content_type:
                request.add_header("content-type", content_type)
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    data = answer.read()
                    return (json.loads(data) if data else None) if parse else data
            except urllib.error.HTTPError as error:
                # A conflict is what a repeated deletion meets, or one that comes too early; 507 says that the disk is full.
                if error.code not in (404, 409, 429, 500, 503, 507) or (error.code == 404 and method == "GET"):
                    raise Lost(f"{method} {path}: {error.code} {error.read().decode(errors='replace')}") from error
                if error.code == 404:
                    return None
            except (OSError, ValueError):
                pass
            if time.monotonic() - started > PATIENCE:
                raise Lost(f"{method} {path} was not answered for {PATIENCE} s")
            time.sleep(0.1)

    def wait_until_ready(self) -> None:
        self.ask("GET", "/healthz", parse=False)

    def delete_everything(self) -> None:
        for kind in ("jobs", "models", "datasets"):
            while items := self.ask("GET", f"/v1/{kind}")["items"]:
                for item in items:
                    self.ask("DELETE", f"/v1/{kind}/{item['id']}", parse=False)

    def count_blobs(self) -> int:
        """What is left once upkeep had its time."""
        deadline = time.monotonic() + 180
        while (
            left := sum(path.is_file() for path in (self.data / "blobs").rglob("*"))
        ) and time.monotonic() < deadline:
            time.sleep(1)
        return left

    def stop(self) -> None:
        for process in (self.worker, self.server):
            if process and process.poll() is None:
                process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(30)


def form(spec: dict[str, Any]) -> tuple[bytes, str]:
    boundary = uuid.uuid4().hex
    parts = [
        ("model", EXAMPLES / "vgg-digits.pt"),
        ("dataset", EXAMPLES / "digits.npz"),
    ]
    body = b""
    for name, path in parts:
        head = f'--{boundary}\r\ncontent-disposition: form-data; name="{name}"; filename="{path.name}"\r\n\r\n'
        body += head.encode() + path.read_bytes() + b"\r\n"
    head = f'--{boundary}\r\ncontent-disposition: form-data; name="spec"\r\n\r\n'
    body += head.encode() + json.dumps(spec).encode() + f"\r\n--{boundary}--\r\n".encode()
    return body, f"multipart/form-data; boundary={boundary}"


def reserve(descriptor: int, offset: int, length: int) -> bool:
    """Whether the disk had so many bytes for the file."""
    try:
        os.posix_fallocate(descriptor, offset, length)
    except OSError:
        return False
    return True


def kill(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def killed(process: subprocess.Popen[bytes] | None) -> None:
    if process:
        process.kill()
        process.wait()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


if __name__ == "__main__":
    sys.exit(main())
