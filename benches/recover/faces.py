"""O-Net, the last of MTCNN's three networks (Zhang et al., 2016): a face or none, the face's box, and five landmarks.

It sees windows of 48 x 48 such as the networks before it would propose: the hundred small faces that come with scikit-image, each pasted
into a photograph, around and beside them, and windows without faces. People and photographs of the test are not among those learnt from.
"""

from itertools import chain
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

from network import load, outputs_of, package, trace
from subject import Subject

# MTCNN's own threshold for the last network.
FACE = 0.7
SIDE, PASTED = 48, 25
COUNTS = {"train": 4000, "val": 500, "test": 1000}
FACES = {"train": slice(60), "val": slice(60, 70), "test": slice(70, 100)}
PHOTOGRAPHS = {
    "train": ["skimage/data/coffee.png", "skimage/data/chelsea.png", "skimage/data/motorcycle_left.png"],
    "val": ["skimage/data/rocket.jpg"],
    "test": ["sklearn/datasets/images/china.jpg", "sklearn/datasets/images/flower.jpg"],
}


def prepare(folder: Path, packages: Path, _device: str) -> None:
    # The modules beside the networks import torchvision and more, none of which a forward pass wants.
    package(packages, "facenet_pytorch")
    package(packages, "facenet_pytorch.models")
    package(packages, "facenet_pytorch.models.utils")
    package(packages, "facenet_pytorch.models.utils.detect_face", detect_face=None, extract_face=None)
    from facenet_pytorch.models.mtcnn import ONet

    network = ONet(pretrained=False)
    network.load_state_dict(
        torch.load(packages / "facenet_pytorch/data/onet.pt", map_location="cpu", weights_only=True)
    )
    arrays = {"small": np.rint(np.load(packages / "skimage/data/lfw_subset.npy") * 255).astype(np.uint8)}
    for name in chain.from_iterable(PHOTOGRAPHS.values()):
        photograph = Image.open(packages / name).convert("RGB")
        photograph.thumbnail((320, 320))
        arrays[Path(name).stem] = np.asarray(photograph)
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "pictures.npz", **arrays)
    trace(network, (3, SIDE, SIDE), folder / "network.pt")


def subject(folder: Path) -> Subject:
    network = load(folder / "network.pt")
    random = np.random.default_rng(0)
    with np.load(folder / "pictures.npz") as arrays:
        pictures = dict(arrays)
    samples = {}
    for part, count in COUNTS.items():
        # The first half of the small pictures are faces, the second are none.
        faces, others = pictures["small"][:100][FACES[part]], pictures["small"][100:][FACES[part]]
        photographs = [pictures[Path(name).stem] for name in PHOTOGRAPHS[part]]
        windows = [window(random, faces if random.random() < 0.6 else others, photographs) for _ in range(count)]
        samples[part] = ((np.stack(windows) - 127.5) / 128).transpose(0, 3, 1, 2).astype(np.float32)
    return Subject(
        name="faces",
        network=network,
        samples=samples,
        truth=outputs_of(network, samples["test"], "cpu"),
        score=as_the_original_decides,
        unit="windows decided as the original does, with its box, of 1000",
        loss=expert_loss,
        lr=1e-3,
        epochs=8,
    )


def window(random: np.random.Generator, small: np.ndarray, photographs: list[np.ndarray]) -> np.ndarray:
    """What lies around one of the small pictures that was pasted into a photograph, grey as they are, or a piece of the photograph."""
    photograph = photographs[int(random.integers(len(photographs)))]
    around = 3 * PASTED
    top, left = (int(random.integers(size - around + 1)) for size in photograph.shape[:2])
    piece = photograph[top : top + around, left : left + around]
    if random.random() < 0.8:
        pasted = small[int(random.integers(len(small)))]
        if random.random() < 0.5:
            pasted = pasted[:, ::-1]
        piece = np.repeat(piece.mean(2).astype(np.uint8)[..., None], 3, 2)
        piece[PASTED : 2 * PASTED, PASTED : 2 * PASTED] = pasted[..., None]
    side = random.uniform(20, 36)
    middle = around / 2 + random.normal(0, 2.5, 2)
    box = (middle[0] - side / 2, middle[1] - side / 2, middle[0] + side / 2, middle[1] + side / 2)
    cut = Image.fromarray(piece).resize((SIDE, SIDE), Image.Resampling.BILINEAR, box=box)
    pixels = np.asarray(cut, np.float32) * random.uniform(0.7, 1.2) + random.normal(0, 4, (SIDE, SIDE, 3))
    return np.clip(pixels, 0, 255)


def as_the_original_decides(outputs: list[np.ndarray], originals: list[np.ndarray]) -> float:
    """Face or none as the original says at MTCNN's threshold, and where a face, a box whose intersection with the original's is nine
    tenths of their union or more."""
    (boxes, _, odds), (true_boxes, _, true_odds) = outputs, originals
    face, true_face = odds[:, 1] > FACE, true_odds[:, 1] > FACE
    low = np.maximum(boxes[:, :2], true_boxes[:, :2])
    # Offsets are shares of the window's side; those of right and bottom count from its right and bottom edge.
    high = 1 + np.minimum(boxes[:, 2:], true_boxes[:, 2:])
    both = np.clip(high - low, 0, None).prod(1)
    area, true_area = (np.clip(1 + part[:, 2:] - part[:, :2], 0, None).prod(1) for part in (boxes, true_boxes))
    return float(((face == true_face) & (~true_face | (both >= 0.9 * (area + true_area - both)))).mean())


def expert_loss(outputs: list[torch.Tensor], originals: list[torch.Tensor]) -> torch.Tensor:
    """Cross-entropy of the decision and squared distances of box and landmarks, weighted as O-Net was trained."""
    (boxes, marks, odds), (true_boxes, true_marks, true_odds) = outputs, originals
    decision = F.binary_cross_entropy(odds[:, 1], true_odds[:, 1])
    box, mark = ((part - true).square().sum(1).mean() for part, true in [(boxes, true_boxes), (marks, true_marks)])
    return decision + 0.5 * box + mark
