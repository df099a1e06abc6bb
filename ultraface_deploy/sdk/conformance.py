"""What every binding must find: small pictures in every format, and the faces of the pipeline.

The pictures are raw bytes and the faces are JSON, and once more lines of words, so that a test in
any language reads them without a library.
"""

# Tested by tests/sdk/test_bindings.py.

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from ultraface_deploy.detect.detector import Detector
from ultraface_deploy.pipeline.view import Rectangle, View
from ultraface_deploy.safe import images
from ultraface_deploy.safe.files import write_bytes, write_text
from ultraface_deploy.safe.images import PHOTOS, Image, read_image
from ultraface_deploy.safe.opencv import cv2
from ultraface_deploy.safe.records import SCHEMA, Version
from ultraface_deploy.safe.records import encode as to_json

Format = Literal["bgr", "rgb", "gray", "nv21", "rgba", "bgra", "nv12", "i420"]
Scene = Literal["one", "two", "four", "nobody"]
Pixels = npt.NDArray[np.uint8]

YUV: tuple[Format, ...] = ("nv21", "nv12", "i420")
BOX_TOLERANCE_PX = 1.0
SCORE_TOLERANCE = 1e-3
FRAMES_CASE = 5
"""Which picture is detected again and again: NV21 held by 270 degrees, as phones have it."""


@dataclass(frozen=True)
class Recipe:
    """How a picture of the set is made, and how it is to be looked at."""

    name: str
    scene: Scene
    size: tuple[int, int]
    format: Format
    rotation: int = 0
    mirrored: bool = False
    gap: int = 0
    region: Rectangle | None = None
    keep_aspect: bool = False


RECIPES = (
    Recipe("bgr", "one", (160, 120), "bgr"),
    Recipe("rgb-90", "two", (200, 120), "rgb", rotation=90),
    Recipe("rgba-180-gap", "one", (160, 120), "rgba", rotation=180, gap=20),
    Recipe("bgra-270-mirrored", "two", (200, 120), "bgra", rotation=270, mirrored=True),
    Recipe("gray-mirrored", "one", (121, 131), "gray", mirrored=True),
    Recipe("nv21-270", "two", (240, 160), "nv21", rotation=270),
    Recipe("nv12-90-gap", "one", (160, 160), "nv12", rotation=90, gap=32),
    Recipe("i420-180", "two", (200, 120), "i420", rotation=180),
    Recipe("nv21-90-mirrored-region", "four", (240, 200), "nv21", 90, True, region=(0, 0, 121, 99)),
    Recipe("rgb-region-gap", "four", (240, 200), "rgb", gap=7, region=(118, 3, 120, 190)),
    Recipe("bgra-keep-aspect", "one", (80, 240), "bgra", keep_aspect=True),
    Recipe("bgr-nobody", "nobody", (97, 61), "bgr"),
)


@dataclass(frozen=True)
class FoundFace:
    """Corners in pixels of the upright picture, score in 0..1, class from 1."""

    box: tuple[float, float, float, float]
    score: float
    label: int


@dataclass(frozen=True)
class Case:
    """A file of raw pixels, how to look at it, and its faces, best first.

    The file holds not one byte more than the picture needs; `region` is in the upright picture.
    """

    name: str
    file: str
    format: Format
    width: int
    height: int
    stride: int
    rotation: int
    mirrored: bool
    keep_aspect: bool
    region: Rectangle | None
    faces: Sequence[FoundFace]


@dataclass(frozen=True)
class Conformance:
    """What `conformance/cases.json` of a generated project holds."""

    schema: Version
    model: str
    box_tolerance_px: float
    score_tolerance: float
    cases: Sequence[Case]
    class_names: Sequence[str] = ()


def write_conformance(detector: Detector, folder: Path) -> Conformance:
    """Write the set for what a detector finds.

    Args:
        detector: the artifact that the project is made of, in its Python backend.
        folder: where `cases.json`, `cases.txt` and the pictures go, and `example.ppm`, a picture
            of two people for the bindings' examples.
    """
    folder.mkdir()
    cases = []
    for recipe in RECIPES:
        case, content = _make(recipe, detector)
        write_bytes(folder / case.file, content)
        cases.append(case)
    spec = detector.spec
    tolerances = (BOX_TOLERANCE_PX, SCORE_TOLERANCE)
    made = Conformance(SCHEMA, spec.name, *tolerances, cases, spec.class_names)
    write_text(folder / "cases.json", to_json(made))
    write_text(folder / "cases.txt", "\n".join(_lines(made)) + "\n")
    write_bytes(folder / "example.ppm", images.encode(scene("two", (400, 200)), ".ppm"))
    return made


