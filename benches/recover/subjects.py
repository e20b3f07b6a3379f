"""The networks that are compared, each in a file of its own: what prepares its folder, and what reads it."""

import lzma
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import craft
import faces
import fashion
import pitch
import reader
import regions
from network import load, write_small
from subject import Subject


@dataclass(frozen=True)
class Entry:
    prepare: Callable[[Path, Path | None, str], None]
    """Writes `network.pt` and what else neither comes from a seed nor is drawn, of its folder, the packages and a device to train on.
    What subjects share lies beside their folders."""
    subject: Callable[[Path], Subject]
    """Reads its folder and makes the rest, without packages."""
    needs_packages: Callable[[Path], bool] = lambda _: True
    """Whether preparing the folder does."""


SUBJECTS: dict[str, Entry] = {
    "pitch": Entry(pitch.prepare, pitch.subject),
    "reader": Entry(reader.prepare, reader.subject),
    "regions": Entry(regions.prepare, regions.subject, lambda _: False),
    **dict.fromkeys(
        fashion.NETWORKS, Entry(fashion.prepare, fashion.subject, lambda folder: not fashion.has_data(folder))
    ),
    "craft": Entry(craft.prepare, craft.subject),
    "faces": Entry(faces.prepare, faces.subject),
}
SHARED = ["fonts", "fashion.npz"]
"""What lies beside the folders of the subjects."""


def is_prepared(folder: Path) -> bool:
    return (folder / "network.pt").is_file()


def pack(folder: Path, names: list[str]) -> Path:
    """Writes the prepared folders as one archive to carry elsewhere, where a large network is in bfloat16."""
    written = folder / "prepared.tar.xz"
    # Two contexts, for the bytes of a number in two bytes are unlike each other.
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9, "lc": 0, "lp": 1, "pb": 1}]
    with (
        tempfile.TemporaryDirectory() as scratch,
        lzma.open(written, "wb", filters=filters) as stream,
        tarfile.open(fileobj=stream, mode="w") as archive,
    ):
        for shared in filter(lambda name: (folder / name).exists(), SHARED):
            archive.add(folder / shared, shared)
        for name in names:
            small = Path(scratch) / "network.pt"
            write_small(load(folder / name / "network.pt"), small)
            archive.add(small, f"{name}/network.pt")
            if (folder / name / "pictures.npz").exists():
                archive.add(folder / name / "pictures.npz", f"{name}/pictures.npz")
    return written
