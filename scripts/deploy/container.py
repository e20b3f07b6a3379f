"""Images by buildah, and containers of them by crun, an OCI runtime, without an engine such as Docker's.

What a runtime does is real here: a root file system that may be read-only, the image's user, no capabilities, no-new-privileges, mounts, process and
host names of a container's own, and a seccomp profile. The network is that of whoever starts them, and there are no limits of memory and cores:
both would need more of the machine than a test should take. Needs root, and a mount namespace of one's own with version 2 of cgroups alone
(`inside.py` makes it).
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import resource
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# The default of Podman and CRI-O, as Debian packages it.
SECCOMP = Path("/usr/share/containers/seccomp.json")
# What that profile allows everybody, and Docker's and containerd's defaults allow only who has CAP_SYS_ADMIN.
OF_NAMESPACES = {"unshare", "setns", "clone", "clone3", "mount", "umount", "umount2", "mount_setattr", "move_mount"}
OF_NAMESPACES |= {"fsconfig", "fsmount", "fsopen", "fspick", "open_tree"}
# The flags of `clone` that make namespaces.
CLONE_NEW = 0x7E020000


class Failed(Exception):
    """Something that is not as it should be; the message says what."""


class Images:
    """The images of one storage, which CONTAINERS_STORAGE_CONF names."""

    def __init__(self, folder: Path) -> None:
        """Makes a storage in the folder, without overlays, which not every machine has."""
        self.folder = folder
        settings = folder / "storage.conf"
        folder.mkdir(parents=True, exist_ok=True)
        settings.write_text(
            f'[storage]\ndriver = "vfs"\ngraphroot = "{folder / "images"}"\nrunroot = "{folder / "run"}"\n'
        )
        os.environ |= {"CONTAINERS_STORAGE_CONF": str(settings), "BUILDAH_ISOLATION": "chroot"}
        self.roots: dict[str, Path] = {}

    def import_base(self, name: str, archive: Path) -> None:
        """An image of one layer, from a tar."""
        container = buildah("from", "scratch")
        buildah("add", "--quiet", container, str(archive), "/")
        buildah("commit", "--quiet", container, name)
        buildah("rm", container)

    def described(self, image: str) -> dict[str, Any]:
        return json.loads(buildah("inspect", "--type", "image", image))

    def settings(self, image: str) -> dict[str, Any]:
        """User, environment, command, labels and health check, as Docker calls them."""
        return self.described(image)["Docker"]["config"]

    def size(self, image: str) -> int:
        """Bytes of all layers, unpacked."""
        return sum(layer["size"] for layer in self.layers(image))

    def layers(self, image: str) -> list[dict[str, Any]]:
        known = json.loads((self.folder / "images/vfs-layers/layers.json").read_text())
        by_digest = {layer["diff-digest"]: {"size": layer["diff-size"]} for layer in known if "diff-digest" in layer}
        return [by_digest[digest] for digest in self.described(image)["Docker"]["rootfs"]["diff_ids"]]

    def root(self, image: str) -> Path:
        """The image's files. One copy for all containers, whose root file systems are read-only."""
        if image not in self.roots:
            copy = f"{image}-root"
            if copy not in buildah("containers", "--format", "{{.ContainerName}}").split():
                buildah("from", "--pull-never", "--name", copy, image)
            self.roots[image] = Path(buildah("mount", copy))
        return self.roots[image]

    def remove(self) -> None:
        subprocess.run(["buildah", "rm", "--all"], stdout=subprocess.DEVNULL, check=False)
        shutil.rmtree(self.folder, ignore_errors=True)


