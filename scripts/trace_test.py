#!/usr/bin/env python3
"""Looks whether a job is one distributed trace, from the request that submits it to the engines of its stages.

    python3 scripts/trace_test.py SECATEUR

SECATEUR is a binary with the feature `otlp`, with secateur-engine beside it. A server without slots and a worker of its own process send their
spans to a collector of this script, which takes OTLP/HTTP as JSON. A job is submitted within a trace. Of that trace there must be the span of
the request, one span a task, whose parent is the request's, from the worker, and within each task the fetching of its inputs, the engine and the
upload. The exit code is 0 only then. Needs Python's standard library alone.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from crash_test import FINAL, SPEC, Lost, World, form

PARTS = {"fetch_inputs", "engine", "upload_outputs"}


def main() -> int:
    binary = Path(sys.argv[1]).resolve()
    spans: list[dict[str, Any]] = []
    collector = ThreadingHTTPServer(("127.0.0.1", 0), collecting(spans))
    threading.Thread(target=collector.serve_forever, daemon=True).start()
    os.environ |= {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.server_port}",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json",
        "OTEL_BSP_SCHEDULE_DELAY": "200",
    }
    SPEC.clear()
    SPEC.update(
        method="global_l2", target={"flops_reduction": 0.5}, input={"mean": 4.9, "std": 6.0}, fine_tune={"epochs": 1}
    )
    with tempfile.TemporaryDirectory(prefix="secateur-trace-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        world = Traced(binary, folder)
        try:
            world.start()
            check(*world.submit(), spans)
        except Lost as lost:
            print(f"failed: {lost}", file=sys.stderr)
            for log in folder.glob("*.log"):
                print(f"--- {log.name}\n{log.read_text(errors='replace')[-2000:]}", file=sys.stderr)
            return 1
        finally:
            world.stop()
    return 0


def collecting(spans: list[dict[str, Any]]) -> type[BaseHTTPRequestHandler]:
    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            for resource in body["resourceSpans"]:
                attributes = {entry["key"]: entry["value"] for entry in resource["resource"]["attributes"]}
                for scope in resource["scopeSpans"]:
                    service = attributes["service.name"]["stringValue"]
                    spans.extend(span | {"service": service} for span in scope["spans"])
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: Any) -> None: ...

    return Collector


class Traced(World):
    def start_server(self) -> None:
        listen = f"127.0.0.1:{self.port}"
        self.server = self.run("serve", "--listen", listen, "--data-dir", str(self.data), "--slots", "0")

    def submit(self) -> tuple[str, str, list[str]]:
        """A job within a trace: the trace, the span of this script, the stages of the job."""
        trace, span = secrets.token_hex(16), secrets.token_hex(8)
        body, kind = form()
        headers = {"traceparent": f"00-{trace}-{span}-01"}
        job = self.ask("POST", "/v1/jobs", body, kind, headers=headers)
        while job["status"] not in FINAL:
            job = self.ask("GET", f"/v1/jobs/{job['id']}?wait=5")
        if job["status"] != "succeeded":
            raise Lost(f"the job {job['status']}: {job['error']}")
        return trace, span, list(job["progress"])


def check(trace: str, root: str, stages: list[str], spans: list[dict[str, Any]]) -> None:
    time.sleep(3)
    mine = [span for span in spans if span["traceId"] == trace]
    posts = [span for span in mine if span["name"] == "request" and span["parentSpanId"] == root]
    if len(posts) != 1:
        raise Lost(f"{len(posts)} spans of the request that submitted the job, among {len(mine)}")
    tasks = [span for span in mine if span["name"] == "task"]
    if any(task["parentSpanId"] != posts[0]["spanId"] for task in tasks):
        raise Lost("a task does not follow from the request")
    if any(span["service"] != "secateur" for span in mine):
        raise Lost("a span has another service")
    seen = [attribute(task, "stage") for task in tasks]
    if sorted(seen) != sorted(stages):
        raise Lost(f"tasks of {seen} in the trace, and the job had {stages}")
    for task in tasks:
        parts = {span["name"] for span in mine if span["parentSpanId"] == task["spanId"]}
        if parts != PARTS:
            raise Lost(f"the task of {attribute(task, 'stage')} has the parts {sorted(parts)}")
    print(f"one trace: the request, {len(tasks)} tasks on a worker, {len(PARTS)} parts each")
    for task in sorted(tasks, key=lambda task: int(task["startTimeUnixNano"])):
        seconds = (int(task["endTimeUnixNano"]) - int(task["startTimeUnixNano"])) / 1e9
        print(f"  {attribute(task, 'stage'):<12} {seconds:6.2f} s")


def attribute(span: dict[str, Any], name: str) -> str:
    return next(entry["value"]["stringValue"] for entry in span["attributes"] if entry["key"] == name)


if __name__ == "__main__":
    sys.exit(main())
