"""A Slurm of one node, which runs deploy/slurm/worker.sbatch as somebody who is not root."""

from __future__ import annotations

import os
import pwd
import re
import secrets
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

from backing import STORE_PORT, Database

from container import Failed

ROOT = Path(__file__).resolve().parent.parent.parent
NODE = "secateur-node"
# Slurm takes 65534 for nobody at all.
USER = "daemon"
PATIENCE = 600
IDLE_S = 15
# Long enough to be met in the middle.
LONG_EPOCHS = 12


def run(binary: Path, folder: Path, database: Database, api: Any, spec: dict[str, Any]) -> None:
    site = Slurm(folder / "slurm")
    url = database.create("slurm")
    server = None
    try:
        site.start()
        programs = site.install(binary)
        environment = {
            "DATABASE_URL": url,
            "SECATEUR_BLOBS": "s3://secateur/slurm",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{STORE_PORT}",
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "secateur",
            "AWS_SECRET_ACCESS_KEY": "secateur",
        }
        site.write_environment(programs, environment)
        server, client = start_server(programs / "secateur", folder, environment, api)
        check(site, database, client, spec)
    finally:
        if server:
            server.terminate()
            server.wait(60)
        site.stop()


def start_server(
    binary: Path, folder: Path, environment: dict[str, str], api: Any
) -> tuple[subprocess.Popen[bytes], Any]:
    with (folder / "slurm-server.log").open("wb") as log:
        server = subprocess.Popen(
            [binary, "serve", "--slots", "0", "--listen", "127.0.0.1:8090", "--data-dir", folder / "slurm-data"],
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    client, deadline = api("http://127.0.0.1:8090"), time.monotonic() + 60
    while not is_ready(client):
        if time.monotonic() > deadline or server.poll() is not None:
            raise Failed(f"the server for Slurm's workers does not start:\n{(folder / 'slurm-server.log').read_text()}")
        time.sleep(0.2)
    return server, client


def is_ready(client: Any) -> bool:
    try:
        client.ask("GET", "/readyz")
    except (OSError, Failed):
        return False
    return True


def check(site: Slurm, database: Database, client: Any, spec: dict[str, Any]) -> None:
    job = client.submit(spec)
    array = site.submit("--array=1-2")
    client.finished(job)
    took = database.workers("slurm", job)
    print(f"an array of two did a job, on the workers {', '.join(sorted(took))}", flush=True)
    if len(took) != 2:
        raise Failed(f"the job ran on {took}, and the array has two workers")
    since = time.monotonic()
    site.wait_for(array, "COMPLETED", 2)
    print(f"both ended by themselves {time.monotonic() - since:.0f} s later (idle for {IDLE_S} s)", flush=True)

    # What Slurm does some time before the limit: one of two is told to end in the middle of a task.
    longer = spec | {"fine_tune": spec["fine_tune"] | {"epochs": LONG_EPOCHS}}
    job = client.submit(longer)
    array = site.submit("--array=1-2")
    told = site.wait_for_task(database, job)
    site.command("scancel", "--batch", "--signal=TERM", f"{array}_{told}")
    site.wait_for(array, "COMPLETED", 1)
    client.finished(job)
    site.wait_for(array, "COMPLETED", 2)
    if 'end="given back"' not in site.said(array, told):
        raise Failed(f"the worker that was told to end did not give its task back:\n{site.said(array, told)}")
    print("one was told to end in the middle of a task and gave it back; the job succeeded on the other", flush=True)


class Slurm:
    """munged, slurmctld and slurmd, with all their files in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: list[subprocess.Popen[bytes]] = []
        self.home = folder / "home"

    def start(self) -> None:
        for name in ("", "munge", "state", "spool", "home"):
            (self.folder / name).mkdir()
        self.folder.chmod(0o755)
        user = pwd.getpwnam(USER)
        os.chown(self.home, user.pw_uid, user.pw_gid)
        key = self.folder / "munge/key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o600)
        (self.folder / "munge").chmod(0o755)
        socket = self.folder / "munge/socket"
        self.spawn(
            "munged",
            "--foreground",
            "--force",
            f"--key-file={key}",
            f"--socket={socket}",
            f"--log-file={self.folder}/munge/log",
            f"--pid-file={self.folder}/munge/pid",
            f"--seed-file={self.folder}/munge/seed",
        )
        self.wait(socket.exists, "munged's socket")
        (self.folder / "slurm.conf").write_text(self.settings(socket))
        # Nothing is put into groups here; the machine may have both versions of them, which Slurm does not want to choose from.
        (self.folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\nCgroupAutomount=no\n")
        self.spawn("slurmctld", "-D")
        self.spawn("slurmd", "-D")
        self.wait(lambda: "idle" in self.command("sinfo", "--noheader", "--format=%T"), "Slurm's node")
        print(f"{self.command('sinfo', '--version')}: one node, {os.cpu_count()} cores", flush=True)

    def settings(self, socket: Path) -> str:
        memory = int(re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())[1]) // 1024
        return f"""\
ClusterName=secateur
SlurmctldHost={NODE}(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={socket}
CredType=cred/munge
StateSaveLocation={self.folder}/state
SlurmdSpoolDir={self.folder}/spool
SlurmctldPidFile={self.folder}/slurmctld.pid
SlurmdPidFile={self.folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
ReturnToService=2
MailProg=/bin/true
NodeName={NODE} NodeAddr=127.0.0.1 CPUs={os.cpu_count()} RealMemory={memory - 512} State=UNKNOWN
PartitionName=all Nodes={NODE} Default=YES MaxTime=INFINITE State=UP
"""

    def spawn(self, *words: str) -> None:
        with (self.folder / f"{words[0]}.log").open("wb") as log:
            self.processes.append(
                subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment())
            )

    def environment(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "SLURM_CONF": str(self.folder / "slurm.conf"), "HOME": str(self.home)}

    def command(self, *words: str) -> str:
        """A program of Slurm's, as the user."""
        user = pwd.getpwnam(USER)
        become = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", "--"]
        done = subprocess.run(
            [*become, *words], capture_output=True, text=True, env=self.environment(), cwd=self.home, check=False
        )
        if done.returncode != 0:
            if words[0] == "sinfo":
                return ""
            raise Failed(f"{' '.join(words)}: {done.stderr.strip()}")
        return done.stdout.strip()

    def install(self, binary: Path) -> Path:
        """Programs and libtorch where the user can read them."""
        programs = self.folder / "bin"
        programs.mkdir()
        for name in ("secateur", "secateur-engine"):
            shutil.copy(binary.with_name(name), programs)
        subprocess.run(["cp", "--recursive", f"{os.environ['LIBTORCH']}/lib", self.folder / "libtorch"], check=True)
        return programs

    def write_environment(self, programs: Path, environment: dict[str, str]) -> None:
        """The file that worker.sbatch reads."""
        path = self.home / ".config/secateur/worker.env"
        path.parent.mkdir(parents=True)
        own = {
            "SECATEUR": str(programs / "secateur"),
            "LD_LIBRARY_PATH": str(self.folder / "libtorch"),
            "SECATEUR_SANDBOX": "require",
            "SECATEUR_EXIT_WHEN_IDLE": str(IDLE_S),
        }
        path.write_text("".join(f"{name}='{value}'\n" for name, value in (environment | own).items()))
        path.chmod(0o600)
        user = pwd.getpwnam(USER)
        for owned in (path, path.parent, path.parent.parent):
            os.chown(owned, user.pw_uid, user.pw_gid)

    def submit(self, *options: str) -> str:
        """The number of an array job with half of the node for each of two."""
        small = ["--cpus-per-task=1", "--mem=2G"]
        return self.command("sbatch", "--parsable", *small, *options, str(ROOT / "deploy/slurm/worker.sbatch"))

    def states(self, array: str) -> list[str]:
        return re.findall(r"JobState=(\w+)", self.command("scontrol", "show", "job", array))

    def wait_for(self, array: str, state: str, number: int) -> None:
        def holds() -> bool:
            found = self.states(array)
            if set(found) - {state, "RUNNING", "PENDING", "COMPLETING"}:
                raise Failed(
                    f"the tasks of array job {array} are {found}:\n{self.said(array, 1)}\n{self.said(array, 2)}"
                )
            return found.count(state) >= number

        self.wait(holds, f"{number} of array job {array} {state}")

    def wait_for_task(self, database: Database, job: str) -> int:
        """The number in the array of a worker that trains a candidate of the job."""
        identity = job.removeprefix("job_")
        statement = (
            "select split_part(worker, '/', 1) from task where state = 'running' and stage = 'tune' "
            f"and job_id = '{identity}'"
        )
        found: list[str] = []

        def holds() -> bool:
            found[:] = database.ask("slurm", statement).split()
            return bool(found)

        self.wait(holds, "a worker trains")
        process = int(found[0].rsplit("-", 2)[1])
        environment = Path(f"/proc/{process}/environ").read_bytes().decode()
        return int(re.search(r"SLURM_ARRAY_TASK_ID=(\d+)", environment)[1])

    def said(self, array: str, number: int) -> str:
        path = self.home / f"slurm-{array}_{number}.out"
        return path.read_text(errors="replace")[-3000:] if path.exists() else ""

    def wait(self, holds: Any, what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not holds():
            for process in self.processes:
                if process.poll() is not None:
                    logs = [path.read_text(errors="replace")[-1500:] for path in sorted(self.folder.glob("*.log"))]
                    raise Failed(f"{process.args[0]} ended with {process.returncode}\n" + "\n".join(logs))
            if time.monotonic() > deadline:
                raise Failed(f"{what}: not so after {PATIENCE} s")
            time.sleep(0.5)

    def stop(self) -> None:
        for process in reversed(self.processes):
            process.terminate()
            process.wait(30)
