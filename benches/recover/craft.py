"""EasyOCR's text detector CRAFT (Baek et al., 2019) on tiles of pages that are drawn here: a few words on noisy paper."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch.nn import functional as F

from lettering import LETTERS, keep_fonts, kept_fonts
from network import load, package, published, trace
from subject import Subject, split

SIDE = 128
MEAN, STD = np.array([0.485, 0.456, 0.406]) * 255, np.array([0.229, 0.224, 0.225]) * 255
# EasyOCR's defaults.
TEXT, LOW_TEXT, LINK, LEAST_AREA = 0.7, 0.4, 0.4, 10


def prepare(folder: Path, packages: Path, _device: str) -> None:
    package(packages, "easyocr")
    package(packages, "easyocr.model")
    from easyocr.craft import CRAFT

    network = CRAFT()
    network.load_state_dict(published(packages / "easyocr_en_models/models/craft_mlt_25k.pth"))
    keep_fonts(folder.parent)
    trace(network, (3, SIDE, SIDE), folder / "network.pt")


def subject(folder: Path) -> Subject:
    random = np.random.default_rng(0)
    fonts = kept_fonts(folder.parent)
    tiles, boxes = zip(*(tile(random, fonts) for _ in range(760)), strict=True)
    samples = ((np.stack(tiles) - MEAN) / STD).transpose(0, 3, 1, 2).astype(np.float32)
    return Subject(
        name="craft",
        network=load(folder / "network.pt"),
        samples=split(samples, 300, 60),
        truth=boxes[:300],
        score=f1_of_words,
        unit="F1 of words found, 300 tiles",
        # EasyOCR reads the maps of text and links alone; the second output is features that it leaves aside.
        loss=lambda outputs, originals: F.mse_loss(outputs[0], originals[0]),
        told={"outputs": [{"index": 1, "kind": "ignore"}]},
        lr=5e-4,
        epochs=3,
        batch=16,
    )


def tile(random: np.random.Generator, fonts: list[Path]) -> tuple[np.ndarray, np.ndarray]:
    """Up to five words on paper, `[SIDE, SIDE, 3]`, and their boxes `[words, 4]`: left, top, right, bottom."""
    paper, ink = random.integers(170, 256, 3), random.integers(0, 90, 3)
    if random.random() < 0.2:
        paper, ink = ink, paper
    picture = Image.new("RGB", (SIDE, SIDE), tuple(int(level) for level in paper))
    boxes: list[tuple[int, int, int, int]] = []
    for _ in range(int(random.integers(3, 9))):
        word = "".join(random.choice(list(LETTERS), random.integers(2, 8)))
        font = ImageFont.truetype(str(random.choice(fonts)), int(random.integers(13, 29)))
        left, top, right, bottom = font.getbbox(word)
        width, height = right - left, bottom - top
        if width > SIDE - 8:
            continue
        x, y = int(random.integers(4, SIDE - 3 - width)), int(random.integers(4, SIDE - 3 - height))
        # A gap of a letter, so that two words on a line are not one word.
        gap = font.size // 2
        if all(
            x > box[2] + gap or x + width < box[0] - gap or y > box[3] + 4 or y + height < box[1] - 4 for box in boxes
        ):
            ImageDraw.Draw(picture).text((x - left, y - top), word, tuple(int(level) for level in ink), font)
            boxes.append((x, y, x + width, y + height))
    pixels = np.asarray(picture, np.float32) + random.normal(0, random.uniform(0, 16), (SIDE, SIDE, 3))
    return np.clip(pixels, 0, 255), np.array(boxes, np.float64).reshape(-1, 4)


def f1_of_words(outputs: list[np.ndarray], truth: tuple[np.ndarray, ...]) -> float:
    """A word is found by a box whose intersection with the true one is half of their union or more."""
    found = words(outputs[0])
    hits = sum(matches(of_tile, true) for of_tile, true in zip(found, truth, strict=True))
    return 2 * hits / (sum(map(len, found)) + sum(map(len, truth)))


def words(maps: np.ndarray) -> list[np.ndarray]:
    """Boxes `[words, 4]` of each tile, of maps `[N, H, W, 2]` for text and links, as EasyOCR draws them but never turned."""
    text, link = maps[..., 0], maps[..., 1] > LINK
    numbers = components((text > LOW_TEXT) | link)
    found = []
    for tile_text, tile_link, tile_numbers in zip(text, link, numbers, strict=True):
        boxes = []
        for number in np.unique(tile_numbers[tile_numbers > 0]):
            inside = tile_numbers == number
            kept = inside & ~(tile_link & (tile_text <= LOW_TEXT))
            if inside.sum() < LEAST_AREA or tile_text[inside].max() < TEXT or not kept.any():
                continue
            (top, bottom), (left, right) = extent(inside.any(1)), extent(inside.any(0))
            width, height = right - left, bottom - top
            margin = int(np.sqrt(inside.sum() * min(width, height) / (width * height)) * 2) / 2
            (top, bottom), (left, right) = extent(kept.any(1)), extent(kept.any(0))
            boxes.append((left - margin, top - margin, right + margin, bottom + margin))
        # The maps have half of the tile's resolution.
        found.append(2 * np.array(boxes, np.float64).reshape(-1, 4))
    return found


def components(mask: np.ndarray) -> np.ndarray:
    """A number for each pixel of `[N, H, W]`, the same for pixels that touch by an edge; 0 outside the mask."""
    numbers = np.arange(1, mask.size + 1).reshape(mask.shape) * mask
    while True:
        padded = np.pad(numbers, ((0, 0), (1, 1), (1, 1)))
        near = [padded[:, 2:, 1:-1], padded[:, :-2, 1:-1], padded[:, 1:-1, 2:], padded[:, 1:-1, :-2]]
        spread = np.maximum.reduce([numbers, *near]) * mask
        if np.array_equal(spread, numbers):
            return numbers
        numbers = spread


def extent(occupied: np.ndarray) -> tuple[int, int]:
    places = np.flatnonzero(occupied)
    return int(places[0]), int(places[-1]) + 1


def matches(found: np.ndarray, true: np.ndarray) -> int:
    """How many boxes of one tile find a word that no box before them has found."""
    low = np.maximum(found[:, None, :2], true[None, :, :2])
    high = np.minimum(found[:, None, 2:], true[None, :, 2:])
    both = np.clip(high - low, 0, None).prod(2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(1) for boxes in (found, true)]
    overlap = both / (areas[0][:, None] + areas[1][None] - both)
    hits = 0
    while overlap.size and overlap.max() >= 0.5:
        row, column = np.unravel_index(overlap.argmax(), overlap.shape)
        overlap[row], overlap[:, column] = 0, 0
        hits += 1
    return hits
