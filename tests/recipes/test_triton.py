"""The Triton recipe: the repository of a real job, read by Triton's schema and held against the model. Triton itself does not run here."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from conftest import PlaceOf
from google.protobuf import text_format
from secateur import Client, JobFailed
from torch import Tensor, nn
from tritonclient.grpc import model_config_pb2

from page import ROOT

TYPES = {
    model_config_pb2.TYPE_FP32: torch.float32,
    model_config_pb2.TYPE_INT64: torch.int64,
}
BATCHES = (1, 3)


class Reader(nn.Module):
    """Two outputs of tokens, of which one has their length."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(50, 32)
        self.hidden, self.tags, self.classes = nn.Linear(32, 64), nn.Linear(64, 5), nn.Linear(64, 3)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        hidden = torch.relu(self.hidden(self.embedding(tokens)))
        return self.tags(hidden), self.classes(hidden.mean(1))


def test_pictures(place_of: PlaceOf, client: Client) -> None:
    job = client.prune(
        ROOT / "examples/resnet20-digits.pt",
        ROOT / "examples/digits.npz",
        flops_reduction=0.5,
        method="uniform",
        fine_tune=None,
        triton={"name": "digits"},
    ).wait(timeout=600)
    with place_of("triton", JOB=job.id) as place:
        printed = place.succeed("fetch")
        assert {"repository/digits/config.pbtxt", "repository/digits/1/model.pt"} <= set(printed.splitlines())
        folder = place.folder / "repository/digits"
        config = read(folder)
        assert [(each.name, list(each.dims)) for each in config.input] == [("INPUT__0", [1, -1, -1])]
        assert [(each.name, list(each.dims)) for each in config.output] == [("OUTPUT__0", [10])]
        assert (folder / "1/model.pt").read_bytes() == job.download("model.pt")
        check(folder, config)


def test_tokens(place_of: PlaceOf, client: Client) -> None:
    tokens = torch.randint(0, 50, (2, 12))
    job = client.prune(
        Reader().eval(), example_inputs=tokens, flops_reduction=0.5, method="uniform", triton={"name": "digits"}
    ).wait(timeout=600)
    with place_of("triton", JOB=job.id) as place:
        place.succeed("fetch")
        folder = place.folder / "repository/digits"
        config = read(folder)
        assert [(each.data_type, list(each.dims)) for each in config.input] == [(model_config_pb2.TYPE_INT64, [-1])]
        assert [list(each.dims) for each in config.output] == [[-1, 5], [3]]
        check(folder, config)


def read(folder: Path) -> model_config_pb2.ModelConfig:
    """What Triton would read; an unknown field is an error."""
    config = text_format.Parse((folder / "config.pbtxt").read_text(), model_config_pb2.ModelConfig())
    assert (config.name, config.backend, config.max_batch_size) == (folder.name, "pytorch", 64)
    assert config.HasField("dynamic_batching")
    return config


@torch.no_grad()
def check(folder: Path, config: model_config_pb2.ModelConfig) -> None:
    """The model takes what the configuration says, and gives what it says."""
    model = torch.jit.load(folder / "1/model.pt")
    for batch in BATCHES:
        for free in (12, 16):
            given = model(*(zeros(each, batch, free) for each in config.input))
            outputs = [given] if isinstance(given, Tensor) else given
            for declared, output in zip(config.output, outputs, strict=True):
                assert output.dtype == TYPES[declared.data_type]
                assert output.shape[0] == batch
                for length, dim in zip(output.shape[1:], declared.dims, strict=True):
                    assert dim in (length, -1)


def zeros(declared: model_config_pb2.ModelInput, batch: int, free: int) -> Tensor:
    shape = [free if dim == -1 else dim for dim in declared.dims]
    return torch.zeros(batch, *shape, dtype=TYPES[declared.data_type])


def test_a_model_that_triton_cannot_serve_is_refused(client: Client) -> None:
    class Nested(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.reader = Reader()

        def forward(self, tokens: Tensor) -> tuple[tuple[Tensor, Tensor], Tensor]:
            tags, classes = self.reader(tokens)
            return (tags, classes), classes.argmax(-1)

    tokens = torch.randint(0, 50, (2, 12))
    job = client.prune(Nested().eval(), example_inputs=tokens, flops_reduction=0.5, method="uniform", triton={})
    with pytest.raises(
        JobFailed, match="Triton cannot serve this model: it returns no tensor, tuple of tensors or list"
    ):
        job.wait(timeout=600)
