#!/usr/bin/env python3
"""Cuts a worker off from everything in the middle of a task, and looks whether its job still ends, once.

    python scripts/partition/test.py SECATEUR [--rounds 2] [--cut-s 120] [--lease-s 20]

SECATEUR is the binary, with secateur-engine beside it; SECATEUR_PG_BIN, or PATH, has PostgreSQL. On a bridge of this script there are one
PostgreSQL, one S3 server (moto) and a server without slots; three workers have a network namespace each and reach them through a virtual
cable. In each round a job starts, and in the middle of a long task the cable of the worker that computes it is pulled for --cut-s seconds:
longer than a lease. Nothing is closed, no packet comes back: the worker has to find out by itself. Then the cable is plugged in again.

The job must succeed on the other workers, with the bytes of the job that ran undisturbed; its events must have no gap and one end; the worker
that was away must have been fenced, must not have ended, and must take a task again. The exit code is 0 only then. Needs Linux, root, iproute2
and the packages of requirements.txt.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import boto3
import moto.server
from werkzeug.serving import make_server

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import crash_test
from crash_test import FINAL, Lost, World, form

WORKERS = 3
SUBNET = "10.77.83"
GATEWAY = f"{SUBNET}.1"
PG_PORT, S3_PORT = 15432, 15433
PATIENCE = 300


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", type=Path)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--cut-s", type=float, default=120)
    parser.add_argument("--lease-s", type=int, default=20)
    arguments = parser.parse_args()
    if os.geteuid() != 0 or not shutil.which("ip"):
        print("this needs root and iproute2, for network namespaces", file=sys.stderr)
        return 2
    # Short enough to be lost in one cut, long enough to be met by it.
    crash_test.SPEC["fine_tune"]["epochs"] = 12
    folder = Path(tempfile.mkdtemp(prefix="secateur-partition-"))
    folder.chmod(0o755)
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        try:
            run(arguments, folder, stack)
        except Lost as lost:
            print(f"LOST: {lost}", file=sys.stderr)
            for log in sorted(folder.glob("*.log")):
                print(f"--- {log.name}\n{log.read_text(errors='replace')[-3000:]}", file=sys.stderr)
            return 1
    print("nothing was lost")
    return 0


def run(arguments: argparse.Namespace, folder: Path, stack: contextlib.ExitStack) -> None:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    network = Network()
    stack.callback(network.remove)
    network.make()
    database = Database(folder)
    stack.callback(database.stop)
    database.start()
    store = make_server(GATEWAY, S3_PORT, moto.server.DomainDispatcherApplication(moto.server.create_backend_app), True)
    threading.Thread(target=store.serve_forever, daemon=True).start()
    stack.callback(store.shutdown)
    world = Site(arguments, folder, network)
    stack.callback(world.stop)
    world.make_bucket()
    world.start()

    undisturbed = world.run_job()
    print(f"undisturbed: {undisturbed['seconds']:.0f} s, model.pt {undisturbed['model.pt'][:12]}", flush=True)
    world.check_presigned(undisturbed)
    world.check_presigned_upload()
    for number in range(arguments.rounds):
        job = world.ask("POST", "/v1/jobs", *form(crash_test.SPEC))
        cut = world.worker_at_work(job["id"])
        print(
            f"round {number + 1}: worker {cut} is cut off for {arguments.cut_s:g} s in `{world.stage(job['id'])}`",
            flush=True,
        )
        network.pull(cut)
        since = time.monotonic()
        ended = world.wait_for(job["id"])
        print(f"  the job {ended['status']} {time.monotonic() - since:.0f} s later", flush=True)
        time.sleep(max(0.0, arguments.cut_s - (time.monotonic() - since)))
        network.plug(cut)
        world.compare(job["id"], undisturbed)
        world.wait_until_working(cut)
        print("  the same bytes; the worker came back and took a task", flush=True)


class Network:
    """A bridge, and a namespace with a cable to it for each worker."""

    def make(self) -> None:
        ip("link", "add", "secateur-br", "type", "bridge")
        ip("addr", "add", f"{GATEWAY}/24", "dev", "secateur-br")
        ip("link", "set", "secateur-br", "up")
        for number in range(WORKERS):
            space, near, far = self.space(number), self.cable(number), f"sec-far{number}"
            ip("netns", "add", space)
            ip("link", "add", near, "type", "veth", "peer", "name", far)
            ip("link", "set", near, "master", "secateur-br")
            ip("link", "set", near, "up")
            ip("link", "set", far, "netns", space)
            ip("-n", space, "addr", "add", f"{SUBNET}.{number + 10}/24", "dev", far)
            ip("-n", space, "link", "set", far, "up")
            ip("-n", space, "link", "set", "lo", "up")

    @staticmethod
    def space(number: int) -> str:
        return f"secateur-w{number}"

    @staticmethod
    def cable(number: int) -> str:
        return f"sec-near{number}"

    def pull(self, number: int) -> None:
        ip("link", "set", self.cable(number), "down")

    def plug(self, number: int) -> None:
        ip("link", "set", self.cable(number), "up")

    def remove(self) -> None:
        for number in range(WORKERS):
            with contextlib.suppress(subprocess.CalledProcessError):
                ip("netns", "del", self.space(number))
        with contextlib.suppress(subprocess.CalledProcessError):
            ip("link", "del", "secateur-br")


class Database:
    """PostgreSQL on the bridge."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "postgres"
        self.log = folder / "postgres.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        programs = os.environ.get("SECATEUR_PG_BIN")
        program = f"{programs}/" if programs else ""
        self.folder.mkdir()
        shutil.chown(self.folder, 65534, 65534)
        self.run_to_end(f"{program}initdb", "-D", self.folder, "-U", "secateur", "-A", "trust", "--no-sync")
        with (self.folder / "pg_hba.conf").open("a") as rules:
            rules.write(f"host all all {SUBNET}.0/24 trust\n")
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [
                    *unprivileged(),
                    f"{program}postgres",
                    *("-D", self.folder, "-k", self.folder, "-h", GATEWAY, "-p", str(PG_PORT)),
                    *(
                        "-c",
                        "tcp_keepalives_idle=10",
                        "-c",
                        "tcp_keepalives_interval=5",
                        "-c",
                        "tcp_keepalives_count=3",
                    ),
                ],
                stdout=log,
                stderr=log,
                cwd="/",
            )
        deadline = time.monotonic() + 60
        while b"ready to accept connections" not in self.log.read_bytes():
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise Lost(f"PostgreSQL does not start: {self.log.read_text()}")
            time.sleep(0.1)

    def run_to_end(self, *words: Any) -> None:
        subprocess.run([*unprivileged(), *words], check=True, stdout=subprocess.DEVNULL, cwd="/")

    def stop(self) -> None:
        if self.process:
            self.process.terminate()
            self.process.wait(30)


