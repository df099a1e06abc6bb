"""What a network *is*: the one record that preprocessing, decoding and converting read."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

from ultraface_deploy.errors import InputError

# `unknown` is for other people's compiled files, which run without our knowing.
Architecture = Literal["slim", "rfb", "unknown"]
Head = Literal["raw", "decoded"]

METADATA_KEY = "ultraface_deploy"
"""Under which a file that can carry metadata (ONNX, checkpoints) carries the spec."""

MIN_SIDE = 64
MAX_SIDE = 4096
MAX_CLASSES = 100
# Twice what the published anchors come to at the largest input; a description that asks for more
# is not of this family, and would fill the memory.
MAX_ANCHORS = 2_000_000
# The name becomes file names and source code, and may come from a stranger's file.
_NAME = re.compile(r"\w[\w.+ -]{0,99}")


@dataclass(frozen=True)
class AnchorSpec:
    """How the anchors (priors) of the SSD head are laid out and how boxes are encoded on them.

    `min_boxes` are square anchor sides in pixels of the network input, one tuple a feature map.
    The variances are those of the SSD paper (Liu et al. 2016).
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

    def __post_init__(self) -> None:
        values = [*self.strides, *(side for sides in self.min_boxes for side in sides)]
        values += [self.center_variance, self.size_variance]
        if not all(math.isfinite(value) and value > 0 for value in values):
            raise ValueError("strides, anchor sides and variances must be positive")
        if not self.strides or len(self.strides) != len(self.min_boxes):
            raise ValueError(f"{len(self.strides)} strides, {len(self.min_boxes)} sets of anchors")


@dataclass(frozen=True)
class ModelSpec:
    """Architecture, input, classes, anchors and head of one network.

    The network input is NCHW float32 `(x - mean) / std` in `color` order. `head` says what the
    `boxes` output holds: `raw` offsets to be decoded on the anchors, or `decoded` corners
    x1 y1 x2 y2 in 0..1.
    """

    name: str
    architecture: Architecture
    width: int = 320
    height: int = 240
    num_classes: int = 2
    head: Head = "raw"
    mean: tuple[float, float, float] = (127.0, 127.0, 127.0)
    std: tuple[float, float, float] = (128.0, 128.0, 128.0)
    color: Literal["rgb"] = "rgb"
    anchors: AnchorSpec = field(default_factory=AnchorSpec)

    def __post_init__(self) -> None:
        check_input_size(self.width, self.height)
        if not _NAME.fullmatch(self.name):
            raise InputError(
                f"model name {self.name[:60]!r}: up to 100 letters, digits and . + - are allowed"
            )
        if not 2 <= self.num_classes <= MAX_CLASSES:
            raise InputError(
                f"model {self.name}: {self.num_classes} classes; background and a face make 2, "
                f"more than {MAX_CLASSES} are not supported"
            )
        if self.num_anchors > MAX_ANCHORS:
            raise InputError(f"model {self.name}: {self.num_anchors} anchors are too many")
        if self.architecture not in get_args(Architecture) or self.head not in get_args(Head):
            raise InputError(
                f"model {self.name}: architecture {self.architecture!r} with head {self.head!r}; "
                "known are slim and rfb, raw and decoded"
            )
        # What preprocessing does not do must not be described: it would be silently left out.
        if self.color != "rgb" or len(set(self.std)) != 1 or not self.std[0] > 0:
            raise InputError(
                f"model {self.name}: colour order {self.color!r} with std {self.std}; "
                "only rgb with one positive std for all channels can be preprocessed"
            )

    @property
    def input_shape(self) -> tuple[int, int, int, int]:
        """Shape of the network input, NCHW."""
        return (1, 3, self.height, self.width)

    @property
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
        return {
            "name": self.name,
            "architecture": self.architecture,
            "num_classes": self.num_classes,
            "head": self.head,
            "input": {
                "width": self.width,
                "height": self.height,
                "mean": list(self.mean),
                "std": list(self.std),
                "color": self.color,
            },
            "anchors": {
                "strides": list(self.anchors.strides),
                "min_boxes": [list(sides) for sides in self.anchors.min_boxes],
                "center_variance": self.anchors.center_variance,
                "size_variance": self.anchors.size_variance,
            },
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ModelSpec:
        """Read what `to_dict` wrote.

        Raises:
            InputError: a field is missing or has a value that no network can have.
        """
        try:
            size, anchors = data["input"], data.get("anchors")
            return cls(
                name=str(data["name"]),
                architecture=data["architecture"],
                width=int(size["width"]),
                height=int(size["height"]),
                num_classes=int(data["num_classes"]),
                head=data["head"],
                mean=_triple(size["mean"]),
                std=_triple(size["std"]),
                color=size["color"],
                anchors=AnchorSpec() if anchors is None else _anchors_from_dict(anchors),
            )
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise InputError(f"model description is damaged: {error!r}; convert again") from error

    @classmethod
    def from_json(cls, text: str) -> ModelSpec:
        """Read `to_dict` written as JSON.

        Raises:
            InputError: no JSON, or what `from_dict` raises.
        """
        try:
            return cls.from_dict(json.loads(text))
        except (ValueError, RecursionError) as error:
            raise InputError(
                f"the model description is not JSON ({error}); convert again"
            ) from error


def check_input_size(width: int, height: int) -> None:
    """Refuse an input size that the four feature maps cannot work with.

    Raises:
        InputError: a side is below 64 or above 4096 pixels.
    """
    if not (MIN_SIDE <= width <= MAX_SIDE and MIN_SIDE <= height <= MAX_SIDE):
        raise InputError(
            f"input size {width}x{height}: each side must lie between {MIN_SIDE} and {MAX_SIDE} "
            "pixels, for example --input-size 320x240"
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


def _triple(values: Any) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in values)
    if not all(math.isfinite(value) for value in (red, green, blue)):
        raise ValueError("mean and std must be finite")
    return red, green, blue


def _anchors_from_dict(data: Mapping[str, Any]) -> AnchorSpec:
    return AnchorSpec(
        strides=tuple(int(stride) for stride in data["strides"]),
        min_boxes=tuple(tuple(float(side) for side in sides) for sides in data["min_boxes"]),
        center_variance=float(data["center_variance"]),
        size_variance=float(data["size_variance"]),
    )
