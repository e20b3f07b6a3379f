"""The TorchServe recipe: an archive made by the real archiver, served by the real server."""

from __future__ import annotations

import json
import shutil

import httpx
import numpy
import torch
from conftest import PlaceOf
from secateur import Client

from page import ROOT

MEAN, STD = 4.9, 6.0


def test_a_pruned_model_is_archived_and_served(place_of: PlaceOf, client: Client) -> None:
    assert shutil.which("java"), "TorchServe needs Java: on Debian or Ubuntu: apt-get install default-jre-headless"
    job = client.prune(
        ROOT / "examples/vgg-digits.pt",
        ROOT / "examples/digits.npz",
        flops_reduction=0.5,
        method="global_l2",
        fine_tune=None,
        input={"mean": MEAN, "std": STD},
    ).wait(timeout=600)
    with place_of("torchserve", 8085, 8086, 8087, JOB=job.id) as place:
        place.succeed("archive")
        place.start("serve")
        management = f"http://127.0.0.1:{place.port(8086)}/models/digits"
        place.wait_for("serve", lambda: is_ready(management), seconds=300)
        scores = json.loads(place.succeed("ask"))

        pictures = torch.from_numpy(numpy.load(ROOT / "examples/digits.npz")["x_test"])
        with torch.no_grad():
            expected = job.model()((pictures[:1].float() - MEAN) / STD)[0]
        numpy.testing.assert_allclose(scores, expected.numpy(), rtol=1e-4, atol=1e-4)


def is_ready(url: str) -> bool:
    try:
        (model,) = httpx.get(url, timeout=5).raise_for_status().json()
    except httpx.HTTPError:
        return False
    return any(worker["status"] == "READY" for worker in model["workers"])
