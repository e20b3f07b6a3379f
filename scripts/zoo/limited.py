"""Work in a child process with limits on time and memory, so that no model takes the zoo down with it."""

from __future__ import annotations

import os
import pickle
import resource
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Limits:
    seconds: int
    # Of address space, so more than what is resident.
    gigabytes: int


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    stdout: str
    stderr: str
    seconds: float
    # Largest resident size of the command and of what it started, one process at a time.
    peak_bytes: int


def run_command(command: list[str], limits: Limits, scratch: Path) -> Ended:
    """Runs a command in a process group of its own, which is ended whole when the time is up (code -9)."""
    out, err = scratch / "stdout", scratch / "stderr"
    started = time.monotonic()
    with out.open("wb") as stdout, err.open("wb") as stderr:
        process = subprocess.Popen(
            command,
            stdout=stdout,
            stderr=stderr,
            stdin=subprocess.DEVNULL,
            process_group=0,
            # No other thread runs here that could hold a lock.
            preexec_fn=lambda: limit_memory(limits),  # noqa: PLW1509
        )
        code, usage = wait(process.pid, limits.seconds, started, os.killpg)
    process.returncode = code
    return Ended(
        code,
        out.read_text(errors="replace"),
        err.read_text(errors="replace"),
        time.monotonic() - started,
        usage.ru_maxrss * 1024,
    )


def call(work: Callable[[], object], limits: Limits) -> object:
    """Calls `work` in a fork and returns what it returns, or the error that ended it."""
    reader, writer = os.pipe()
    started = time.monotonic()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        limit_memory(limits)
        try:
            result: object = work()
        except BaseException as error:  # whatever a model raises is a result here
            # Short, because it has to fit into the pipe: the parent reads when the child has ended.
            result = RuntimeError(f"{type(error).__name__}: {error}"[:4000])
        with os.fdopen(writer, "wb") as pipe:
            pickle.dump(result, pipe)
        os._exit(0)
    os.close(writer)
    code, _ = wait(pid, limits.seconds, started, os.kill)
    with os.fdopen(reader, "rb") as pipe:
        answer = pipe.read()
    if not answer:
        return RuntimeError(
            f"took more than {limits.seconds} s" if code == -signal.SIGKILL else f"died with code {code}"
        )
    return pickle.loads(answer)


def limit_memory(limits: Limits) -> None:
    size = limits.gigabytes << 30
    resource.setrlimit(resource.RLIMIT_AS, (size, size))


def wait(
    pid: int, seconds: int, started: float, kill: Callable[[int, int], None]
) -> tuple[int, resource.struct_rusage]:
    while True:
        ended, status, usage = os.wait4(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status), usage
        if time.monotonic() - started > seconds:
            kill(pid, signal.SIGKILL)
            _, status, usage = os.wait4(pid, 0)
            return os.waitstatus_to_exitcode(status), usage
        time.sleep(0.02)
