#!/usr/bin/env python3
"""Builds the images and runs what docker/ and deploy/ describe, on this machine.

    python scripts/deploy/test.py SECATEUR [--only manifests images compose kubernetes slurm]

SECATEUR is a release binary with secateur-engine beside it, LIBTORCH the libtorch of that engine; SECATEUR_PG_BIN, or PATH, has PostgreSQL.

    manifests   kustomize renders deploy/kubernetes; what comes out is held against the schemas of Kubernetes and KEDA and against the
                profile `restricted`; compose.yaml is held against the Compose specification
    images      buildah builds server and worker on a base of mmdebstrap's, from the given binaries; size, user, labels and list of parts
    compose     the services of compose.yaml run as containers under crun, with PostgreSQL and moto for the two that come from elsewhere, and
                a job runs through a server and two workers
    kubernetes  the same with the pods of the manifests and their probes; KEDA's queries are asked of the real queue
    slurm       a Slurm of one node runs deploy/slurm/worker.sbatch as an array of two, which do a job and end

Containers and Slurm are in namespaces of their own (network, mounts, processes), so that no port is taken and nothing is left. Needs Linux,
root, and what scripts/setup-deploy.sh installs. The exit code is 0 only when everything was as it should be.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import manifests

from container import Failed, Images, buildah

ROOT = Path(__file__).resolve().parent.parent.parent
STEPS = ("manifests", "images", "compose", "kubernetes", "slurm")
WITH_IMAGES = ("images", "compose", "kubernetes")
BASE = "localhost/secateur-base"
# The server's image may be so much larger than its base.
SERVER_BYTES = 120_000_000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", type=Path)
    parser.add_argument("--only", nargs="+", choices=STEPS, default=STEPS)
    arguments = parser.parse_args()
    if os.geteuid() != 0 and set(arguments.only) != {"manifests"}:
        print("this needs root, for containers and namespaces", file=sys.stderr)
        return 2
    folder = Path(tempfile.mkdtemp(prefix="secateur-deploy-"))
    folder.chmod(0o755)
    images = Images(folder / "storage")
    try:
        if "manifests" in arguments.only:
            headline("manifests")
            manifests.check()
        if any(step in arguments.only for step in WITH_IMAGES):
            headline("images")
            build(images, arguments.binary.resolve())
        inside = [step for step in arguments.only if step in ("compose", "kubernetes", "slurm")]
        if inside and subprocess.run(enter(arguments.binary.resolve(), folder, inside), check=False).returncode != 0:
            return 1
    except Failed as failed:
        print(f"FAILED: {failed}", file=sys.stderr)
        return 1
    finally:
        images.remove()
        shutil.rmtree(folder, ignore_errors=True)
    print("\neverything was as it should be")
    return 0


def headline(step: str) -> None:
    print(f"\n==> {step}", flush=True)


def enter(binary: Path, folder: Path, steps: list[str]) -> list[str]:
    """Runs the other steps with mounts, network, host name and processes of their own; all ends with the first process."""
    namespaces = ["--mount", "--net", "--uts", "--ipc", "--pid", "--fork", "--kill-child", "--mount-proc"]
    inside = Path(__file__).with_name("inside.py")
    return ["unshare", *namespaces, sys.executable, str(inside), str(binary), str(folder), *steps]


def build(images: Images, binary: Path) -> None:
    base = subprocess.run([ROOT / "scripts/setup-base-image.sh"], check=True, capture_output=True, text=True)
    images.import_base(BASE, Path(base.stdout.strip().splitlines()[-1]))
    for name in ("server", "worker"):
        log = images.folder / f"{name}.log"
        with log.open("wb") as file:
            words = [
                ROOT / "scripts/deploy/images.sh",
                "--builder",
                "buildah",
                "--base",
                BASE,
                "--prebuilt",
                binary,
                name,
            ]
            if subprocess.run(words, stdout=file, stderr=file, check=False).returncode != 0:
                raise Failed(f"the image of the {name} cannot be built:\n{log.read_text(errors='replace')[-3000:]}")
        # What the stages of the build left.
        buildah("rmi", "--prune", "--force")
        check_image(images, name)


def check_image(images: Images, name: str) -> None:
    image = f"secateur-{name}"
    settings, labels = images.settings(image), images.settings(image)["Labels"]
    over_base = images.size(image) - images.size(BASE)
    print(f"{image}: {over_base / 1e6:.1f} MB over the base of {images.size(BASE) / 1e6:.1f} MB", flush=True)
    if name == "server" and over_base >= SERVER_BYTES:
        raise Failed(f"the server's image is {over_base} bytes larger than its base")
    if settings["User"] != "10001:10001" or not settings.get("Healthcheck"):
        raise Failed(f"{image} runs as {settings['User']!r}, with the health check {settings.get('Healthcheck')}")
    for label in ("title", "description", "licenses", "version", "revision", "created"):
        if not labels.get(f"org.opencontainers.image.{label}"):
            raise Failed(f"{image} has no label {label}: {labels}")
    root = images.root(image)
    parts = root / labels["secateur.sbom.path"].lstrip("/")
    if hashlib.sha256(parts.read_bytes()).hexdigest() != labels["secateur.sbom.sha256"]:
        raise Failed(f"{parts} is not what the label of {image} says")
    print(f"  {len(json.loads(parts.read_text())['components'])} parts are listed in {labels['secateur.sbom.path']}")
    writable = [path for path in walk(root) if is_writable(path)]
    if writable:
        raise Failed(f"the user of {image} may write to {writable[:5]}")
    if name == "server" and any(path.name.startswith(("libtorch", "secateur-engine")) for path in walk(root)):
        raise Failed("the server's image has libtorch or the engine in it")


def walk(root: Path) -> list[Path]:
    return [Path(folder) / name for folder, _, names in os.walk(root) for name in names]


def is_writable(path: Path) -> bool:
    """Whether the images' user may write to a file."""
    status = path.lstat()
    owns = (status.st_uid == 10001 and status.st_mode & 0o200) or (status.st_gid == 10001 and status.st_mode & 0o020)
    return not path.is_symlink() and path.is_file() and bool(owns or status.st_mode & 0o002)


if __name__ == "__main__":
    sys.exit(main())
