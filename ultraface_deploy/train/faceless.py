"""Pictures without faces, made from numbers: whatever is found in them is a false alarm."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Rng = np.random.Generator
_SIZE = (640, 480)
# Height and width cut out of it, so that kept proportions are not those of every input.
_SHAPES = ((480, 640), (480, 360), (360, 640))


def pictures(count: int, seed: int = 1) -> Iterator[tuple[str, Image]]:
    """Yield kind and (H, W, 3) uint8 BGR of `count` pictures, kinds and shapes in turn.

    Of each kind one is wide (640x480), one upright (360x480), one wider (640x360), and so on. The
    same count and seed give the same pictures.
    """
    kinds = list(_KINDS)
    for number in range(count):
        kind = kinds[number % len(kinds)]
        levels = _KINDS[kind](np.random.default_rng((seed, number)))
        height, width = _SHAPES[number // len(kinds) % len(_SHAPES)]
        yield kind, np.clip(levels[:height, :width], 0, 255).astype(np.uint8)


def _clouds(rng: Rng) -> Floats:
    """Noise of all scales, in one colour or in three."""
    channels = int(rng.choice([1, 3]))
    rough = rng.uniform(0.4, 0.8)
    total = np.zeros((_SIZE[1], _SIZE[0], channels), np.float32)
    for octave in range(2, 9):
        grid = rng.normal(0, 1, (3 * 2**octave // 4, 2**octave, channels)).astype(np.float32)
        total += rough**octave * _resized(grid)
    return _stretched(total) + np.zeros(3, np.float32)


def _grain(rng: Rng) -> Floats:
    """A slope of gray with the noise of a camera in the dark."""
    x, y = _coordinates()
    slope = rng.uniform(20, 120) + x * rng.uniform(-80, 80) + y * rng.uniform(-80, 80)
    noise = rng.normal(0, rng.uniform(2, 40), (_SIZE[1], _SIZE[0], 3))
    return np.asarray(slope[..., None] + noise, np.float32)


def _stripes(rng: Rng) -> Floats:
    """Waves across waves, as of cloth, blinds or a fence."""
    x, y = _coordinates()
    total = np.zeros_like(x)
    for _ in range(int(rng.integers(1, 4))):
        angle, waves = rng.uniform(0, np.pi), rng.uniform(4, 90)
        total += np.sin(2 * np.pi * waves * (x * np.cos(angle) + y * np.sin(angle)))
    if rng.random() < 0.5:
        total = np.sign(total).astype(np.float32)
    return _tinted(_stretched(total), rng)


def _discs(rng: Rng) -> Floats:
    """Ovals of all sizes over each other: fruit, stones, wheels."""
    canvas = _tinted(np.full((_SIZE[1], _SIZE[0]), 128, np.float32), rng)
    for _ in range(int(rng.integers(10, 80))):
        middle = [int(rng.integers(0, side)) for side in _SIZE]
        radius = float(np.exp(rng.uniform(np.log(4), np.log(120))))
        axes = (int(radius), max(1, int(radius * rng.uniform(0.6, 1.2))))
        colour = rng.uniform(0, 255, 3).tolist()
        cv2.ellipse(canvas, middle, axes, float(rng.uniform(0, 180)), 0, 360, colour, -1)
    return np.asarray(cv2.GaussianBlur(canvas, (0, 0), rng.uniform(0.5, 3)), np.float32)


def _bricks(rng: Rng) -> Floats:
    """A wall: shifted rows of rectangles, each with a shade of its own."""
    wide, high = int(rng.integers(24, 120)), int(rng.integers(12, 60))
    canvas = np.full((_SIZE[1], _SIZE[0], 3), rng.uniform(60, 200), np.float32)
    colour = rng.uniform(40, 200, 3)
    for row, top in enumerate(range(0, _SIZE[1], high)):
        for left in range(-(row % 2) * wide // 2, _SIZE[0], wide):
            shade = (colour + rng.normal(0, 15)).tolist()
            right, bottom = left + wide - 4, top + high - 4
            cv2.rectangle(canvas, (left, top), (right, bottom), shade, -1)
    return canvas + rng.normal(0, 8, canvas.shape).astype(np.float32)


def _landscape(rng: Rng) -> Floats:
    """Sky, a sun, and ridges of hills, the nearer the darker and the rougher."""
    _, y = _coordinates()
    sky = np.array([rng.uniform(180, 250), rng.uniform(140, 220), rng.uniform(90, 240)], np.float32)
    canvas = sky * (0.6 + 0.4 * y[..., None])
    sun = [int(rng.integers(0, _SIZE[0])), int(rng.integers(0, _SIZE[1] // 3))]
    cv2.circle(canvas, sun, int(rng.integers(8, 50)), (200, 240, 255), -1)
    canvas = np.asarray(cv2.GaussianBlur(canvas, (0, 0), 2), np.float32)
    for ridge in range(int(rng.integers(3, 7))):
        steps = rng.normal(0, 1, 4 * 2 ** (ridge + 1)).astype(np.float32)[None]
        line = cv2.resize(steps, (_SIZE[0], 1), interpolation=cv2.INTER_CUBIC)[0]
        top = 0.3 + 0.11 * ridge + 0.04 * line
        texture = rng.normal(0, 6 + 5 * ridge, (_SIZE[1], _SIZE[0], 1)).astype(np.float32)
        colour = rng.uniform(30, 110, 3).astype(np.float32) * (1.4 - 0.15 * ridge)
        canvas = np.where((y > top)[..., None], colour + texture, canvas)
    return np.asarray(canvas, np.float32)


_KINDS: dict[str, Callable[[Rng], Floats]] = {
    "clouds": _clouds,
    "grain": _grain,
    "stripes": _stripes,
    "discs": _discs,
    "bricks": _bricks,
    "landscapes": _landscape,
}


def _coordinates() -> tuple[Floats, Floats]:
    """Return x and y, (480, 640) in 0..1."""
    x, y = np.meshgrid(np.linspace(0, 1, _SIZE[0]), np.linspace(0, 1, _SIZE[1]))
    return x.astype(np.float32), y.astype(np.float32)


def _resized(grid: Floats) -> Floats:
    resized = cv2.resize(grid, _SIZE, interpolation=cv2.INTER_CUBIC)
    return np.asarray(resized.reshape(_SIZE[1], _SIZE[0], -1), np.float32)


def _stretched(values: Floats) -> Floats:
    """Bring values to 0..255."""
    low, high = values.min(), values.max()
    return np.asarray(255 * (values - low) / max(high - low, 1e-6), np.float32)


def _tinted(gray: Floats, rng: Rng) -> Floats:
    return np.asarray(gray[..., None] * rng.uniform(0.5, 1, 3), np.float32)
