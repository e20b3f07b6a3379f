"""A `secateur serve` in a temporary folder."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType

import httpx
from typing_extensions import Self

ROOT = Path(__file__).resolve().parents[3]
_READY_SECONDS = 120
_STOP_SECONDS = 60


class Server:
    """A server with a database of its own. It may be stopped, killed and started again on the same port with the same data."""

    def __init__(self, *options: str) -> None:
        self._binary = Path(os.environ.get("SECATEUR_BIN") or ROOT / "target/debug/secateur")
        if not os.access(self._binary, os.X_OK):
            raise RuntimeError(f"{self._binary} is not there: build it, or set SECATEUR_BIN")
        self._options = options
        self._folder = Path(tempfile.mkdtemp(prefix="secateur-client-"))
        # When root runs this, the database server runs under another uid and has to pass through.
        self._folder.chmod(0o755)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.keys: dict[str, str] = {}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def start(self) -> None:
        """Starts the server and waits until it is ready."""
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._binary, "serve", "--listen", f"127.0.0.1:{self.port}", "--data-dir", self._data, *self._options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment(),
                start_new_session=True,
            )
        deadline = time.monotonic() + _READY_SECONDS
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the server did not start:\n{self.log()[-4000:]}")
            time.sleep(0.1)

    def stop(self) -> None:
        """Ends the server as a supervisor would."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """Ends the server without a word."""
        self._process.kill()
        self._process.wait()

    def make_key(self, scope: str) -> str:
        """Makes a key with this scope; from then on the server asks for one."""
        words = [str(self._binary), "key", "create", "--name", scope, "--scope", scope, "--data-dir", str(self._data)]
        made = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True, env=self._environment())
        self.keys[scope] = made.stdout.strip()
        return self.keys[scope]

    def log(self) -> str:
        """What it has logged so far."""
        return (self._folder / "server.log").read_text(errors="replace")

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def _is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/readyz", timeout=5).is_success
        except httpx.TransportError:
            return False

    def _environment(self) -> dict[str, str]:
        environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
        environment["OMP_NUM_THREADS"] = "1"
        if libtorch := os.environ.get("LIBTORCH"):
            # Not in the environment of the tests: Python's torch brings its own libraries.
            environment["LD_LIBRARY_PATH"] = f"{libtorch}/lib"
        return environment


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
