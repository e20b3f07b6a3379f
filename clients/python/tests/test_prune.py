"""What `prune` takes for a model, for data and for a spec."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import numpy
import pytest
import torch
from PIL import Image
from secateur import AsyncClient, Client, InvalidRequest, Job, UsageError
from torch.utils.data import Dataset, IterableDataset

from .networks import Gate, make_digits, small_network
from .server import Server

Pictures = tuple[torch.Tensor, torch.Tensor]
QUICK: dict[str, Any] = {"flops_reduction": 0.4, "method": "uniform", "fine_tune": {"epochs": 1}}


def assert_pruned(job: Job, reduction: float = 0.4) -> None:
    job.wait(300)
    assert job.status == "succeeded"
    assert job.report.reduction["flops_reduction"] == pytest.approx(reduction, abs=0.01)
    assert sum(tensor.numel() for tensor in job.model().parameters()) == job.report.pruned["params"]


def test_a_path_is_pruned_without_data(client: Client, model_path: Path) -> None:
    assert_pruned(client.prune(model_path, flops_reduction=0.4, method="uniform"))
    assert_pruned(client.prune(str(model_path), flops_reduction=0.4, method="uniform"))


def test_a_module_is_traced_and_stays_as_it_was(client: Client) -> None:
    network = small_network().train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    job = client.prune(network, example_inputs=torch.randn(2, 1, 8, 8), flops_reduction=0.4, method="uniform")
    assert_pruned(job)
    assert network.training and all(part.training for part in network.modules())
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert client.model(job.data["model_id"]).get("name") == "Sequential.pt"


def test_a_module_without_example_inputs_is_scripted(client: Client) -> None:
    assert_pruned(client.prune(Gate(), input_shape=[6], flops_reduction=0.4, method="uniform"))


def test_example_inputs_say_the_shapes_of_a_scripted_module(client: Client) -> None:
    job = client.prune(
        Gate(), example_inputs=torch.randn(2, 6), conversion="script", flops_reduction=0.4, method="uniform"
    )
    assert job.data["spec"].get("inputs") == [{"shape": [6], "dtype": "float32"}]
    assert_pruned(job)


def test_arrays_are_sent_as_they_are(client: Client, model_path: Path, digits: Pictures) -> None:
    x, y = digits
    job = client.prune(model_path, (x, y), **QUICK)
    dataset_id = job.data.get("dataset_id")
    assert dataset_id is not None
    summary = client.dataset(dataset_id)["summary"]
    assert summary["format"] == "safetensors" and summary["sample_shape"] == [1, 8, 8]
    assert summary.get("classes") == 4
    assert_pruned(job)
    assert job.report.pruned.get("accuracy") is not None
    epochs = [reading for event in job.events() for reading in event.readings if "candidate" in reading]
    assert [reading["step"] for reading in epochs] == [epoch["epoch"] for epoch in job.report["epochs"]]
    assert all(reading["figures"]["training_loss"] > 0 for reading in epochs)


def test_arrays_by_name_have_splits(client: Client, digits: Pictures) -> None:
    x, y = (tensor.numpy() for tensor in digits)
    named = {"x": x[:80], "y": y[:80], "x_val": x[80:100], "y_val": y[80:100], "x_test": x[100:], "y_test": y[100:]}
    summary = client.dataset(client.upload_dataset(named))["summary"]
    assert summary["samples"] == {"train": 80, "val": 20, "test": 20}


def test_an_array_alone_has_no_labels(client: Client, digits: Pictures) -> None:
    summary = client.dataset(client.upload_dataset(digits[0]))["summary"]
    assert not summary["labelled"] and summary["sample_dtype"] == "float32"


class Pairs(Dataset[tuple[torch.Tensor, int]]):
    """A data set that counts how often it is asked for a sample."""

    def __init__(self, count: int) -> None:
        self.pictures, self.labels = make_digits(count)
        self.asked: list[int] = []

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        self.asked.append(index)
        return self.pictures[index], int(self.labels[index])


def test_a_dataset_of_pytorch_is_looked_at_once_while_it_is_sent(client: Client, model_path: Path) -> None:
    pairs = Pairs(90)
    job = client.prune(model_path, {"train": pairs, "validation": Pairs(30)}, **QUICK)
    # The first sample tells the shapes before.
    assert pairs.asked == [0, *range(90)]
    dataset_id = job.data.get("dataset_id")
    assert dataset_id is not None
    # The server splits off what is missing.
    assert client.dataset(dataset_id)["summary"]["samples"]["val"] == 30
    assert_pruned(job)


class Stream(IterableDataset[dict[str, torch.Tensor]]):
    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        for picture, label in zip(*make_digits(40), strict=True):
            yield {"x": picture, "label": label}


def test_a_dataset_without_a_length_is_sent(client: Client) -> None:
    summary = client.dataset(client.upload_dataset(Stream()))["summary"]
    total = summary["samples"]
    assert sum((total["train"], total["val"], total["test"])) == 40 and summary.get("classes") == 4


def test_pictures_of_hugging_face_go_as_parquet(client: Client, digits: Pictures) -> None:
    x, y = digits
    pictures = [Image.fromarray((sample[0] * 60 + 90).clamp(0, 255).to(torch.uint8).numpy()) for sample in x]
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(num_classes=4)})
    whole = datasets.Dataset.from_dict({"image": pictures, "label": y.tolist()}, features=features)
    split = whole.train_test_split(test_size=30, seed=0)
    dataset_id = client.upload_dataset(split)
    summary = client.dataset(dataset_id)["summary"]
    source = summary.get("source")
    assert source is not None and source["format"] == "parquet"
    network = small_network()
    job = client.prune(
        network, whole, example_inputs=torch.randn(2, 1, 8, 8), input={"mean": 90.0, "std": 60.0}, **QUICK
    )
    assert_pruned(job)


def test_numbers_of_hugging_face_go_as_arrays(client: Client, digits: Pictures) -> None:
    x, y = digits
    features = datasets.Features(
        {
            "pixels": datasets.Array3D((1, 8, 8), "float32"),
            "group": datasets.Value("int64"),
            "label": datasets.Value("int64"),
        }
    )
    rows = {"pixels": x.numpy(), "group": y.tolist(), "label": y.tolist()}
    whole = datasets.Dataset.from_dict(rows, features=features)
    summary = client.dataset(client.upload_dataset(whole, columns={"pixels": "x", "label": "y"}))["summary"]
    assert {array["name"]: (array["dtype"], array["shape"]) for array in summary["arrays"]} == {
        "x": ("float32", [120, 1, 8, 8]),
        "y": ("int64", [120]),
    }
    only = whole.select_columns(["pixels", "label"])
    assert client.upload_dataset(only) == client.upload_dataset(whole, columns={"pixels": "x", "label": "y"})


def test_a_stream_of_hugging_face_is_sent(client: Client) -> None:
    rows = datasets.Dataset.from_dict({"values": numpy.eye(40).tolist(), "label": [0, 1] * 20}).to_iterable_dataset()
    summary = client.dataset(client.upload_dataset(rows))["summary"]
    assert summary["sample_shape"] == [40] and summary.get("classes") == 2


def test_a_file_is_sent_as_it_is(client: Client, model_path: Path, digits: Pictures, tmp_path: Path) -> None:
    path = tmp_path / "digits.npz"
    numpy.savez_compressed(path, x=digits[0].numpy(), y=digits[1].numpy())
    job = client.prune(model_path, path, **QUICK)
    dataset_id = job.data.get("dataset_id")
    assert dataset_id is not None
    dataset = client.dataset(dataset_id)
    assert dataset["bytes"] == path.stat().st_size and dataset.get("name") == "digits.npz"
    assert_pruned(job)


def test_named_options_take_the_place_of_a_specs_fields(client: Client, model_path: Path, digits: Pictures) -> None:
    spec = {"target": {"params_reduction": 0.2, "max_metric_drop": 0.5}, "method": "uniform", "seed": 3}
    job = client.prune(model_path, digits, spec=spec, flops_reduction=0.4, name="mine", labels={"team": "a"})
    found = job.data["spec"]
    assert found["target"] == {"flops_reduction": 0.4, "max_metric_drop": 0.5}
    assert (found.get("seed"), found.get("name"), found.get("labels")) == (3, "mine", {"team": "a"})
    job.cancel()


def test_one_idempotency_key_is_one_job(client: Client, model_path: Path) -> None:
    first = client.prune(model_path, flops_reduction=0.4, method="uniform", idempotency_key="one")
    again = client.prune(model_path, flops_reduction=0.4, method="uniform", idempotency_key="one")
    other = client.prune(model_path, flops_reduction=0.4, method="uniform")
    assert first == again != other
    model_id = client.upload_model(model_path)
    spec = {"target": {"flops_reduction": 0.4}, "method": "uniform"}
    assert client.submit(spec, model_id, idempotency_key="one") == first
    assert {first.id, other.id} <= {job.id for job in client.jobs()}
    first.wait(300)
    other.wait(300)
    other.delete()
    assert other.id not in {job.id for job in client.jobs()}


def test_what_cannot_be_meant_is_said_before_anything_is_sent(client: Client, model_path: Path) -> None:
    with pytest.raises(UsageError, match="none is given"):
        client.prune(model_path)
    with pytest.raises(UsageError, match="flops_reduction and params_reduction are given"):
        client.prune(model_path, flops_reduction=0.5, params_reduction=0.5)
    with pytest.raises(UsageError, match="cannot be read"):
        client.prune("missing.pt", flops_reduction=0.5)
    with pytest.raises(UsageError, match="is a dict: it must be a path or a torch"):
        client.prune({}, flops_reduction=0.5)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="takes `example_inputs`"):
        client.prune(small_network(), conversion="trace", flops_reduction=0.5)
    with pytest.raises(UsageError, match="there is no split `a`"):
        client.upload_dataset({"a": Pairs(3)})
    with pytest.raises(UsageError, match="the data set is a int"):
        client.upload_dataset(3)


def test_a_module_that_cannot_be_traced_is_said_with_the_other_way(client: Client) -> None:
    with pytest.raises(UsageError, match=r"(?s)Sequential cannot be traced: .*hint: `conversion=\"script\"`"):
        client.prune(small_network(), example_inputs=torch.randn(2, 3, 8, 8), flops_reduction=0.5)


def test_samples_of_different_shapes_are_refused_by_name(client: Client) -> None:
    class Ragged(Pairs):
        def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
            picture, label = super().__getitem__(index)
            return (picture if index < 3 else picture[:, :4]), label

    with pytest.raises(UsageError, match=r"`x` of sample 3 is float32 of shape \[1, 4, 8\]"):
        client.upload_dataset(Ragged(6))


def test_a_model_is_inspected(client: Client, model_path: Path) -> None:
    model = client.inspect(client.upload_model(model_path))
    summary = model.get("summary")
    assert summary is not None and summary["reachable"]["flops_reduction"] > 0.5
    scripted = client.upload_model(Gate())
    with pytest.raises(InvalidRequest) as caught:
        client.inspect(scripted)
    assert caught.value.hint
    assert client.inspect(scripted, {"input_shape": [6]}).get("summary") is not None


async def prune_on_an_event_loop(url: str, data: Pictures) -> None:
    async with AsyncClient(url, progress=False) as client:
        network, inputs = small_network(), torch.randn(2, 1, 8, 8)
        job = await client.prune(network, data, example_inputs=inputs, **QUICK)
        types = [event.type async for event in job.events()]
        assert types[0] == "queued" and types[-1] == "succeeded"
        await job.wait(60)
        report, frontier = await job.report(), await job.frontier()
        assert report.reduction["flops_reduction"] == pytest.approx(0.4, abs=0.01) and frontier["tuned"]
        small = await job.apply(network, inplace=False)
        with torch.no_grad():
            assert torch.allclose(small.eval()(inputs), (await job.model())(inputs), atol=1e-5)
        sliced = await job.slice_state_dict(network.state_dict())
        small.load_state_dict(sliced)
        assert {artifact["name"] for artifact in await job.artifacts()} >= {"model.pt", "report.json"}
        assert [candidate["index"] async for candidate in job.candidates()] == [0]
        assert torch.jit.load(io.BytesIO(await job.download("model.pt"))) is not None
        assert job.id in [listed.id async for listed in client.jobs()]
        dataset_id = job.data.get("dataset_id")
        assert dataset_id is not None and (await client.dataset(dataset_id))["id"] == dataset_id


def test_all_of_it_runs_on_an_event_loop(server: Server, digits: Pictures) -> None:
    import asyncio

    asyncio.run(prune_on_an_event_loop(server.url, digits))
