"""Uploads go on where they broke off."""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
from pathlib import Path

import numpy
import pytest
from secateur import AsyncClient, Client, ConnectionFailed, InvalidRequest, Retries, UploadChanged
from secateur.source import FileSource
from secateur.upload import upload

from .proxy import Proxy
from .server import Server

QUICK = Retries(first_pause=0.05)


@pytest.fixture
def data_path(tmp_path: Path) -> Path:
    """A data set of about a megabyte that no other test has."""
    path = tmp_path / "data.npz"
    pictures = numpy.frombuffer(os.urandom(30 * 32 * 32 * 32), dtype=numpy.uint8).reshape(30, 32, 32, 32)
    numpy.savez(path, x=pictures, y=numpy.arange(30) % 3)
    return path


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_an_upload_that_is_cut_goes_on_and_sends_little_twice(client: Client, proxy: Proxy, data_path: Path) -> None:
    size = data_path.stat().st_size
    proxy.cut_upstream(150_000, 300_000, 90_000)
    with Client(proxy.url, progress=False, retries=QUICK, piece_bytes=100_000) as through:
        dataset_id = through.upload_dataset(data_path)
    assert proxy.cuts == 3
    dataset = client.dataset(dataset_id)
    assert (dataset["sha256"], dataset["bytes"]) == (sha256(data_path), size)
    # A piece for each cut at the most, and the heads of the requests.
    assert size < proxy.upstream < size + 3 * 100_000 + 60_000


def test_an_answer_that_is_lost_is_asked_for_again(client: Client, proxy: Proxy, data_path: Path) -> None:
    size = data_path.stat().st_size
    with Client(proxy.url, progress=False, retries=QUICK, piece_bytes=size) as through:
        # Of creating the upload, and of its only piece.
        proxy.cut_downstream(10, 1000)
        dataset_id = through.upload_dataset(data_path)
    assert client.dataset(dataset_id)["sha256"] == sha256(data_path)


def test_an_upload_goes_on_after_the_server_was_killed(own_server: Server, data_path: Path) -> None:
    killed = threading.Event()
    seen: list[int] = []

    class Watched(FileSource):
        def read(self, offset: int, size: int) -> bytes:
            seen.append(offset)
            if offset > 300_000 and not killed.is_set():
                killed.set()
                own_server.kill()
                threading.Thread(target=own_server.start).start()
            return super().read(offset, size)

    with Client(own_server.url, progress=False) as client, Watched(data_path) as source:
        dataset_id = client._run(upload(source, "dataset", Retries(), piece_bytes=100_000))
        assert client.dataset(dataset_id)["sha256"] == sha256(data_path)
    assert killed.is_set()
    # It did not begin anew.
    assert seen.count(0) == 1


def test_progress_is_told(client: Client, data_path: Path) -> None:
    told: list[tuple[int, int]] = []
    size = data_path.stat().st_size
    with FileSource(data_path) as source:
        flow = upload(source, "dataset", Retries(), piece_bytes=400_000, on_progress=lambda *at: told.append(at))
        client._run(flow)
    assert told == [(0, size), (400_000, size), (800_000, size), (size, size)]


def test_a_refused_file_is_refused_with_its_code_though_the_answer_was_lost(
    client: Client, proxy: Proxy, tmp_path: Path
) -> None:
    path = tmp_path / "no.npz"
    path.write_bytes(os.urandom(5000))
    with pytest.raises(InvalidRequest) as direct:
        client.upload_dataset(path)
    path.write_bytes(os.urandom(5000))
    with Client(proxy.url, progress=False, retries=QUICK) as through:
        # The answer to the creation passes, that to the only piece behind it does not.
        proxy.cut_downstream(800)
        with pytest.raises(InvalidRequest) as lost:
            through.upload_dataset(path)
    assert proxy.cuts == 1
    assert lost.value.code == direct.value.code and lost.value.status == 422


def test_a_file_that_changes_on_its_way_is_no_upload(client: Client, data_path: Path) -> None:
    class Changing(FileSource):
        def read(self, offset: int, size: int) -> bytes:
            if offset:
                with data_path.open("ab") as file:
                    file.write(b"more")
            return super().read(offset, size)

    with Changing(data_path) as source, pytest.raises(UploadChanged, match="was changed while it was uploaded"):
        client._run(upload(source, "dataset", Retries(), piece_bytes=400_000))


def test_an_upload_gives_up_in_time(proxy: Proxy, data_path: Path) -> None:
    proxy.cut_upstream(*[50_000] * 100)
    with (
        Client(proxy.url, progress=False, retries=Retries(seconds=0.3, first_pause=0.1)) as through,
        pytest.raises(ConnectionFailed, match="PATCH /v1/uploads/"),
    ):
        through.upload_dataset(data_path)


def test_an_upload_goes_on_on_an_event_loop(client: Client, proxy: Proxy, data_path: Path) -> None:
    proxy.cut_upstream(250_000, 250_000)

    async def send() -> str:
        async with AsyncClient(proxy.url, progress=False, retries=QUICK, piece_bytes=100_000) as through:
            return await through.upload_dataset(data_path)

    dataset_id = asyncio.run(send())
    assert proxy.cuts == 2 and client.dataset(dataset_id)["sha256"] == sha256(data_path)


def test_a_download_goes_on_where_it_broke_off(client: Client, proxy: Proxy, model_path: Path, tmp_path: Path) -> None:
    job = client.prune(model_path, flops_reduction=0.4, method="uniform").wait(120)
    whole = job.download("model.pt")
    proxy.cut_downstream(5000, 9000)
    with Client(proxy.url, progress=False, retries=QUICK) as through:
        path = through.job(job.id).download("model.pt", tmp_path / "model.pt")
    assert proxy.cuts == 2
    assert path.read_bytes() == whole and list(tmp_path.iterdir()) == [path]
