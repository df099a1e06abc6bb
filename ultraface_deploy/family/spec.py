"""What a network *is*: the one record that preprocessing, decoding and converting read."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, get_args

from ultraface_deploy.errors import InputError
from ultraface_deploy.family.classes import check_class_names
from ultraface_deploy.safe.records import convert, decode, plain

# `unknown` is for other people's compiled files, which run without our knowing.
Architecture = Literal["slim", "rfb", "unknown"]
Head = Literal["raw", "decoded", "conv"]
Color = Literal["rgb", "bgr", "gray"]
Centers = Literal["map", "stride"]

METADATA_KEY = "ultraface_deploy"
"""Under which a file that can carry metadata (ONNX, checkpoints) carries the spec."""

MIN_SIDE = 64
MAX_SIDE = 4096
MAX_CLASSES = 100
# Twice what the published anchors come to at the largest input; a description that asks for more
# is not of this family, and would fill the memory.
MAX_ANCHORS = 2_000_000
# Far above every sensible number of a description; what lies beyond would overflow.
_LARGEST = 100_000
# The name becomes file names and source code, and may come from a stranger's file.
_NAME = re.compile(r"\w[\w.+ -]{0,99}")


@dataclass(frozen=True)
class AnchorSpec:
    """How the anchors (priors) of the SSD head are laid out and how boxes are encoded on them.

    `min_boxes` are square anchor sides in pixels of the network input, one tuple a feature map.
    The variances are those of the SSD paper (Liu et al. 2016). `centers` says where anchors sit:
    `map` divides the input evenly by the feature map, `stride` puts them half a stride from the
    top left; where the input is not a multiple of the stride the two differ. `clip` limits
    anchors to the input.
    """

    strides: tuple[int, ...] = (8, 16, 32, 64)
    min_boxes: tuple[tuple[float, ...], ...] = (
        (10, 16, 24),
        (32, 48),
        (64, 96),
        (128, 192, 256),
    )
    center_variance: float = 0.1
    size_variance: float = 0.2
    centers: Centers = "map"
    clip: bool = True

    def __post_init__(self) -> None:
        values = [*self.strides, *(side for sides in self.min_boxes for side in sides)]
        values += [self.center_variance, self.size_variance]
        if not all(0 < value <= _LARGEST for value in values):
            raise ValueError(
                f"strides, anchor sides and variances must be positive, at most {_LARGEST}"
            )
        if not self.strides or len(self.strides) != len(self.min_boxes):
            raise ValueError(f"{len(self.strides)} strides, {len(self.min_boxes)} sets of anchors")
        if self.centers not in get_args(Centers):
            raise ValueError(f"centers {self.centers!r} of anchors are not known")


@dataclass(frozen=True)
class ModelSpec:
    """Architecture, input, classes, anchors and head of one network.

    The network input is NCHW float32 `(x - mean) / std` in `color` order. `head` says what the
    `boxes` output holds: `raw` offsets to be decoded on the anchors, or `decoded` corners
    x1 y1 x2 y2 in 0..1. With `conv` the network ends at its last convolutions, and the pipeline
    makes a raw head of what they give (`pipeline.join_maps`). `score_threshold` is the score above
    which a box is a face where nobody says otherwise: networks differ in how high they score.
    `landmarks` is the number of points that the network gives for each face: none, or five, coded
    like the centres of boxes.
    `gray` networks have one channel, whose mean and std are the first of the three.
    `class_names` are those of the labels 1, 2, ...; empty where nobody has said what they are.
    """

    name: str
    architecture: Architecture
    width: int = 320
    height: int = 240
    num_classes: int = 2
    head: Head = "raw"
    mean: tuple[float, float, float] = (127.0, 127.0, 127.0)
    std: tuple[float, float, float] = (128.0, 128.0, 128.0)
    color: Color = "rgb"
    anchors: AnchorSpec = field(default_factory=AnchorSpec)
    score_threshold: float = 0.5
    landmarks: int = 0
    class_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_input_size(self.width, self.height)
        if not _NAME.fullmatch(self.name):
            raise InputError(
                f"model name {self.name[:60]!r}: up to 100 letters, digits and . + - are allowed"
            )
        if not 2 <= self.num_classes <= MAX_CLASSES:
            raise InputError(
                f"model {self.name}: {self.num_classes} classes; they must be 2, background and "
                f"a face, to {MAX_CLASSES}"
            )
        if self.num_anchors > MAX_ANCHORS:
            raise InputError(
                f"model {self.name}: {self.num_anchors} anchors are too many; "
                "choose a smaller input"
            )
        if self.architecture not in get_args(Architecture) or self.head not in get_args(Head):
            raise InputError(
                f"model {self.name}: architecture {self.architecture!r} with head {self.head!r}; "
                "known are slim and rfb, raw, decoded and conv"
            )
        if not 0 <= self.score_threshold <= 1:
            raise InputError(
                f"model {self.name}: score threshold {self.score_threshold}; it must lie in 0..1"
            )
        if self.landmarks not in (0, 5):
            raise InputError(f"model {self.name}: {self.landmarks} landmarks; give 0 or 5")
        check_class_names(self.class_names, self.num_classes)
        # What preprocessing does not do must not be described: it would be silently left out.
        finite = all(abs(value) <= _LARGEST for value in (*self.mean, *self.std))
        known = self.color in get_args(Color)
        if not known or len(set(self.std)) != 1 or not self.std[0] > 1e-6 or not finite:
            raise InputError(
                f"model {self.name}: colour order {self.color!r}, mean {self.mean}, std "
                f"{self.std}; "
                f"choose from {', '.join(get_args(Color))} with one positive std for all "
                "channels can be preprocessed"
            )

    @property
    def input_shape(self) -> tuple[int, int, int, int]:
        """Shape of the network input, NCHW."""
        return (1, self.channels, self.height, self.width)

    @property
    def channels(self) -> int:
        """Channels of the network input: 3, or 1 of a gray network."""
        return 1 if self.color == "gray" else 3

    @property
    def outputs(self) -> dict[str, int]:
        """The network's outputs by name, and how many values each has per anchor."""
        named = {"scores": self.num_classes, "boxes": 4}
        return named | ({"landmarks": 2 * self.landmarks} if self.landmarks else {})

    @cached_property
    def feature_maps(self) -> tuple[tuple[int, int], ...]:
        """(width, height) of each feature map that carries anchors."""
        return tuple(
            (math.ceil(self.width / stride), math.ceil(self.height / stride))
            for stride in self.anchors.strides
        )

    @property
    def num_anchors(self) -> int:
        """Anchors over all feature maps: 4420 at 320x240, 17640 at 640x480."""
        return sum(
            width * height * len(sides)
            for (width, height), sides in zip(
                self.feature_maps, self.anchors.min_boxes, strict=True
            )
        )

    def resized(self, width: int, height: int) -> ModelSpec:
        """Return the same network at another input size."""
        return replace(self, width=width, height=height)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form that travels in manifests and in ONNX metadata."""
        data = plain(self.described())
        if not self.class_names:
            # As older versions wrote it: what they wrote and what is written now are one file.
            del data["class_names"]
        return data

    def described(self) -> Description:
        """Return the record that `from_description` reads."""
        inputs = Input(self.width, self.height, self.mean, self.std, self.color)
        return Description(
            self.name,
            self.architecture,
            self.num_classes,
            self.head,
            inputs,
            self.anchors,
            self.score_threshold,
            self.landmarks,
            self.class_names,
        )

    @classmethod
    def from_description(cls, found: Description) -> ModelSpec:
        """Make the spec that a file describes.

        Raises:
            InputError: no network can be like this.
        """
        return cls(
            found.name,
            found.architecture,
            found.input.width,
            found.input.height,
            found.num_classes,
            found.head,
            found.input.mean,
            found.input.std,
            found.input.color,
            found.anchors or AnchorSpec(),
            found.score_threshold,
            found.landmarks,
            found.class_names,
        )

    @classmethod
    def from_dict(cls, data: Any) -> ModelSpec:
        """Read what `to_dict` wrote.

        Raises:
            InputError: a field is missing or has a value that no network can have.
        """
        return cls._from(convert, data)

    @classmethod
    def from_json(cls, text: str) -> ModelSpec:
        """Read `to_dict` written as JSON.

        Raises:
            InputError: no JSON, or what `from_dict` raises.
        """
        return cls._from(decode, text)

    @classmethod
    def _from(cls, read: Callable[[Any, type[Description]], Description], data: Any) -> ModelSpec:
        try:
            found = read(data, Description)
        except InputError as error:
            raise InputError(f"model description is damaged: {error}; convert again") from error
        return cls.from_description(found)


@dataclass(frozen=True)
class Input:
    """The network input in the JSON form; see `ModelSpec`."""

    width: int
    height: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    color: Color


@dataclass(frozen=True)
class Description:
    """`ModelSpec` as it stands in JSON."""

    name: str
    architecture: Architecture
    num_classes: int
    head: Head
    input: Input
    anchors: AnchorSpec | None = None
    score_threshold: float = 0.5
    landmarks: int = 0
    class_names: tuple[str, ...] = ()


def check_input_size(width: int, height: int) -> None:
    """Refuse an input size that the four feature maps cannot work with.

    Raises:
        InputError: a side is below 64 or above 4096 pixels.
    """
    if not (MIN_SIDE <= width <= MAX_SIDE and MIN_SIDE <= height <= MAX_SIDE):
        raise InputError(
            f"input size {width}x{height}: each side must lie between {MIN_SIDE} and {MAX_SIDE} "
            "pixels, for example `input_size` 320x240"
        )


def parse_input_size(text: str) -> tuple[int, int]:
    """Read `320x240` as (width, height).

    Raises:
        InputError: the text is not a size, or the size is out of range.
    """
    width, separator, height = text.lower().partition("x")
    if not (separator and width.isdecimal() and height.isdecimal() and len(text) < 20):
        raise InputError(f"input size {text!r} is not WIDTHxHEIGHT, for example 320x240")
    check_input_size(int(width), int(height))
    return int(width), int(height)
