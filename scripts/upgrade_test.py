#!/usr/bin/env python3
"""Upgrades a server under a worker of an older version, and looks whether its job survives that.

    python3 scripts/upgrade_test.py OLD NEW [--folder FOLDER]

OLD and NEW are `secateur` binaries of two versions, each with its secateur-engine beside it. A server and a worker of the old version, on the
server's own PostgreSQL, begin a job. While the worker trains, the server is stopped, and one of the new version, which itself computes nothing,
takes over its data folder and migrates the database. Then:

1. the old worker must end that job, with the new schema under it;
2. a job that is submitted now must wait if its tasks are of a protocol that the old worker does not know, and may be done by it otherwise;
3. with a worker of the new version beside the old one it must succeed, and so must a further one after the old worker was stopped;
4. the old worker must still be alive, and must have reported no failure of a database statement.

The exit code is 0 only then. Needs Python's standard library alone.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from crash_test import FINAL, PATIENCE, SPEC, Lost, World, form

LONG_SPEC = {**SPEC, "fine_tune": {"epochs": 20, "batch_size": 64, "patience": None}}
# Longer than a worker rests between two looks for work.
TIME_TO_CLAIM = 20
COMPLAINTS = ("panicked", "error returned from database", "column", "does not exist")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    for binary in (arguments.old, arguments.new):
        if not binary.is_file() or not binary.with_name("secateur-engine").is_file():
            print(
                f"`{binary}` is no secateur with a secateur-engine beside it (make test-upgrade OLD=PATH)",
                file=sys.stderr,
            )
            return 2
    folder = Path(tempfile.mkdtemp(prefix="secateur-upgrade-", dir=arguments.folder))
    folder.chmod(0o755)
    world = World(arguments.old.resolve(), folder)
    try:
        upgrade(world, arguments.new.resolve())
    except Lost as lost:
        print(f"failed: {lost}\nthe folder is {folder}", file=sys.stderr)
        world.stop()
        return 1
    world.stop()
    shutil.rmtree(folder)
    print("the upgrade lost nothing")
    return 0


def upgrade(world: World, new: Path) -> None:
    world.start("--slots", "0")
    print(f"old server and worker: {version(world)}", flush=True)
    began = submit(world, LONG_SPEC)
    until(world, began, lambda job: job["stage"] == "tune" and job["status"] == "running", "trains")

    old_worker = world.worker
    assert old_worker and world.server
    world.server.terminate()
    world.server.wait()
    world.binary = new
    world.start_server("--slots", "0")
    world.wait_until_ready()
    print(f"new server: {version(world)}; the old worker trains on", flush=True)
    until_succeeded(world, began, "the job that the old worker had begun")

    waits = submit(world, SPEC)
    time.sleep(TIME_TO_CLAIM)
    status = world.ask("GET", f"/v1/jobs/{waits}")["status"]
    print(f"a new job is {status} after {TIME_TO_CLAIM} s with the old worker alone", flush=True)
    world.start_worker()
    until_succeeded(world, waits, "a job with workers of both versions")
    if old_worker.poll() is not None:
        raise Lost(f"the old worker ended with code {old_worker.returncode}")
    complaints = [line for line in (world.folder / "worker.log").read_text().splitlines() if is_complaint(line)]
    if complaints:
        raise Lost(f"a worker complained: {complaints[0]}")
    old_worker.terminate()
    old_worker.wait()
    until_succeeded(world, submit(world, {**SPEC, "seed": 1}), "a job with the new worker alone")


def is_complaint(line: str) -> bool:
    return any(word in line for word in COMPLAINTS)


def version(world: World) -> str:
    return subprocess.run([world.binary, "--version"], check=True, capture_output=True, text=True).stdout.strip()


def submit(world: World, spec: dict[str, Any]) -> str:
    return world.ask("POST", "/v1/jobs", *form(spec))["id"]


def until_succeeded(world: World, job: str, what: str) -> None:
    ended = until(world, job, lambda job: job["status"] in FINAL, "ends")
    if ended["status"] != "succeeded":
        raise Lost(f"{what} {ended['status']}: {json.dumps(ended['error'])}")
    print(f"{what} succeeded, attempts {world.made(job)['attempts']}", flush=True)


def until(world: World, job: str, is_so: Any, what: str) -> dict[str, Any]:
    started = time.monotonic()
    while not is_so(shown := world.ask("GET", f"/v1/jobs/{job}?wait=1")):
        if time.monotonic() - started > PATIENCE or (shown["status"] in FINAL and what != "ends"):
            raise Lost(f"job {job} never {what}: it is {shown['status']} at {shown['stage']}: {shown['error']}")
    return shown


if __name__ == "__main__":
    sys.exit(main())
