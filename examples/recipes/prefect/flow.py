"""A flow of Prefect that prunes a model to several targets at once and keeps the smallest network that is good enough.

python flow.py MODEL DATA --targets 0.5 0.7 --max-drop 0.02

A task waits for its job on the event loop, where many tasks wait in one process, and holds no worker. A task that is run again, after whatever it was that
ended it, finds the job that it has made before and waits for that one.
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.artifacts import acreate_table_artifact
from prefect.runtime import task_run
from secateur import AsyncClient, JobFailed

Outcome = dict[str, Any]


@task(retries=2, retry_delay_seconds=5)
async def upload(model: Path, data: Path) -> tuple[str, str]:
    """The ids of the model and the data set on the server; the same bytes have the same ids."""
    async with AsyncClient(progress=False) as client:
        return await client.upload_model(model), await client.upload_dataset(data)


@task(retries=2, retry_delay_seconds=5)
async def prune(model_id: str, dataset_id: str, spec: dict[str, Any]) -> Outcome:
    """One job, waited for to its end. A target that cannot be reached is an outcome too."""
    async with AsyncClient(progress=False) as client:
        # Attempts of one task run have one key, and the server makes one job of them.
        job = await client.submit(spec, model_id, dataset_id, idempotency_key=f"prefect-{task_run.get_id()}")
        get_run_logger().info("waiting for %s", job.id)
        outcome: Outcome = {"job": job.id, "target": spec["target"]["flops_reduction"]}
        try:
            await job.wait()
        except JobFailed as failure:
            if failure.code != "target_unreachable":
                raise
            return outcome | {"failed": failure.code}
        report = await job.report()
        metric = report["metric"]
        return outcome | {
            "macs": report.pruned["macs"],
            "metric": metric["name"],
            "drop": metric["base"]["test"] - metric["pruned"]["test"],
        }


@task(retries=2, retry_delay_seconds=5)
async def fetch(job_id: str, path: Path) -> None:
    """Writes the job's network to the path."""
    async with AsyncClient(progress=False) as client:
        await (await client.job(job_id)).download("model.pt", path)


@flow
async def prune_to_targets(
    model: Path, data: Path, spec: dict[str, Any], targets: list[float], max_drop: float, output: Path
) -> Outcome:
    """The outcome of the smallest network whose metric fell by `max_drop` at most, which is written to `output`."""
    model_id, dataset_id = await upload(model, data)
    specs = [spec | {"target": {"flops_reduction": target}} for target in targets]
    outcomes = await asyncio.gather(*(prune(model_id, dataset_id, spec) for spec in specs))
    await acreate_table_artifact(outcomes, key="pruned", description="What each target came to.")
    good = [outcome for outcome in outcomes if outcome.get("drop", max_drop + 1) <= max_drop]
    if not good:
        raise RuntimeError(f"no target keeps the metric within {max_drop}: {outcomes}")
    best = min(good, key=lambda outcome: outcome["macs"])
    await fetch(best["job"], output)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--targets", type=float, nargs="+", required=True, help="shares of the multiply-accumulates")
    parser.add_argument("--max-drop", type=float, default=0.01, help="0.01 is one point")
    parser.add_argument("--epochs", type=int, default=30, help="epochs of fine-tuning")
    parser.add_argument("--mean", type=float, default=0.0, help="the model sees (stored - mean) / std")
    parser.add_argument("--std", type=float, default=1.0)
    parser.add_argument("--output", type=Path, default=Path("pruned.pt"))
    arguments = parser.parse_args()
    spec = {
        "method": "global_l2",
        "fine_tune": {"epochs": arguments.epochs},
        "input": {"mean": arguments.mean, "std": arguments.std},
    }
    best = asyncio.run(
        prune_to_targets(
            arguments.model.resolve(),
            arguments.data.resolve(),
            spec,
            arguments.targets,
            arguments.max_drop,
            arguments.output.resolve(),
        )
    )
    print(f"{best['job']} removes {best['target']:.0%} and is in {arguments.output}")


if __name__ == "__main__":
    main()