def buildah(*words: str) -> str:
    done = subprocess.run(["buildah", *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failed(f"buildah {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout.strip()


@dataclass
class Container:
    """One container; `folder` holds its bundle, its log and what it may write."""

    images: Images
    image: str
    name: str
    folder: Path
    arguments: list[str] | None = None
    environment: dict[str, str] = field(default_factory=dict)
    # Paths in the container that it may write to. A volume of Docker's belongs to the image's user, an `emptyDir` to root and the group.
    volumes: dict[str, Path] = field(default_factory=dict)
    # Names that mean this machine.
    hosts: list[str] = field(default_factory=list)
    # Podman's and CRI-O's profile of seccomp lets a container make namespaces, Docker's and containerd's does not.
    makes_namespaces: bool = False
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self.folder / f"{self.name}.log"

    def said(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def start(self) -> Container:
        bundle = self.folder / f"{self.name}.bundle"
        bundle.mkdir(parents=True)
        hosts = bundle / "hosts"
        hosts.write_text(f"127.0.0.1 {' '.join(['localhost', *self.hosts])}\n")
        (bundle / "config.json").write_text(json.dumps(self.specification(hosts)))
        with self.log.open("wb") as log:
            # The runtime gives its standard streams to the container's user, so they must not be the machine's /dev/null.
            self.process = subprocess.Popen(
                [*CRUN, "run", "--bundle", bundle, self.name], stdin=subprocess.PIPE, stdout=log, stderr=log
            )
        return self

    def specification(self, hosts: Path) -> dict[str, Any]:
        """The OCI runtime's config.json."""
        settings = self.images.settings(self.image)
        user, _, group = settings["User"].partition(":")
        arguments = self.arguments if self.arguments is not None else settings["Cmd"]
        environment = dict(line.split("=", 1) for line in settings["Env"]) | self.environment
        files = min(65536, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
        bound = [
            {"destination": "/etc/hosts", "source": str(hosts), "type": "bind", "options": ["bind", "ro"]},
            *(
                {"destination": path, "source": str(folder), "type": "bind", "options": ["rbind", "rw", *SAFE]}
                for path, folder in self.volumes.items()
            ),
        ]
        return {
            "ociVersion": "1.0.2",
            "hostname": self.name,
            "root": {"path": str(self.images.root(self.image)), "readonly": True},
            "process": {
                "terminal": False,
                "user": {"uid": int(user), "gid": int(group)},
                "args": [*settings["Entrypoint"], *arguments],
                "env": [f"{name}={value}" for name, value in environment.items()],
                "cwd": "/",
                "capabilities": {kind: [] for kind in ("bounding", "effective", "inheritable", "permitted", "ambient")},
                "noNewPrivileges": True,
                "rlimits": [{"type": "RLIMIT_NOFILE", "soft": files, "hard": files}],
            },
            "mounts": [*MOUNTS, *bound],
            "linux": {
                "namespaces": [{"type": kind} for kind in ("pid", "ipc", "uts", "mount")],
                "maskedPaths": ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"],
                "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
                "seccomp": seccomp(self.makes_namespaces),
            },
        }

    def is_healthy(self) -> bool:
        """What the image's HEALTHCHECK says now."""
        kind, *words = self.images.settings(self.image)["Healthcheck"]["Test"]
        if kind != "CMD":
            raise Failed(f"the health check of {self.image} is no CMD")
        return self.execute(*words).returncode == 0

    def execute(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Runs a program in the container, confined as its first process is."""
        bundle = self.folder / f"{self.name}.bundle"
        process = json.loads((bundle / "config.json").read_text())["process"] | {"args": list(words)}
        described = bundle / "process.json"
        described.write_text(json.dumps(process))
        return subprocess.run(
            [*CRUN, "exec", "--process", described, self.name],
            capture_output=True,
            text=True,
            stdin=subprocess.PIPE,
            check=False,
        )

    def wait(self, seconds: float) -> int:
        """The code with which it ends."""
        assert self.process
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failed(f"{self.name} runs after {seconds:g} s:\n{self.said()[-3000:]}") from None

    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def stop(self, seconds: float = 60) -> int:
        """Ends it as a supervisor does, and says with which code it ended."""
        if self.is_running():
            subprocess.run([*CRUN, "kill", self.name, "TERM"], check=False)
        return self.wait(seconds)

    def kill(self) -> None:
        if self.is_running():
            assert self.process
            subprocess.run([*CRUN, "kill", self.name, "KILL"], check=False, capture_output=True)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(10)
            if self.is_running():
                self.process.send_signal(signal.SIGKILL)


CRUN = ["crun", "--cgroup-manager=disabled", "--root", "/run/secateur-crun"]
SAFE = ("nosuid", "nodev")
MOUNTS = [
    {"destination": "/proc", "type": "proc", "source": "proc"},
    {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=65536k"]},
    {
        "destination": "/dev/pts",
        "type": "devpts",
        "source": "devpts",
        "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"],
    },
    {
        "destination": "/dev/shm",
        "type": "tmpfs",
        "source": "shm",
        "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"],
    },
    {
        "destination": "/sys",
        "type": "sysfs",
        "source": "sysfs",
        "options": ["nosuid", "noexec", "nodev", "ro"],
    },
    {
        "destination": "/sys/fs/cgroup",
        "type": "cgroup",
        "source": "cgroup",
        "options": ["nosuid", "noexec", "nodev", "ro"],
    },
]


def seccomp(makes_namespaces: bool) -> dict[str, Any]:
    """The profile as it is for a process without capabilities, in the runtime's form."""
    profile = json.loads(SECCOMP.read_text())
    rules = []
    for entry in profile["syscalls"]:
        includes, excludes = entry.get("includes") or {}, entry.get("excludes") or {}
        if includes.get("caps") or "amd64" not in includes.get("arches", ["amd64"]):
            continue
        if "amd64" in excludes.get("arches", []):
            continue
        names = [name for name in entry["names"] if makes_namespaces or name not in OF_NAMESPACES]
        rule = {"names": names, "action": entry["action"]}
        if entry.get("errnoRet") is not None:
            rule["errnoRet"] = entry["errnoRet"]
        if entry.get("args"):
            rule["args"] = entry["args"]
        if names:
            rules.append(rule)
    if not makes_namespaces:
        flags = {"index": 0, "value": CLONE_NEW, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}
        rules += [
            {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": [flags]},
            # Its flags are in memory, where no filter sees them. Without it the C library takes `clone`.
            {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": errno.ENOSYS},
        ]
    native = next(entry for entry in profile["archMap"] if entry["architecture"] == "SCMP_ARCH_X86_64")
    return {
        "defaultAction": profile["defaultAction"],
        "defaultErrnoRet": profile.get("defaultErrnoRet", errno.EPERM),
        "architectures": [native["architecture"], *native["subArchitectures"]],
        "syscalls": rules,
    }


def wait_until(what: str, holds: Any, seconds: float, *containers: Container) -> None:
    """Waits until `holds()`, and fails when one of the containers ends before."""
    deadline = time.monotonic() + seconds
    while not holds():
        for container in containers:
            if not container.is_running():
                raise Failed(f"{container.name} ended before {what}:\n{container.said()[-3000:]}")
        if time.monotonic() > deadline:
            said = "\n".join(container.said()[-3000:] for container in containers)
            raise Failed(f"{what} is not so after {seconds:g} s\n{said}")
        time.sleep(0.2)