def upright(bgr: Image, rotation: int, mirrored: bool) -> Image:
    """Turn clockwise by degrees, then mirror from left to right."""
    turned = np.rot90(bgr, -rotation // 90)
    return np.ascontiguousarray(turned[:, ::-1] if mirrored else turned)


def held(bgr: Image, rotation: int, mirrored: bool) -> Image:
    """Return the picture that `upright` makes `bgr` of."""
    return np.ascontiguousarray(np.rot90(bgr[:, ::-1] if mirrored else bgr, rotation // 90))


def encode(bgr: Image, format: Format) -> Pixels:
    """Return a picture of even sides in a format: (H, W[, channels]), YUV as (H * 3 / 2, W)."""
    if format == "bgr":
        return bgr
    if format == "rgb":
        return np.ascontiguousarray(bgr[..., ::-1])
    if format in ("rgba", "bgra"):
        # What stands for alpha must not matter.
        alpha = np.arange(bgr[..., :1].size, dtype=np.uint8).reshape(bgr[..., :1].shape)
        return np.concatenate([encode(bgr, "rgb") if format == "rgba" else bgr, alpha], axis=2)
    if format == "gray":
        return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY), np.uint8)
    planar = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2YUV_I420), np.uint8)
    if format == "i420":
        return planar
    height, width = bgr.shape[:2]
    planes = planar[height:].reshape(2, -1)
    pairs = planes if format == "nv12" else planes[::-1]
    return np.concatenate([planar[:height], pairs.T.reshape(-1, width)])


def decode(pixels: Pixels, format: Format) -> Image:
    """Return as BGR what pixels of a format mean."""
    if format == "bgr":
        return pixels
    name = f"YUV2BGR_{format.upper()}" if format in YUV else f"{format.upper()}2BGR"
    return np.asarray(cv2.cvtColor(pixels, getattr(cv2, f"COLOR_{name}")), np.uint8)


def scene(kind: Scene, size: tuple[int, int]) -> Image:
    """Return a picture (H, W, 3) BGR with so many people in it."""
    if kind == "nobody":
        width, height = size
        noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
        return noise
    one = read_image(PHOTOS / "astronaut.jpg")[:400, 40:440]
    other = read_image(PHOTOS / "grace_hopper.jpg")[:400, 60:460]
    row = np.hstack([one, other])
    whole = {"one": one, "two": row, "four": np.vstack([row, row[:, ::-1]])}[kind]
    return np.asarray(cv2.resize(whole, size, interpolation=cv2.INTER_AREA), np.uint8)


def _make(recipe: Recipe, detector: Detector) -> tuple[Case, bytes]:
    picture = held(scene(recipe.scene, recipe.size), recipe.rotation, recipe.mirrored)
    pixels = encode(picture, recipe.format)
    seen = upright(decode(pixels, recipe.format), recipe.rotation, recipe.mirrored)
    view = View(keep_aspect=recipe.keep_aspect, roi=recipe.region)
    found = Detector(detector.session, detector.backend, detector.options, view).detect(seen)
    rows = pixels.reshape(len(pixels), -1)
    stride = rows.shape[1] + recipe.gap
    gaps = np.pad(rows, [(0, 0), (0, recipe.gap)], constant_values=255)
    content = gaps.tobytes()[: len(gaps) * stride - recipe.gap]
    case = Case(
        name=recipe.name,
        file=f"{recipe.name}.raw",
        format=recipe.format,
        width=picture.shape[1],
        height=picture.shape[0],
        stride=stride,
        rotation=recipe.rotation,
        mirrored=recipe.mirrored,
        keep_aspect=recipe.keep_aspect,
        region=recipe.region,
        faces=[
            FoundFace((float(x1), float(y1), float(x2), float(y2)), float(score), int(label))
            for (x1, y1, x2, y2), score, label in zip(
                found.boxes, found.scores, found.labels, strict=True
            )
        ],
    )
    return case, content


def _lines(made: Conformance) -> Iterator[str]:
    yield "# name LABEL NAME, which may have spaces in it"
    yield (
        "# case NAME FILE FORMAT WIDTH HEIGHT STRIDE ROTATION MIRRORED KEEP_ASPECT X Y WIDTH HEIGHT"
    )
    yield "# face X1 Y1 X2 Y2 SCORE LABEL"
    for label, name in enumerate(made.class_names, 1):
        yield f"name {label} {name}"
    for case in made.cases:
        numbers = (case.width, case.height, case.stride, case.rotation)
        flags = (int(case.mirrored), int(case.keep_aspect))
        region = case.region or (0, 0, 0, 0)
        words = (case.name, case.file, case.format, *numbers, *flags, *region)
        yield " ".join(map(str, ("case", *words)))
        for face in case.faces:
            yield " ".join(map(str, ("face", *face.box, face.score, face.label)))
