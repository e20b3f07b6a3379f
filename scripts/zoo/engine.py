"""Which build of the engine takes the steps."""

from __future__ import annotations

import hashlib
from pathlib import Path


def engine_beside(secateur: Path) -> Path:
    return secateur.with_name("secateur-engine")


def build_of(secateur: Path) -> str:
    """The first 12 hexadecimal digits of the SHA-256 of the engine beside the program."""
    return hashlib.sha256(engine_beside(secateur).read_bytes()).hexdigest()[:12]
