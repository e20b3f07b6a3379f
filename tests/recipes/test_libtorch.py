"""The C++ recipe: built with CMake against libtorch, and run on a pruned model."""

from __future__ import annotations

import os

import torch
from conftest import PlaceOf
from secateur import Client

from page import ROOT


def test_a_program_of_cpp_gives_what_python_gives(place_of: PlaceOf, client: Client) -> None:
    job = client.prune(
        ROOT / "examples/vgg-digits.pt",
        ROOT / "examples/digits.npz",
        flops_reduction=0.5,
        method="global_l2",
        fine_tune=None,
        input={"mean": 4.9, "std": 6.0},
    ).wait(timeout=600)
    with place_of("libtorch", JOB=job.id, LIBTORCH=os.environ["LIBTORCH"]) as place:
        place.succeed("fetch")
        place.succeed("build")
        assert "the output [8, 10] is Python's" in place.succeed("run")

        # The comparison is one: with another output it fails.
        torch.save(torch.load(place.folder / "output.pt") + 0.01, place.folder / "output.pt")
        words = "python examples/recipes/libtorch/tensors.py compare model.pt input.pt output.pt"
        assert place.shell(words).returncode != 0
