"""A real server for the tests: its program, a private PostgreSQL, its engine. Nothing of it is imitated.

``SECATEUR_BIN`` names the program, `target/debug/secateur` of the repository by default; the engine lies beside it. ``LIBTORCH`` is the folder
that the engine was linked against, as `scripts/env.sh` sets it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from secateur import Client

from .networks import make_digits, save, small_network, traced
from .proxy import Proxy
from .server import Server


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """The server computes too."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A server that the tests share and none of them stops."""
    with Server() as running:
        yield running


@pytest.fixture(scope="session")
def keyed_server() -> Iterator[Server]:
    """A server that asks for a key; ``keys`` has one of each scope."""
    with Server() as running:
        for scope in ("read", "submit", "admin"):
            running.make_key(scope)
        yield running


@pytest.fixture
def own_server() -> Iterator[Server]:
    """A server of one test, which may stop and start it."""
    with Server() as running:
        yield running


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    """A client of the shared server, without bars."""
    with Client(server.url, progress=False) as client:
        yield client


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    """A way to the shared server that can be cut."""
    with Proxy(server.port) as running:
        yield running


@pytest.fixture(scope="session")
def model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network, traced and saved."""
    path = tmp_path_factory.mktemp("models") / "small.pt"
    save(traced(small_network(), torch.zeros(2, 1, 8, 8)), path)
    return path


@pytest.fixture(scope="session")
def digits() -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures `[120, 1, 8, 8]`, float32, and their classes of 4, which a network could learn."""
    return make_digits(120)
