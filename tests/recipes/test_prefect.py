"""The Prefect recipe: a real flow run on a real server of Prefect."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
from conftest import PlaceOf
from secateur import Client
from waiting import answers, wait_for

from page import Place

MAX_DROP = 0.05


def test_a_flow_keeps_the_smallest_network_that_is_good_enough(place_of: PlaceOf, client: Client) -> None:
    before = {job.id for job in client.jobs()}
    with place_of("prefect", 4200) as place:
        place.environment["PREFECT_HOME"] = str(place.folder / "prefect")
        place.start("server")
        api = f"http://127.0.0.1:{place.port(4200)}/api"
        place.wait_for("server", lambda: answers(f"{api}/health"), seconds=300)

        said = re.search(r"(job_[0-9a-f]{32}) removes (\d+)% and is in pruned.pt", place.succeed("prune"))
        assert said
        jobs = [job for job in client.jobs() if job.id not in before]
        by_target = {job.data["spec"]["target"]["flops_reduction"]: job for job in jobs}
        assert sorted(by_target) == [0.5, 0.7, 0.999]
        assert len(jobs) == 3
        error = by_target[0.999].error
        assert error and error["code"] == "target_unreachable"

        reports = [by_target[target].report for target in (0.5, 0.7)]
        drops = [report["metric"]["base"]["test"] - report["metric"]["pruned"]["test"] for report in reports]
        good = [report for report, drop in zip(reports, drops, strict=True) if drop <= MAX_DROP]
        best = min(good, key=lambda report: report.pruned["macs"])
        kept = by_target[best["spec"]["target"]["flops_reduction"]]
        assert (said[1], f"{said[2]}%") == (kept.id, f"{best['spec']['target']['flops_reduction']:.0%}")
        assert (place.folder / "pruned.pt").read_bytes() == kept.download("model.pt")

        (run,) = ask(api, "flow_runs/filter")
        assert run["state_type"] == "COMPLETED"
        table = next(artifact["data"] for artifact in ask(api, "artifacts/filter") if artifact["key"] == "pruned")
        assert all(job.id in table for job in jobs)

        check_that_attempts_share_a_job(place, api, client)


def check_that_attempts_share_a_job(place: Place, api: str, client: Client) -> None:
    """A cancelled job fails its task, which is run again; every attempt is given the same job."""
    before = {job.id for job in client.jobs()}
    words = (
        "python examples/recipes/prefect/flow.py examples/vgg-digits.pt examples/digits.npz --targets 0.4 --epochs 1000"
    )
    with ThreadPoolExecutor() as elsewhere:
        flow = elsewhere.submit(place.shell, f"PREFECT_API_URL={api} {words}")
        wait_for(lambda: flow.done() or {job.id for job in client.jobs()} != before, "the job is there")
        (job,) = [job for job in client.jobs() if job.id not in before]
        job.cancel()
        assert flow.result().returncode != 0
    assert {job.id for job in client.jobs()} == before | {job.id}
    attempts = [run["run_count"] for run in ask(api, "task_runs/filter") if run["state_type"] == "FAILED"]
    assert attempts == [3]


def ask(api: str, what: str) -> Any:
    return httpx.post(f"{api}/{what}", json={}, timeout=30).raise_for_status().json()