class Site(World):
    """The server and its workers, over TCP."""

    def __init__(self, arguments: argparse.Namespace, folder: Path, network: Network) -> None:
        super().__init__(arguments.binary.resolve(), folder)
        self.network = network
        self.lease = str(arguments.lease_s)
        self.database = f"postgres://secateur@{GATEWAY}:{PG_PORT}/postgres"
        self.workers: list[subprocess.Popen[bytes]] = []
        self.environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"} | {
            "AWS_ACCESS_KEY_ID": "secateur",
            "AWS_SECRET_ACCESS_KEY": "secateur",
            "AWS_ENDPOINT_URL": f"http://{GATEWAY}:{S3_PORT}",
            "AWS_ALLOW_HTTP": "true",
        }

    def bucket(self) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=self.environment["AWS_ENDPOINT_URL"],
            region_name="us-east-1",
            aws_access_key_id="secateur",
            aws_secret_access_key="secateur",
        )

    def make_bucket(self) -> None:
        self.bucket().create_bucket(Bucket="blobs")

    def start(self) -> None:
        options = ["--database-url", self.database, "--blobs", "s3://blobs/partition", "--lease", self.lease]
        listen = ["--listen", f"127.0.0.1:{self.port}", "--data-dir", str(self.data), "--slots", "0"]
        self.server = self.spawn("serve", [self.binary, "serve", *listen, *options])
        self.wait_until_ready()
        for number in range(WORKERS):
            scratch = self.folder / f"scratch{number}"
            scratch.mkdir()
            enter = ["ip", "netns", "exec", self.network.space(number)]
            words = [*enter, self.binary, "worker", "--slots", "1", "--scratch", str(scratch), *options]
            self.workers.append(self.spawn(f"worker{number}", words))

    def spawn(self, name: str, words: list[Any]) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("wb") as log:
            return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment)

    def at_work(self) -> dict[int, int]:
        """The workers that have an engine, with its process id."""
        owners = {worker.pid: number for number, worker in enumerate(self.workers)}
        found = {}
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if os.readlink(process / "exe") == str(self.binary.with_name("secateur-engine")):
                    parent = int((process / "stat").read_text().rsplit(")", 1)[1].split()[1])
                    if parent in owners:
                        found[owners[parent]] = int(process.name)
        return found

    def check_presigned(self, undisturbed: dict[str, Any]) -> None:
        """The bucket's own URL gives the bytes, and no key of the server is sent there."""
        url = f"{self.url}/v1/jobs/{undisturbed['id']}/artifacts/model.pt?presigned=true"
        with urllib.request.urlopen(url, timeout=60) as answer:
            came_from, found = answer.geturl(), hashlib.sha256(answer.read()).hexdigest()
        if not came_from.startswith(self.environment["AWS_ENDPOINT_URL"]) or found != undisturbed["model.pt"]:
            raise Lost(f"model.pt came from {came_from} with the SHA-256 {found}")
        # moto does nothing with this and does not look at signatures, as Amazon's S3 does; so the URL is looked at.
        asked = urllib.parse.parse_qs(urllib.parse.urlsplit(came_from).query)
        if (
            asked.get("response-content-disposition") != ['attachment; filename="model.pt"']
            or "X-Amz-Signature" not in asked
        ):
            raise Lost(f"the URL asks for no name or is not signed: {came_from}")
        print("presigned: model.pt comes from the bucket", flush=True)

    def check_presigned_upload(self) -> None:
        """A file that is put into the bucket becomes a model, and nothing of it stays where it was put."""
        place = self.ask("POST", "/v1/uploads/presigned")
        if not place["url"].startswith(self.environment["AWS_ENDPOINT_URL"]) or "X-Amz-Signature" not in place["url"]:
            raise Lost(f"{place['url']} is no signed URL of the bucket")
        taking_over = f"/v1/models?upload={place['id']}&name=presigned.pt"
        nothing = self.refused("POST", taking_over)
        model = (crash_test.EXAMPLES / "resnet20-digits.pt").read_bytes()
        as_bytes = {"content-type": "application/octet-stream"}
        urllib.request.urlopen(urllib.request.Request(place["url"], model, as_bytes, method="PUT"), timeout=60).close()
        made = self.ask("POST", taking_over)
        if made["sha256"] != hashlib.sha256(model).hexdigest() or made["name"] != "presigned.pt":
            raise Lost(f"what was put into the bucket became {made}")
        used = self.refused("POST", taking_over)
        if (nothing, used) != ("upload_not_found", "upload_not_found"):
            raise Lost(f"before the file came: {nothing}; after it was used: {used}")
        left = self.bucket().list_objects_v2(Bucket="blobs", Prefix="partition/incoming/").get("Contents", [])
        if left:
            raise Lost(f"the bucket still has {[found['Key'] for found in left]}")
        print("presigned: a model came by the bucket", flush=True)

    def refused(self, method: str, path: str) -> str:
        """The code of a refusal."""
        try:
            urllib.request.urlopen(urllib.request.Request(self.url + path, b"", method=method), timeout=60).close()
        except urllib.error.HTTPError as refusal:
            return str(json.load(refusal)["code"])
        raise Lost(f"{method} {path} was not refused")

    def worker_at_work(self, job: str) -> int:
        """One that trains a candidate, a second after it began."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            shown = self.ask("GET", f"/v1/jobs/{job}")
            if shown["status"] in FINAL:
                raise Lost(f"job {job} {shown['status']} before a worker could be cut off")
            if shown["stage"] in ("tune", "encoder") and (first := self.at_work()):
                time.sleep(1)
                standing = [number for number, pid in self.at_work().items() if first.get(number) == pid]
                if standing:
                    return standing[0]
            time.sleep(0.1)
        raise Lost(f"no worker trained anything of job {job} for {PATIENCE} s")

    def stage(self, job: str) -> str:
        return self.ask("GET", f"/v1/jobs/{job}")["stage"]

    def wait_for(self, job: str) -> dict[str, Any]:
        deadline = time.monotonic() + PATIENCE
        while (shown := self.ask("GET", f"/v1/jobs/{job}?wait=5"))["status"] not in FINAL:
            if time.monotonic() > deadline:
                raise Lost(
                    f"job {job} is {shown['status']} at {shown['stage']} {PATIENCE} s after a worker was cut off"
                )
        return shown

    def compare(self, job: str, undisturbed: dict[str, Any]) -> None:
        ended = self.made(job)
        for name in crash_test.COMPARED:
            if ended[name] != undisturbed[name]:
                raise Lost(f"{name} of job {job} is {ended[name]}, undisturbed it was {undisturbed[name]}")
        if ended["attempts"] < 2:
            raise Lost(f"no task of job {job} was taken from the worker that was away")

    def wait_until_working(self, number: int) -> None:
        """Jobs are submitted until the worker that was away has one of their tasks."""
        if self.workers[number].poll() is not None:
            raise Lost(f"worker {number} ended with code {self.workers[number].returncode}")
        log, deadline = self.folder / f"worker{number}.log", time.monotonic() + PATIENCE
        while not re.search(r"refused.{0,20}LeaseLost", log.read_text(errors="replace")):
            if time.monotonic() > deadline:
                raise Lost(f"worker {number} was not told that its lease is lost for {PATIENCE} s")
            time.sleep(0.1)
        job = self.ask("POST", "/v1/jobs", *form(crash_test.SPEC))["id"]
        deadline = time.monotonic() + PATIENCE
        while number not in self.at_work():
            if time.monotonic() > deadline:
                raise Lost(f"worker {number} took no task for {PATIENCE} s")
            if self.ask("GET", f"/v1/jobs/{job}")["status"] in FINAL:
                job = self.ask("POST", "/v1/jobs", *form(crash_test.SPEC))["id"]
            time.sleep(0.1)
        self.ask("POST", f"/v1/jobs/{job}/cancel", parse=False)

    def stop(self) -> None:
        for process in (*self.workers, self.server):
            if process and process.poll() is None:
                process.terminate()
        for process in (*self.workers, self.server):
            if process:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(30)


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def unprivileged() -> list[str]:
    return ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"]


if __name__ == "__main__":
    sys.exit(main())
