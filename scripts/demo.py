#!/usr/bin/env python3
"""Prunes an example network the way a user would: start the server, submit a job over HTTP, watch it, download the result.

The network is a VGG on Fashion-MNIST where the pictures can be fetched (examples/make_fashion.py), else a ResNet-20 on the digits that are in the
repository. Needs nothing but Python 3's standard library. With --server it talks to a server that already runs instead.
The exit code is 0 only when the job succeeded and its artifacts were downloaded.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"
ARTIFACTS = ("model.pt", "report.html", "report.json", "config.json")
FINAL = ("succeeded", "failed", "cancelled")
READY_SECONDS = 120
STOP_SECONDS = 30


class DemoError(Exception):
    """Something that ends the demo; the message is for the user."""


@dataclass(frozen=True)
class Example:
    """Files in examples/ that belong together."""

    model: str
    dataset: str
    spec: str


FASHION = Example("vgg-fashion.pt", "fashion.npz", "spec-fashion.json")
DIGITS = Example("resnet20-digits.pt", "digits.npz", "spec-resnet20.json")


def main() -> int:
    arguments = parse_arguments()
    server = None
    succeeded = False
    choose_example(arguments)
    try:
        if arguments.server is None:
            started = time.monotonic()
            server = LocalServer(arguments.server_binary)
            server.wait_until_ready()
            print(f"server ready at {server.url}: {time.monotonic() - started:.1f} s")
        prune(arguments, server.url if server else arguments.server.rstrip("/"))
        succeeded = True
    except DemoError as error:
        print(f"demo: error: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("demo: interrupted", file=sys.stderr)
    finally:
        if server:
            stopped = server.stop(keep_data=not succeeded)
            succeeded = succeeded and stopped
    return 0 if succeeded else 1


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", help="URL of a running server; without it one is started and stopped")
    parser.add_argument("--server-binary", type=Path, default=ROOT / "target/release/secateur")
    parser.add_argument("--example", choices=("fashion", "digits"), help="the first that can be had")
    parser.add_argument("--model", type=Path, help="another model than the example's, with --dataset and --spec")
    parser.add_argument("--dataset", type=Path)
    parser.add_argument("--spec", type=Path)
    parser.add_argument("--output", type=Path, default=Path("demo-output"))
    parser.add_argument("--timeout", type=float, default=1800, help="seconds that the job may take")
    arguments = parser.parse_args()
    given = (arguments.model, arguments.dataset, arguments.spec)
    if any(given) and not all(given):
        parser.error("give all of --model, --dataset and --spec, or none of them")
    return arguments


def choose_example(arguments: argparse.Namespace) -> None:
    """Fills in the files of the example, unless there are other ones."""
    if arguments.model:
        return
    wants_fashion = arguments.example != "digits"
    example = FASHION if wants_fashion and has_fashion() else DIGITS
    if wants_fashion and example is DIGITS:
        if arguments.example == "fashion":
            sys.exit("demo: error: Fashion-MNIST is not to be had here (the reason is above)")
        print("Fashion-MNIST is not to be had here (the reason is above): the digits take its place")
    arguments.model = EXAMPLES / example.model
    arguments.dataset = EXAMPLES / example.dataset
    arguments.spec = EXAMPLES / example.spec


def has_fashion() -> bool:
    """Whether the pictures are there; they are fetched once."""
    if (EXAMPLES / FASHION.dataset).is_file():
        return True
    started = time.monotonic()
    is_made = subprocess.run([sys.executable, EXAMPLES / "make_fashion.py"], check=False).returncode == 0
    print(f"Fashion-MNIST: {time.monotonic() - started:.1f} s", flush=True)
    return is_made


def prune(arguments: argparse.Namespace, url: str) -> None:
    spec = json.loads(arguments.spec.read_text())
    print(f"submitting {arguments.model.name} with {arguments.dataset.name}, target {json.dumps(spec['target'])}")
    job = submit(url, arguments)
    print(f"job {job['id']}, on the dashboard: {url}/jobs/{job['id']}", flush=True)

    started = time.monotonic()
    job = watch(url, job, started, arguments.timeout)
    print(f"job {job['status']}: {time.monotonic() - started:.1f} s")
    if job["status"] != "succeeded":
        raise DemoError(describe_job_error(job))

    download_artifacts(url, job["id"], arguments.output)
    report = json.loads((arguments.output / "report.json").read_text())
    print_report(report)
    print("\nartifacts:")
    for name in ARTIFACTS:
        path = arguments.output / name
        print(f"  {path.resolve()}  ({path.stat().st_size} bytes)")
    verify(arguments, spec)


class LocalServer:
    """`secateur serve` with a private database, in a temporary folder."""

    def __init__(self, binary: Path, *options: str) -> None:
        if not os.access(binary, os.X_OK):
            raise DemoError(f"{binary} is not there; `make build` builds it")
        self.binary = binary
        self.folder = Path(tempfile.mkdtemp(prefix="secateur-demo-"))
        # When root runs this, the database server runs under another uid and has to pass through.
        self.folder.chmod(0o755)
        self.log = self.folder / "server.log"
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [binary, "serve", "--listen", f"127.0.0.1:{port}", "--data-dir", self.folder / "data", *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                # Its own group, so that Ctrl-C reaches it through stop() and not twice.
                start_new_session=True,
            )

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while True:
            if self.process.poll() is not None:
                raise DemoError(f"the server ended with code {self.process.returncode} before it was ready")
            try:
                call(self.url + "/readyz", timeout=5)
                return
            except DemoError as not_ready:
                if time.monotonic() > deadline:
                    raise DemoError(f"the server was not ready after {READY_SECONDS} s ({not_ready})") from None
            time.sleep(0.1)

    def make_key(self, name: str, scope: str) -> str:
        """A new key; from then on the server asks for one."""
        words = [self.binary, "key", "create", "--name", name, "--scope", scope, "--data-dir", self.folder / "data"]
        return subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()

    def stop(self, keep_data: bool) -> bool:
        """Ends the server as a supervisor would; True when it went by itself and without an error."""
        started = time.monotonic()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(STOP_SECONDS)
            print(f"server stopped: {time.monotonic() - started:.1f} s")
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            code = None
            print(f"demo: the server did not stop within {STOP_SECONDS} s and was killed", file=sys.stderr)
        if code not in (0, None):
            print(f"demo: the server ended with code {code}", file=sys.stderr)
        if keep_data or code != 0:
            print(f"--- the last lines of {self.log}", file=sys.stderr)
            lines = self.log.read_text(errors="replace").splitlines()
            print("\n".join(lines[-40:]), file=sys.stderr)
            print(f"--- the server's data is kept in {self.folder}", file=sys.stderr)
        else:
            shutil.rmtree(self.folder, ignore_errors=True)
        return code == 0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def submit(url: str, arguments: argparse.Namespace) -> dict:
    for path in (arguments.model, arguments.dataset, arguments.spec):
        if not path.is_file():
            raise DemoError(f"{path} is not there")
    parts = [
        ("model", arguments.model, "application/octet-stream"),
        ("dataset", arguments.dataset, "application/octet-stream"),
        ("spec", arguments.spec, "application/json"),
    ]
    boundary = uuid.uuid4().hex
    body = bytearray()
    for name, path, content_type in parts:
        body += (
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{path.name}"\r\n'
            f"Content-Type: {content_type}\r\n\r\n"
        ).encode()
        body += path.read_bytes() + b"\r\n"
    body += f"--{boundary}--\r\n".encode()
    content = call(url + "/v1/jobs", bytes(body), f"multipart/form-data; boundary={boundary}")
    return json.loads(content)


def watch(url: str, job: dict, started: float, timeout: float) -> dict:
    """Follows the job to its end, with a line whenever there is news."""
    shown = None
    while True:
        line = describe_progress(job)
        if line != shown:
            print(f"  {time.monotonic() - started:6.1f} s  {line}", flush=True)
            shown = line
        if job["status"] in FINAL:
            return job
        if time.monotonic() - started > timeout:
            raise DemoError(f"the job is still {job['status']} after {timeout:.0f} s")
        asked = time.monotonic()
        job = json.loads(call(f"{url}/v1/jobs/{job['id']}?wait=5"))
        # The call returns early on a change of status only; short stages are worth seeing, a busy loop is not.
        if time.monotonic() - asked < 0.2:
            time.sleep(0.5)


def describe_progress(job: dict) -> str:
    words = [job["status"]]
    stage = job.get("stage")
    if job["status"] == "running" and stage:
        words = [f"{stage:<8}"]
        progress = stage_progress(job.get("progress"), stage)
        if progress.get("total"):
            words.append(f"{progress.get('done', 0):g}/{progress['total']:g}")
        if progress.get("rate"):
            words.append(f"{progress['rate']:.3g}/s")
        if progress.get("eta_s"):
            words.append(f"{progress['eta_s']:.0f} s left")
    return "  ".join(words)


def stage_progress(progress: object, stage: str) -> dict:
    """The entry of one stage, from a list of entries, a map by stage, or the entry itself."""
    if isinstance(progress, list):
        entries = [entry for entry in progress if isinstance(entry, dict) and entry.get("stage") == stage]
        return entries[-1] if entries else {}
    if isinstance(progress, dict):
        entry = progress.get(stage, progress)
        return entry if isinstance(entry, dict) else {}
    return {}


def describe_job_error(job: dict) -> str:
    error = job.get("error") or {}
    lines = [f"the job {job['status']}: {error.get('title', 'no reason given')} ({error.get('code', 'no code')})"]
    lines.extend(f"  {key}: {error[key]}" for key in ("detail", "stage", "node", "hint") if error.get(key))
    return "\n".join(lines)


def download_artifacts(url: str, job_id: str, folder: Path) -> None:
    started = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    for name in ARTIFACTS:
        (folder / name).write_bytes(call(f"{url}/v1/jobs/{job_id}/artifacts/{name}"))
    print(f"artifacts downloaded: {time.monotonic() - started:.1f} s")


def print_report(report: dict) -> None:
    base, pruned = report["base"], report["pruned"]
    print(f"\n{'':<18}{'before':>14}{'after':>14}{'change':>10}")
    for title, name in (("MACs", "macs"), ("parameters", "params"), ("file, bytes", "bytes")):
        print_row(title, base[name], pruned[name], "{:,}")
    for split in ("val", "test"):
        before, after = ((network.get("accuracy") or {}).get(split) for network in (base, pruned))
        if before is not None and after is not None:
            points = f"{(after - before) * 100:+.2f} pt"
            print(f"{'accuracy, ' + split:<18}{before:>14.2%}{after:>14.2%}{points:>10}")
    for quantile in ("p50", "p95"):
        print_row(f"latency {quantile}, ms", base["latency_ms"][quantile], pruned["latency_ms"][quantile], "{:.3f}")
    timed = pruned["latency_ms"]
    print(f"latency: batch {timed['batch']}, {timed['threads']} thread(s), {timed['device']}")

    equivalence = report["equivalence"]
    print(
        f"surgery against the zeroed original, before fine-tuning: largest difference "
        f"{equivalence['max_abs_diff']:.2e} (allowed {equivalence['tolerance']:.2e})"
    )
    seconds = report.get("seconds") or {}
    if seconds:
        print("seconds by stage: " + ", ".join(f"{stage} {spent:.1f}" for stage, spent in seconds.items()))


def print_row(title: str, before: float, after: float, form: str) -> None:
    change = f"{(after / before - 1) * 100:+.1f} %" if before else ""
    print(f"{title:<18}{form.format(before):>14}{form.format(after):>14}{change:>10}")


def verify(arguments: argparse.Namespace, spec: dict) -> None:
    """Runs examples/verify.py where a Python with PyTorch is at hand; stock PyTorch is the judge that users have."""
    python = python_with_torch()
    if python is None:
        print("\nno Python with torch here, so examples/verify.py was left out (scripts/setup-python.sh makes one)")
        return
    command = [python, EXAMPLES / "verify.py", arguments.model, arguments.output / "model.pt", arguments.dataset]
    for name, value in (spec.get("input") or {}).items():
        values = value if isinstance(value, list) else [value]
        # One word, so that a negative number is not taken for an option.
        command.append(f"--{name}=" + ",".join(str(number) for number in values))
    print("\nexamples/verify.py, stock PyTorch:", flush=True)
    started = time.monotonic()
    if subprocess.run(command, env=without_our_libtorch(), check=False).returncode != 0:
        raise DemoError("examples/verify.py found a mismatch (above)")
    print(f"verified: {time.monotonic() - started:.1f} s")


def python_with_torch() -> str | None:
    cache = os.environ.get("SECATEUR_CACHE") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "secateur"
    )
    for python in (os.path.join(cache, "venv/bin/python"), sys.executable):
        if os.access(python, os.X_OK):
            found = subprocess.run(
                [python, "-c", "import torch"], env=without_our_libtorch(), capture_output=True, check=False
            )
            if found.returncode == 0:
                return python
    return None


def without_our_libtorch() -> dict[str, str]:
    """Python's torch brings its own libraries; ours must not come before them."""
    return {name: value for name, value in os.environ.items() if name != "LD_LIBRARY_PATH"}


def call(url: str, body: bytes | None = None, content_type: str | None = None, timeout: float = 60) -> bytes:
    request = urllib.request.Request(url, data=body)
    if content_type:
        request.add_header("Content-Type", content_type)
    if key := os.environ.get("SECATEUR_API_KEY"):
        request.add_header("Authorization", f"Bearer {key}")
    try:
        # The server is on this machine or named by the user: a proxy from the environment has no part in it.
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=timeout) as response:
            return response.read()
    except urllib.error.HTTPError as error:
        raise DemoError(f"{request.get_method()} {url}: {describe_problem(error)}") from None
    except (urllib.error.URLError, OSError) as error:
        raise DemoError(f"{request.get_method()} {url}: {getattr(error, 'reason', error)}") from None


def describe_problem(error: urllib.error.HTTPError) -> str:
    content = error.read().decode(errors="replace")
    try:
        problem = json.loads(content)
        text = (
            f"{error.code} {problem.get('title', '')} ({problem.get('code', 'no code')}): {problem.get('detail', '')}"
        )
        return text + (f"\nhint: {problem['hint']}" if problem.get("hint") else "")
    except (ValueError, AttributeError):
        return f"{error.code} {content[:500]}"


if __name__ == "__main__":
    sys.exit(main())
