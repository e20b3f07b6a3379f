#!/usr/bin/env python3
"""The steps of `test.py` that start servers, within namespaces of their own; `test.py` starts it.

Ports are those of the files, on a loopback that nobody else has. The names `postgres` and `store` of compose.yaml mean that loopback.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
import sys
import time
import urllib.error
import urllib.request
from functools import partial
from pathlib import Path
from typing import Any

import manifests
import slurm
from backing import Database, Store

from container import Container, Failed, Images, wait_until

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from crash_test import FINAL, SPEC, form

USER = 10001
PATIENCE = 900
HOSTS = ["postgres", "store"]
LIGHT = {
    "method": "global_l2",
    "target": {"flops_reduction": 0.5},
    "input": {"mean": 4.9, "std": 6.0},
    "fine_tune": {"epochs": 1},
}
STORE = {"AWS_ACCESS_KEY_ID": "secateur", "AWS_SECRET_ACCESS_KEY": "secateur"}


def main() -> int:
    binary, folder, steps = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]
    settle(folder)
    database = Database(folder, secrets.token_urlsafe(24))
    images = Images(folder / "storage")
    containers: list[Container] = []
    try:
        database.start()
        store = Store()
        store.start()
        site = Site(folder, images, database, containers)
        for step in steps:
            print(f"\n==> {step}", flush=True)
            if step == "slurm":
                slurm.run(binary, folder, database, Api, SPEC)
            else:
                {"compose": compose, "kubernetes": kubernetes}[step](site)
    except Failed as failed:
        print(f"FAILED: {failed}", file=sys.stderr)
        return 1
    finally:
        for container in containers:
            container.kill()
        database.stop()
    return 0


def settle(folder: Path) -> None:
    """Version 2 of cgroups alone, which the runtime asks for, a loopback, and a name: all of these namespaces only."""
    hosts = folder / "hosts"
    hosts.write_text(f"127.0.0.1 localhost {slurm.NODE}\n")
    subprocess.run(["mount", "--bind", hosts, "/etc/hosts"], check=True)
    subprocess.run(["umount", "--recursive", "--lazy", "/sys/fs/cgroup"], check=True)
    subprocess.run(["mount", "-t", "cgroup2", "none", "/sys/fs/cgroup"], check=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    # With nothing but 127.0.0.1 the C library finds no address to listen on for Slurm.
    subprocess.run(["ip", "address", "add", "192.0.2.1/32", "dev", "lo"], check=True)
    subprocess.run(["hostname", slurm.NODE], check=True)


class Api:
    """The server, as a client sees it; one on the loopback interface needs no key."""

    def __init__(self, url: str, key: str | None = None) -> None:
        self.url, self.key = url, key

    def answers_to(self, name: str) -> bool:
        """Whether the server takes a request that was sent to it by this name."""
        request = urllib.request.Request(f"{self.url}/v1/jobs", headers={"host": name})
        request.add_header("authorization", f"Bearer {self.key}")
        try:
            with urllib.request.urlopen(request, timeout=60):
                return True
        except urllib.error.HTTPError as error:
            if error.code != 421:
                raise Failed(f"{name}: {error.code}") from None
            return False

    def ask(self, method: str, path: str, body: bytes | None = None, kind: str | None = None) -> Any:
        request = urllib.request.Request(self.url + path, data=body, method=method)
        if self.key:
            request.add_header("authorization", f"Bearer {self.key}")
        if kind:
            request.add_header("content-type", kind)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                content = answer.read()
        except urllib.error.HTTPError as error:
            raise Failed(f"{method} {path}: {error.code} {error.read().decode(errors='replace')[:500]}") from None
        return json.loads(content) if content else None

    def submit(self, spec: dict[str, Any]) -> str:
        return self.ask("POST", "/v1/jobs", *form(spec))["id"]

    def finished(self, job: str) -> dict[str, Any]:
        """The report of a job, once it has succeeded."""
        deadline = time.monotonic() + PATIENCE
        while (shown := self.ask("GET", f"/v1/jobs/{job}?wait=5"))["status"] not in FINAL:
            if time.monotonic() > deadline:
                raise Failed(f"job {job} is {shown['status']} at {shown['stage']} after {PATIENCE} s")
        if shown["status"] != "succeeded":
            raise Failed(f"job {job} {shown['status']}: {shown['error']}")
        return self.ask("GET", f"/v1/jobs/{job}/artifacts/report.json")


class Site:
    def __init__(self, folder: Path, images: Images, database: Database, containers: list[Container]) -> None:
        self.folder, self.images, self.database, self.containers = folder, images, database, containers

    def run(self, name: str, image: str, mode: int, owner: int, paths: list[str], **more: Any) -> Container:
        """A container that starts now; its volumes are empty folders of a mode and an owner, with the group of the images' user."""
        volumes = {}
        for number, path in enumerate(paths):
            volumes[path] = self.folder / f"{name}-{number}"
            volumes[path].mkdir()
            os.chown(volumes[path], owner, USER)
            volumes[path].chmod(mode)
        container = Container(self.images, image, name, self.folder, volumes=volumes, hosts=HOSTS, **more).start()
        self.containers.append(container)
        return container

    def run_to_end(self, container: Container) -> str:
        """What a container says that ends by itself."""
        if container.wait(120) != 0:
            raise Failed(f"{container.name} failed:\n{container.said()}")
        return container.said()

    def stop(self, *containers: Container) -> None:
        for container in containers:
            started, code = time.monotonic(), container.stop()
            if code != 0:
                raise Failed(f"{container.name} ended with {code} on SIGTERM:\n{container.said()[-3000:]}")
            print(f"{container.name} ended on SIGTERM: {time.monotonic() - started:.1f} s", flush=True)


