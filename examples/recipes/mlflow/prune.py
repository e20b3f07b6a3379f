"""Prunes a model with Secateur and records the job in MLflow.

python prune.py MODEL DATA REGISTERED_NAME --flops 0.5
"""

from __future__ import annotations

import argparse

import mlflow
from recording import JOB_TAG, record
from secateur import Client


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="a TorchScript file")
    parser.add_argument("data", help="a data set in a format of docs/data.md")
    parser.add_argument("registered_model", help="the name in MLflow's registry")
    parser.add_argument("--flops", type=float, default=0.5, help="share of the multiply-accumulates to remove")
    parser.add_argument("--epochs", type=int, default=30, help="epochs of fine-tuning")
    parser.add_argument("--mean", type=float, default=0.0, help="the model sees (stored - mean) / std")
    parser.add_argument("--std", type=float, default=1.0)
    arguments = parser.parse_args()

    mlflow.set_experiment("pruning")
    with Client() as client, mlflow.start_run() as run:
        job = client.prune(
            arguments.model,
            arguments.data,
            flops_reduction=arguments.flops,
            method="global_l2",
            fine_tune={"epochs": arguments.epochs},
            input={"mean": arguments.mean, "std": arguments.std},
            labels={"mlflow_run": run.info.run_id},
        )
        mlflow.set_tag(JOB_TAG, job.id)
        job.wait()
        version = record(job, arguments.registered_model)
    print(f"{job.id} is version {version} of {arguments.registered_model}")


if __name__ == "__main__":
    main()
