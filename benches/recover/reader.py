"""EasyOCR's reader of Latin letters on rendered words."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from lettering import LETTERS, keep_fonts, kept_fonts
from network import load, package, published, trace
from subject import Subject, categorical, split

SYMBOLS = "0123456789!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ €"
CHARACTERS = SYMBOLS + "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def prepare(folder: Path, packages: Path, _device: str) -> None:
    package(packages, "easyocr")
    package(packages, "easyocr.model")
    from easyocr.model.vgg_model import Model

    inner = Model(1, 256, 256, len(CHARACTERS) + 1)
    inner.load_state_dict(published(packages / "easyocr_en_models/models/english_g2.pth"))

    class Reader(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.reader = inner

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.reader(x, x)

    keep_fonts(folder.parent)
    trace(Reader(), (1, 64, 256), folder / "network.pt")


def subject(folder: Path) -> Subject:
    random = np.random.default_rng(0)
    fonts = kept_fonts(folder.parent)
    words = ["".join(random.choice(list(LETTERS), random.integers(3, 9))) for _ in range(2600)]
    pictures = np.stack([rendered(word, random, fonts) for word in words])[:, None].astype(np.float32)

    return Subject(
        name="reader",
        network=load(folder / "network.pt"),
        samples=split(pictures, 500, 300),
        truth=words[:500],
        score=words_without_error,
        unit="words without error, of 500",
        loss=lambda outputs, originals: categorical(outputs[0], originals[0], 2),
        lr=5e-4,
        epochs=2,
    )


def rendered(word: str, random: np.random.Generator, fonts: list[Path]) -> np.ndarray:
    """A word as the reader gets it: 64 high, 256 wide, grey, padded to the right with its last column."""
    font = ImageFont.truetype(str(random.choice(fonts)), int(random.integers(34, 46)))
    left, top, right, bottom = font.getbbox(word)
    ink, paper = int(random.integers(0, 90)), int(random.integers(170, 256))
    picture = Image.new("L", (right - left + 16, bottom - top + 16), paper)
    ImageDraw.Draw(picture).text((8 - left, 8 - top), word, ink, font)
    picture = picture.resize((min(256, round(picture.width * 64 / picture.height)), 64), Image.Resampling.BICUBIC)
    pixels = np.asarray(picture, np.float32)
    pixels = pixels + random.normal(0, random.uniform(0, 12), pixels.shape)
    pixels = np.pad(pixels, ((0, 0), (0, 256 - pixels.shape[1])), mode="edge")
    return np.clip(pixels, 0, 255) / 127.5 - 1


def words_without_error(outputs: list[np.ndarray], truth: list[str]) -> float:
    right = 0
    for path, word in zip(outputs[0].argmax(2), truth, strict=True):
        kept = [now for before, now in zip([0, *path[:-1]], path, strict=True) if now not in (0, before)]
        right += "".join(CHARACTERS[index - 1] for index in kept) == word
    return right / len(truth)
