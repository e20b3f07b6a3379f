"""The pages of docs/recipes, and a place in which the commands that stand on them are run.

A page has commands in blocks of ``sh`` with a name (```` ```sh prune ````), which the test of the page runs as they stand, in bash and in a folder
that looks like the checkout. The block ``install`` is the exception: ``scripts/setup-recipes.sh`` has installed the same requirements.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from waiting import wait_for

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "docs/recipes"
INSTALL = "install"
BASH = ("bash", "-euo", "pipefail", "-c")
_BLOCK = re.compile(r"^```(?P<language>\w+)(?: (?P<name>[\w-]+))?\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_STOP_SECONDS = 30
#: The other programs tell nobody of these runs, and fetch nothing by themselves.
OFFLINE = {
    "DO_NOT_TRACK": "true",
    "ITERATIVE_DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DVC_NO_ANALYTICS": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
}


@dataclass(frozen=True)
class Block:
    """What stands between two fences."""

    language: str
    name: str | None
    text: str


def blocks(page: str) -> list[Block]:
    """The fenced blocks of a page of docs/recipes, in their order."""
    text = (PAGES / f"{page}.md").read_text()
    return [Block(found["language"], found["name"], found["text"]) for found in _BLOCK.finditer(text)]


class Place:
    """A folder with links to what the checkout has, in which the commands of one page are run.

    ``ports`` are those that the page names, each with the free one that takes its place, so that nothing else on the machine is in the way.
    """

    def __init__(self, page: str, folder: Path, environment: dict[str, str], ports: dict[int, int]) -> None:
        self.folder = folder
        self.environment = environment
        self._ports = ports
        self._commands = {str(block.name): block.text for block in blocks(page) if block.language == "sh"}
        self._left = set(self._commands) - {INSTALL}
        self._services: dict[str, subprocess.Popen[bytes]] = {}
        for name in ("clients", "deploy", "examples"):
            (folder / name).symlink_to(ROOT / name)

    def __enter__(self) -> Place:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for service in self._services.values():
            if service.poll() is None:
                os.killpg(service.pid, signal.SIGTERM)
        for service in self._services.values():
            _wait_or_kill(service)
        if error is None:
            assert not self._left, f"the page has commands that its test does not run: {sorted(self._left)}"

    def port(self, written: int) -> int:
        """The port that takes the place of the one on the page."""
        return self._ports[written]

    def run(self, name: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Runs the block of this name to its end, whatever it exits with."""
        return self.shell(self._command(name), **environment)

    def shell(self, command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Runs another command in the same place."""
        return subprocess.run(
            [*BASH, command],
            cwd=self.folder,
            env=self.environment | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def succeed(self, name: str, **environment: str) -> str:
        """Runs the block of this name, which has to exit with 0, and returns what it prints."""
        done = self.run(name, **environment)
        assert done.returncode == 0, f"`{name}` exited with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def start(self, name: str, **environment: str) -> None:
        """Starts the block of this name, which goes on until the place is left."""
        with self.log(name).open("wb") as log:
            self._services[name] = subprocess.Popen(
                [*BASH, self._command(name)],
                cwd=self.folder,
                env=self.environment | environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def log(self, name: str) -> Path:
        """Where a service that was started writes what it prints."""
        return self.folder / f"{name}.log"

    def wait_for(self, name: str, answered: Callable[[], bool], seconds: float = 120) -> None:
        """Waits until a service that was started does so; fails when it has ended."""
        wait_for(lambda: self._require_running(name) or answered(), f"`{name}` is ready", seconds)

    def _require_running(self, name: str) -> None:
        code = self._services[name].poll()
        assert code is None, f"`{name}` ended with {code}:\n{self.log(name).read_text(errors='replace')[-4000:]}"

    def _command(self, name: str) -> str:
        command = self._commands[name]
        self._left.discard(name)
        for written, free in self._ports.items():
            command = re.sub(rf"\b{written}\b", str(free), command)
        return command


def _wait_or_kill(service: subprocess.Popen[bytes]) -> None:
    try:
        service.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(service.pid, signal.SIGKILL)
        service.wait()


def set_up(name: str) -> Path:
    """What a set-up script fetches into the cache, once."""
    done = subprocess.run([ROOT / f"scripts/setup-{name}.sh"], check=True, stdout=subprocess.PIPE, text=True)
    return Path(done.stdout.splitlines()[-1])


def base_environment() -> dict[str, str]:
    """What commands of a page find: the programs of the test's own Python, and no settings of whoever runs the tests."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SECATEUR_", "GITHUB_"))}
    programs = [str(Path(sys.executable).parent), str(Path(os.environ["SECATEUR_BIN"]).parent)]
    return kept | OFFLINE | {"PATH": os.pathsep.join([*programs, kept["PATH"]]), "OMP_NUM_THREADS": "1"}
