"""Writes fashion.npz, a Secateur data set of Fashion-MNIST (Xiao et al., 2017): 28x28 grey pictures of clothes in ten classes.

    python3 examples/make_fashion.py [FOLDER] [--output FILE]

FOLDER has the four IDX files, as `*-ubyte.gz`: scripts/setup-fashion.sh fetches Debian's package of them and prints the folder, which is asked
for where none is given. Needs nothing but Python 3's standard library.

x is the first 8000 of the 60 000 training pictures, x_val the last 2000 of them, x_test the whole test set of 10 000; each is uint8
[N, 1, 28, 28], with the classes as y, y_val and y_test, uint8 [N]. A job on a part of the training pictures takes minutes on two cores.
"""

import argparse
import gzip
import io
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SEEN, HELD_OUT = 8_000, 2_000
PARTS = {"": ("train", slice(SEEN)), "_val": ("train", slice(-HELD_OUT, None)), "_test": ("t10k", slice(None))}
SIDE = 28


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name("fashion.npz"))
    arguments = parser.parse_args()
    write(arguments.folder or fetch(), arguments.output)
    print(f"{arguments.output}: {arguments.output.stat().st_size} bytes")


def fetch() -> Path:
    """The folder of Debian's package, in the cache."""
    script = subprocess.run([ROOT / "scripts" / "setup-fashion.sh"], stdout=subprocess.PIPE, text=True, check=False)
    if script.returncode != 0:
        sys.exit(script.returncode)
    return Path(script.stdout.strip())


def write(folder: Path, path: Path) -> None:
    """The file appears whole."""
    partial = path.with_name(path.name + ".partial")
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, (part, which) in PARTS.items():
            for array, (values, shape) in {"x": read_pictures(folder, part), "y": read_labels(folder, part)}.items():
                size = len(values) // shape[0]
                first, last, _ = which.indices(shape[0])
                # A fixed date, so that two runs write the same bytes.
                record = zipfile.ZipInfo(f"{array}{name}.npy")
                record.compress_type = zipfile.ZIP_DEFLATED
                content = npy((last - first, *shape[1:]), values[first * size : last * size])
                archive.writestr(record, content)
    partial.rename(path)


def read_pictures(folder: Path, part: str) -> tuple[bytes, tuple[int, ...]]:
    """The values of a split's pictures, and their shape."""
    content = gzip.decompress((folder / f"{part}-images-idx3-ubyte.gz").read_bytes())
    magic, count, height, width = struct.unpack(">4I", content[:16])
    assert (magic, height, width) == (2051, SIDE, SIDE), f"{folder}: the pictures of {part} are not Fashion-MNIST's"
    return content[16:], (count, 1, height, width)


def read_labels(folder: Path, part: str) -> tuple[bytes, tuple[int, ...]]:
    content = gzip.decompress((folder / f"{part}-labels-idx1-ubyte.gz").read_bytes())
    magic, count = struct.unpack(">2I", content[:8])
    assert magic == 2049, f"{folder}: the labels of {part} are not in the IDX format"
    return content[8:], (count,)


def npy(shape: tuple[int, ...], values: bytes) -> bytes:
    """An array of bytes in NumPy's format 1.0: a magic number, the length of the header, the header with spaces up to a multiple of 64 bytes."""
    header = repr({"descr": "|u1", "fortran_order": False, "shape": shape}).encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    file = io.BytesIO()
    file.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + values)
    return file.getvalue()


if __name__ == "__main__":
    main()
