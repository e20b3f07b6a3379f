"""The example does what its page says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from .server import Server

EXAMPLE = Path(__file__).resolve().parents[3] / "examples/prune_module.py"


def test_four_modules_go_the_whole_way(server: Server) -> None:
    environment = {**os.environ, "SECATEUR_URL": server.url, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, EXAMPLE], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name in ("resnet18", "mobilenet_v2", "vit", "bilstm"):
        assert f"{name}: <Report MACs" in done.stdout
