"""Writes shapes.npz: a procedural 32x32 RGB set of 14 classes, hard enough that pruning costs accuracy.

A class is one of seven outlines times one of two fillings (stripes, chequers). Everything else is chance: place, size,
rotation up to 34 degrees, four colours, a shaded background, strokes behind and across the shape, brightness, and noise.
x, x_val, x_test are uint8 [N, 3, 32, 32]; y, y_val, y_test are int64 [N], balanced. Only numpy is needed.

The same numpy gives the same bytes: the printed digest of the pixels is the one that the README names.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

SIDE = 32
SEED = 20_250_611
PER_CLASS = {"": 250, "_val": 50, "_test": 100}
BATCH = 500
NOISE = 0.1

Array = np.ndarray


def circle(x: Array, y: Array) -> Array:
    return np.hypot(x, y) - 0.85


def ring(x: Array, y: Array) -> Array:
    return np.abs(np.hypot(x, y) - 0.68) - 0.27


def square(x: Array, y: Array) -> Array:
    return np.maximum(np.abs(x), np.abs(y)) - 0.75


def triangle(x: Array, y: Array) -> Array:
    return np.maximum(np.abs(x) * 0.866 + y * 0.5, -y) - 0.5


def cross(x: Array, y: Array) -> Array:
    long, wide = np.maximum(np.abs(x), np.abs(y)) - 0.92, np.minimum(np.abs(x), np.abs(y)) - 0.34
    return np.maximum(long, wide)


def crescent(x: Array, y: Array) -> Array:
    return np.maximum(np.hypot(x, y) - 0.92, 0.62 - np.hypot(x - 0.5, y))


def star(x: Array, y: Array) -> Array:
    """Five points: the radius of the edge goes to and fro with the angle."""
    angle = np.abs((np.arctan2(y, x) / (2 * np.pi) * 5) % 1 - 0.5) * 2
    return np.hypot(x, y) - (0.42 + 0.58 * angle)


# Signed distance, roughly: below zero inside, in units of the shape's radius.
OUTLINES: list[Callable[[Array, Array], Array]] = [circle, ring, square, triangle, cross, crescent, star]


def stripes(x: Array, y: Array) -> Array:
    return np.sin(x)


def chequers(x: Array, y: Array) -> Array:
    return np.sin(x) * np.sin(y) * 1.6


FILLINGS: list[Callable[[Array, Array], Array]] = [stripes, chequers]
CLASSES = len(OUTLINES) * len(FILLINGS)


def main() -> None:
    path = Path(__file__).with_name("shapes.npz")
    random = np.random.default_rng(SEED)
    arrays: dict[str, Array] = {}
    digest = hashlib.sha256()
    for suffix, per_class in PER_CLASS.items():
        labels = random.permutation(np.repeat(np.arange(CLASSES, dtype=np.int64), per_class))
        images = np.concatenate([draw(part, random) for part in np.split(labels, range(BATCH, len(labels), BATCH))])
        arrays["x" + suffix], arrays["y" + suffix] = images, labels
        digest.update(images.tobytes() + labels.tobytes())
    np.savez_compressed(path, **arrays)
    counts = ", ".join(f"{len(arrays['y' + suffix])}" for suffix in PER_CLASS)
    print(f"{path.name}: {counts} images, {path.stat().st_size} bytes, sha256 of the pixels {digest.hexdigest()[:16]}")


def draw(labels: Array, random: np.random.Generator) -> Array:
    """One image for each label, uint8 [N, 3, 32, 32]."""
    count = len(labels)

    def uniform(low: float, high: float, *shape: int) -> Array:
        return random.uniform(low, high, (count, *shape, 1, 1))

    axis = (np.arange(SIDE) + 0.5) / SIDE * 2 - 1
    y, x = np.broadcast_arrays(axis[None, :, None], axis[None, None, :])

    # A background shaded from one colour to another, with strokes.
    first, second, light, dark = np.split(colours(4, count, random), 4, axis=1)
    first, second, light, dark = first * 0.5, second * 0.5, light * 0.4 + 0.6, dark * 0.6
    shade = turned(x, y, uniform(0, 2 * np.pi))[0] * 0.35 + 0.5
    image = mixed(first, second, shade[:, None])
    for _ in range(3):
        image = stroke(image, x, y, uniform, colours(1, count, random))

    # The shape, filled by its texture in two colours.
    scale = uniform(0.55, 0.85)
    u, v = turned(x - uniform(-0.2, 0.2), y - uniform(-0.2, 0.2), uniform(-0.6, 0.6))
    u, v = u / scale, v / scale
    fine, turn = uniform(6.0, 9.0), uniform(0, 2 * np.pi)
    along, across = turned(u, v, turn)
    along, across = along * fine + uniform(0, 6), across * fine + uniform(0, 6)
    outline, filling = np.divmod(labels, len(FILLINGS))
    distance = by_label(OUTLINES, outline, u, v)
    texture = by_label(FILLINGS, filling, along, across)
    inside = np.clip(0.5 - distance * scale * SIDE / 2, 0, 1)[:, None]
    blend = np.clip(texture * 1.5 + 0.5, 0, 1)[:, None]
    image = mixed(image, mixed(dark, light, blend), inside)

    # One stroke across it, brightness, noise.
    image = stroke(image, x, y, uniform, colours(1, count, random))
    image = (image - 0.5) * uniform(0.55, 1.0, 1) + 0.5 + uniform(-0.15, 0.15, 1)
    image = image + random.standard_normal(image.shape) * uniform(0.02, NOISE, 1)
    return np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)


def colours(number: int, count: int, random: np.random.Generator) -> Array:
    """[count, 3 * number, 1, 1] in 0 to 1, the channels of each colour side by side."""
    return random.uniform(0, 1, (count, 3 * number, 1, 1))


def mixed(first: Array, second: Array, share: Array) -> Array:
    return first + (second - first) * share


def turned(x: Array, y: Array, angle: Array) -> tuple[Array, Array]:
    sine, cosine = np.sin(angle), np.cos(angle)
    return cosine * x + sine * y, cosine * y - sine * x


def by_label(functions: list[Callable[[Array, Array], Array]], choice: Array, x: Array, y: Array) -> Array:
    values = np.empty_like(x)
    for index, function in enumerate(functions):
        chosen = choice == index
        values[chosen] = function(x[chosen], y[chosen])
    return values


def stroke(image: Array, x: Array, y: Array, uniform: Callable[..., Array], colour: Array) -> Array:
    """A straight stroke of a random place, direction, length and thickness."""
    u, v = turned(x - uniform(-0.9, 0.9), y - uniform(-0.9, 0.9), uniform(0, np.pi))
    distance = np.maximum(np.abs(u) - uniform(0.2, 0.8), np.abs(v) - uniform(0.02, 0.08))
    inside = np.clip(0.5 - distance * SIDE / 2, 0, 1)[:, None]
    return mixed(image, colour, inside)


if __name__ == "__main__":
    main()