def key_of(said: str) -> str:
    return next(line for line in said.splitlines() if line.startswith("sec_"))


def tell(job: str, report: dict[str, Any], took: set[str]) -> None:
    base, pruned = report["base"], report["pruned"]
    print(f"job {job} succeeded on the workers {', '.join(sorted(took))}:", end=" ")
    print(f"{base['macs']:,} MACs before, {pruned['macs']:,} after", flush=True)


def tell_sandbox(worker: Container) -> None:
    """How the worker's engines are confined, as its log says."""
    found = re.search(r'engines are confined.*?layers"?[=:]"([^"]*)"', worker.said())
    if not found or "landlock" not in found[1] or "seccomp" not in found[1]:
        raise Failed(f"the engines of {worker.name} are not confined:\n{worker.said()}")
    profile = "Podman and CRI-O" if worker.makes_namespaces else "Docker and containerd"
    print(f"{worker.name}, with the seccomp profile of {profile}: {found[1]}", flush=True)


# ---- compose.yaml


def compose(site: Site) -> None:
    environment = {
        "POSTGRES_PASSWORD": site.database.password,
        "STORE_KEY": STORE["AWS_ACCESS_KEY_ID"],
        "STORE_SECRET": STORE["AWS_SECRET_ACCESS_KEY"],
    }
    services = manifests.services(environment)
    site.database.create("secateur")

    def service(name: str, container: str, arguments: list[str] | None = None, **changed: str) -> Container:
        settings = services[name]
        confined = {"read_only": True, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges:true"]}
        if any(settings.get(field) != value for field, value in confined.items()):
            raise Failed(f"the service {name} is not confined as it is run here")
        return site.run(
            container,
            settings["image"],
            # What Docker makes of a volume over a folder of the image.
            0o700,
            USER,
            [volume.split(":")[-1] for volume in settings["volumes"]],
            arguments=arguments or settings.get("command"),
            environment=settings["environment"] | changed,
        )

    site.run_to_end(service("migrate", "migrate"))
    closed = service("server", "closed")
    if closed.wait(60) == 0 or "key" not in closed.said():
        raise Failed(f"a server without a key for others starts:\n{closed.said()}")
    key = key_of(site.run_to_end(service("server", "key", ["key", "create", "--name", "first", "--scope", "admin"])))
    server = service("server", "server")
    wait_until("the server is healthy", server.is_healthy, 60, server)
    if server.execute("secateur-healthy", "127.0.0.1:1", "/healthz").returncode == 0:
        raise Failed("the health check finds a server where there is none")
    written, user = server.execute("touch", "/usr/x"), server.execute("id", "-u")
    if written.returncode == 0 or user.stdout.strip() != str(USER):
        raise Failed(f"the server's container is not confined: {written}, {user}")
    # Containers of Docker have a loopback each; these share one, so the second worker needs another port.
    workers = [
        service("worker", "worker-1"),
        service("worker", "worker-2", SECATEUR_METRICS_LISTEN="127.0.0.1:9091"),
    ]
    for worker in workers:
        wait_until(f"{worker.name} is healthy", worker.is_healthy, 60, *workers)
        tell_sandbox(worker)
    print("server and two workers are healthy", flush=True)
    api = Api("http://127.0.0.1:8080", key)
    started = time.monotonic()
    job = api.submit(SPEC)
    report = api.finished(job)
    print(f"{time.monotonic() - started:.0f} s:", end=" ")
    took = site.database.workers("secateur", job)
    tell(job, report, took)
    if len(took) != 2:
        raise Failed(f"the job ran on {took}, and there are two workers")
    site.stop(*workers, server)


# ---- deploy/kubernetes


class Cluster:
    """The rendered manifests, and as much of a kubelet as they need."""

    def __init__(self, site: Site, names: list[str], secrets_: dict[str, dict[str, str]]) -> None:
        self.site, self.secrets = site, secrets_
        self.documents = [document for name in names for document in manifests.render(manifests.MANIFESTS / name)]
        self.config = {
            document["metadata"]["name"]: document["data"]
            for document in self.documents
            if document["kind"] == "ConfigMap"
        }

    def workload(self, name: str) -> dict[str, Any]:
        return next(
            document
            for document in self.documents
            if document["kind"] in ("Deployment", "Job") and document["metadata"]["name"] == name
        )

    def start(self, workload: str, name: str, makes_namespaces: bool = False, **changed: str) -> Container:
        """A pod of a workload, with the profile of containerd or of CRI-O."""
        pod = manifests.template(self.workload(workload))["spec"]
        (container,) = pod["containers"]
        if pod["securityContext"]["runAsUser"] != USER or pod["securityContext"]["fsGroup"] != USER:
            raise Failed(f"{workload} runs as another user than the image's")
        empty = {volume["name"] for volume in pod["volumes"] if "emptyDir" in volume}
        paths = [mount["mountPath"] for mount in container["volumeMounts"] if mount["name"] in empty]
        return self.site.run(
            name,
            container["image"],
            # What a kubelet makes of an `emptyDir` with `fsGroup`.
            0o2777,
            0,
            paths,
            arguments=container["args"],
            environment=self.environment(container) | changed,
            makes_namespaces=makes_namespaces,
        )

    def environment(self, container: dict[str, Any]) -> dict[str, str]:
        found: dict[str, str] = {}
        for source in container.get("envFrom", []):
            for kind, entry in source.items():
                found |= (self.config if kind == "configMapRef" else self.secrets)[entry["name"]]
        for variable in container.get("env", []):
            entry = variable.get("valueFrom", {}).get("secretKeyRef")
            found[variable["name"]] = self.secrets[entry["name"]][entry["key"]] if entry else variable["value"]
        return found

    def probe(self, workload: str, kind: str, port: int | None = None) -> bool:
        """A probe of a pod, as a kubelet makes it: by the pod's address."""
        (container,) = manifests.template(self.workload(workload))["spec"]["containers"]
        settings = container[f"{kind}Probe"]
        ports = {entry["name"]: entry["containerPort"] for entry in container["ports"]}
        port = port or ports[settings["httpGet"]["port"]]
        request = urllib.request.Request(f"http://127.0.0.1:{port}{settings['httpGet']['path']}")
        request.add_header("host", f"10.42.0.7:{port}")
        try:
            with urllib.request.urlopen(request, timeout=settings.get("timeoutSeconds", 1)) as answer:
                return 200 <= answer.status < 400
        except OSError:
            return False

    def wait_for_probes(self, workload: str, pod: Container, port: int | None = None) -> None:
        for kind in ("startup", "readiness", "liveness"):
            wait_until(f"the {kind} probe of {pod.name}", partial(self.probe, workload, kind, port), 60, pod)


def kubernetes(site: Site) -> None:
    queue = {"user": "queue", "password": secrets.token_urlsafe(24), "database": "cluster"}
    cluster = Cluster(
        site,
        ["gpu", "migrate", "key"],
        {
            "secateur-database": {"url": site.database.create("cluster")},
            "secateur-store": STORE | {"AWS_ENDPOINT_URL": "http://store:9000", "AWS_ALLOW_HTTP": "true"},
        },
    )
    site.run_to_end(cluster.start("secateur-migrate", "pod-migrate"))
    key = key_of(site.run_to_end(cluster.start("secateur-key", "pod-key")))
    # Pods have an address each; these share one, so the second server needs another port.
    servers = [
        cluster.start("secateur-server", "pod-server-1"),
        cluster.start("secateur-server", "pod-server-2", SECATEUR_LISTEN="0.0.0.0:8081"),
    ]
    for server, port in zip(servers, (None, 8081), strict=True):
        cluster.wait_for_probes("secateur-server", server, port)
    api, other = Api("http://127.0.0.1:8080", key), Api("http://127.0.0.1:8081", key)

    names = {name: api.answers_to(name) for name in ("secateur", "secateur.secateur.svc", "somewhere.example")}
    if names != {"secateur": True, "secateur.secateur.svc": True, "somewhere.example": False}:
        raise Failed(f"by the names of its Service, and by another, the server answers {names}")

    site.database.ask("cluster", f"create role {queue['user']} login password '{queue['password']}'")
    site.database.ask("cluster", f"grant select on task to {queue['user']}")
    asked = manifests.queries(cluster.documents)

    def depths() -> list[float]:
        """What the scalers see: tasks for workers on the CPU, and for those with a GPU."""
        return [
            float(site.database.ask("cluster", asked[name], queue["user"], queue["password"]))
            for name in ("secateur-worker", "secateur-worker-gpu")
        ]

    def expect(what: str, *numbers: float) -> None:
        found = depths()
        print(f"queries of KEDA, {what}: {found}", flush=True)
        if found != list(numbers):
            raise Failed(f"{what} the queries answer {found} instead of {list(numbers)}")

    expect("an empty queue", 0, 0)
    first = api.submit(SPEC)
    second = api.submit(LIGHT)
    expect("two jobs", 2, 0)
    others = [
        api.submit(LIGHT | {"requires": {"device": "gpu"}}),
        api.submit(LIGHT | {"requires": {"memory_bytes": 1 << 40}}),
    ]
    expect("one more for a GPU, one for more memory than there is", 2, 1)
    api.ask("POST", f"/v1/jobs/{second}/pause")
    expect("one is paused", 1, 1)
    api.ask("POST", f"/v1/jobs/{second}/resume")
    workers = [
        cluster.start("secateur-worker", "pod-worker-1"),
        cluster.start("secateur-worker", "pod-worker-2", makes_namespaces=True, SECATEUR_METRICS_LISTEN="0.0.0.0:9091"),
    ]
    for worker, port in zip(workers, (None, 9091), strict=True):
        cluster.wait_for_probes("secateur-worker", worker, port)
        tell_sandbox(worker)
    wait_until(
        "a task runs",
        lambda: int(site.database.ask("cluster", "select count(*) from task where state = 'running'")),
        60,
        *workers,
    )
    running = depths()[0]
    if not running:
        raise Failed("tasks that run are not counted, so their workers would be ended")
    tell(first, api.finished(first), site.database.workers("cluster", first))
    # The other server knows of all that the one was told.
    tell(second, other.finished(second), site.database.workers("cluster", second))
    for job in others:
        api.ask("POST", f"/v1/jobs/{job}/cancel")
    expect("all is done", 0, 0)
    site.stop(*workers, *servers)


if __name__ == "__main__":
    sys.exit(main())
