"""A real server for the recipes, which asks for keys, and a place to run the commands of a page in.

``SECATEUR_BIN`` names the program; the engine lies beside it. ``LIBTORCH`` is the folder that the engine was linked against. `scripts/test-recipes.sh`
sets both.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from secateur import Client
from server import Server, free_port

from page import OFFLINE, Place, base_environment

# Before a test module imports one of them.
os.environ.update(OFFLINE)


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A server with a key of each scope, that may send webhooks to this machine."""
    with Server("--webhook-allow", "127.0.0.1") as running:
        for scope in ("read", "submit", "admin"):
            running.make_key(scope)
        yield running


@pytest.fixture(scope="session")
def client(server: Server) -> Iterator[Client]:
    """A client with the key that submits."""
    with Client(server.url, server.keys["submit"], progress=False) as client:
        yield client


@pytest.fixture
def environment(server: Server) -> dict[str, str]:
    """What the commands of every page find: the server and a key that submits."""
    return base_environment() | {"SECATEUR_URL": server.url, "SECATEUR_KEY": server.keys["submit"]}


PlaceOf = Callable[..., Place]


@pytest.fixture
def place_of(tmp_path: Path, environment: dict[str, str]) -> PlaceOf:
    """A place for a page; ``ports`` are those that the page names."""

    def make(page: str, *ports: int, **more: str) -> Place:
        return Place(page, tmp_path, environment | more, {port: free_port() for port in ports})

    return make
