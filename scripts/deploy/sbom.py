#!/usr/bin/env python3
"""Writes what an image is made of, as CycloneDX 1.5, to stdout.

    python3 scripts/deploy/sbom.py Cargo.lock secateur secateur-engine --libtorch cpu

The named packages and everything that Cargo.lock says they depend on are listed, with the SHA-256 of their sources. Cargo.lock does not
tell what is only needed to build or to test, so these are listed too. With --libtorch the wheels that scripts/setup-libtorch.sh fetches for
that device are listed as well. The packages of the base image are not: its own dpkg database has them. The same input gives the same bytes.
Needs Python 3.11 alone.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

import tomllib

SETUP_LIBTORCH = Path(__file__).resolve().parent.parent / "setup-libtorch.sh"
# The lists of wheels in that script, by device.
WHEELS = {"cpu": ("TORCH_WHEEL", "CUDA_STUB_WHEELS"), "cuda": ("TORCH_WHEEL", "CUDA_STUB_WHEELS", "CUDA_WHEELS")}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lock", type=Path)
    parser.add_argument("packages", nargs="+")
    parser.add_argument("--libtorch", choices=sorted(WHEELS))
    arguments = parser.parse_args()
    packages = Packages(tomllib.loads(arguments.lock.read_text())["package"])
    roots = [packages.named(name) for name in arguments.packages]
    found = packages.below(roots)
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": component(roots[0]) | {"type": "application"}},
        "components": [component(package) for package in found if package is not roots[0]],
        "dependencies": [
            {"ref": reference(package), "dependsOn": [reference(needed) for needed in packages.needs(package)]}
            for package in found
        ],
    }
    if arguments.libtorch:
        document["components"] += wheels(SETUP_LIBTORCH.read_text(), WHEELS[arguments.libtorch])
    json.dump(document, sys.stdout, indent=1)
    print()
    return 0


class Packages:
    """Cargo.lock, as a graph."""

    def __init__(self, packages: list[dict[str, Any]]) -> None:
        self.by_name: dict[str, list[dict[str, Any]]] = {}
        for package in packages:
            self.by_name.setdefault(package["name"], []).append(package)

    def named(self, words: str) -> dict[str, Any]:
        """`name`, or `name version` where there are several, or `name version (source)`."""
        name, *version = words.split()
        found = [package for package in self.by_name.get(name, []) if not version or package["version"] == version[0]]
        if len(found) != 1:
            sys.exit(f"error: Cargo.lock has {len(found)} packages {words}")
        return found[0]

    def needs(self, package: dict[str, Any]) -> list[dict[str, Any]]:
        return [self.named(words) for words in package.get("dependencies", [])]

    def below(self, roots: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The roots and all that they need, each once, by name and version."""
        found = {reference(root): root for root in roots}
        waiting = list(roots)
        while waiting:
            for needed in self.needs(waiting.pop()):
                if reference(needed) not in found:
                    found[reference(needed)] = needed
                    waiting.append(needed)
        return [found[key] for key in sorted(found)]


def reference(package: dict[str, Any]) -> str:
    return f"pkg:cargo/{package['name']}@{package['version']}"


def component(package: dict[str, Any]) -> dict[str, Any]:
    described = {
        "type": "library",
        "bom-ref": reference(package),
        "name": package["name"],
        "version": package["version"],
        "purl": reference(package),
    }
    if "checksum" in package:
        described["hashes"] = [{"alg": "SHA-256", "content": package["checksum"]}]
    return described


def wheels(script: str, lists: tuple[str, ...]) -> list[dict[str, Any]]:
    """The wheels that are pinned in the shell variables of these names."""
    found = []
    for name in lists:
        assigned = re.search(rf"^{name}='([^']*)'", script, re.MULTILINE)
        if not assigned:
            sys.exit(f"error: {SETUP_LIBTORCH} has no {name}")
        for line in assigned[1].splitlines():
            wheel, version, digest = re.fullmatch(r"([\w.-]+)==(\S+) --hash=sha256:(\w+)", line).groups()
            purl = f"pkg:pypi/{wheel}@{version}"
            hashes = [{"alg": "SHA-256", "content": digest}]
            found.append(
                {"type": "library", "bom-ref": purl, "name": wheel, "version": version, "purl": purl, "hashes": hashes}
            )
    return found


if __name__ == "__main__":
    sys.exit(main())
