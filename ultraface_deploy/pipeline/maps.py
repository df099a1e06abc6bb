"""The rest of the head, for networks that end at their last convolutions.

Compilers for NPUs quantise best what ends there: transposes, the softmax and the decoding of boxes
are cheap on a processor. Such a network gives, for each feature map, a tensor of logits and one of
box offsets, as its convolutions make them; here they become the scores and boxes of a raw head.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ultraface_deploy.errors import InputError
from ultraface_deploy.family.spec import Description, ModelSpec
from ultraface_deploy.safe.files import write_text
from ultraface_deploy.safe.records import SCHEMA, Version, encode, read
from ultraface_deploy.safe.text import counted

Tensor = npt.NDArray[np.float32]
SUFFIX = ".head.json"


@dataclass(frozen=True)
class MapOutput:
    """One output of a network that ends at its convolutions.

    `holds` is what the raw head makes of it: scores (here still logits), boxes or landmarks
    (offsets). `feature_map` counts from the finest; `shape` is (1, anchors * values, height,
    width), all values of an anchor beside each other.
    """

    name: str
    holds: str
    feature_map: int
    shape: tuple[int, int, int, int]


@dataclass(frozen=True)
class HeadFile:
    """What `<model>.head.json` holds: the network, and its outputs in their order."""

    schema: Version
    model: Description
    outputs: tuple[MapOutput, ...]


def map_outputs(spec: ModelSpec) -> tuple[MapOutput, ...]:
    """Return the outputs of a network with the head `conv`: all logits, then all offsets."""
    anchors = [len(sides) for sides in spec.anchors.min_boxes]
    return tuple(
        MapOutput(f"{holds}_{index}", holds, index, (1, count * values, height, width))
        for holds, values in spec.outputs.items()
        for index, (count, (width, height)) in enumerate(
            zip(anchors, spec.feature_maps, strict=True)
        )
    )


def write_head(path: Path, spec: ModelSpec) -> None:
    """Write what is to be done with the outputs of a network, for whoever runs it elsewhere."""
    write_text(path, encode(HeadFile(SCHEMA, spec.described(), map_outputs(spec))))


def read_head(path: str | Path) -> ModelSpec:
    """Read what `convert --head conv` wrote beside the ONNX file.

    Raises:
        InputError: the file is missing, damaged, or describes no network of this family.
    """
    found = read(Path(path), HeadFile, "description of a head", "convert again with `head` conv")
    return ModelSpec.from_description(found.model)


def join_maps(
    outputs: Mapping[str, Tensor] | Sequence[Tensor], spec: ModelSpec
) -> dict[str, Tensor]:
    """Turn the outputs of a network that ends at its convolutions into those of a raw head.

    Args:
        outputs: float32, channels first or last, with or without the batch of one; INT8 outputs
            must be made real numbers first. By name, or in the order of `map_outputs`. Names that
            say nothing are told apart by their shapes.
        spec: what the network is.

    Returns:
        `scores` (1, N, C) after softmax, `boxes` (1, N, 4) raw offsets, and `landmarks`
        (1, N, 10) of networks that have them: what `postprocess` takes.

    Raises:
        InputError: an output is missing, or cannot be told from another by its shape.
    """
    wanted = map_outputs(spec)
    if not isinstance(outputs, Mapping):
        if len(outputs) != len(wanted):
            raise InputError(
                f"{counted(len(outputs), 'output')}; the network has {len(wanted)}: give these"
            )
        outputs = {each.name: values for each, values in zip(wanted, outputs, strict=True)}
    names = names_of_maps(outputs, spec)
    if names is None:
        shown = ", ".join(f"{name} {tuple(values.shape)}" for name, values in outputs.items())
        shapes = ", ".join(f"{each.name} {each.shape}" for each in wanted)
        raise InputError(
            f"outputs {shown} are not those of {spec.name}: {shapes}; give them by these names, or "
            "in this order"
        )
    joined = {
        holds: np.concatenate(
            [
                _rows(outputs[name], each, values)
                for each, name in zip(wanted, names, strict=True)
                if each.holds == holds
            ],
            axis=1,
        )
        for holds, values in spec.outputs.items()
    }
    joined["scores"] = _softmax(joined["scores"])
    return joined


def names_of_maps(outputs: Mapping[str, Tensor], spec: ModelSpec) -> list[str] | None:
    """Return what the outputs of `map_outputs` are called, None where it cannot be told."""
    wanted = map_outputs(spec)
    if all(each.name in outputs for each in wanted):
        names = [each.name for each in wanted]
        fitting = all(_lies(outputs[n].shape, e.shape) for n, e in zip(names, wanted, strict=True))
        return names if fitting else None
    found = []
    for each in wanted:
        fits = [name for name, values in outputs.items() if _lies(values.shape, each.shape)]
        if len(fits) != 1:
            return None
        found += fits
    # One tensor that would do for two outputs is none of them for certain.
    return found if len(set(found)) == len(found) else None


def _lies(shape: Sequence[int], wanted: tuple[int, int, int, int]) -> str | None:
    """Say whether a tensor has the channels `first` or `last`; None if it is another tensor."""
    sides = tuple(shape[1:]) if len(shape) == 4 and shape[0] == 1 else tuple(shape)
    _, channels, height, width = wanted
    if sides == (channels, height, width):
        return "first"
    return "last" if sides == (height, width, channels) else None


def _rows(tensor: Tensor, output: MapOutput, values: int) -> Tensor:
    """The values of each anchor, (1, anchors, values), in the order of `make_anchors`."""
    sides = tensor if tensor.ndim == 3 else tensor[0]
    last = sides if _lies(tensor.shape, output.shape) == "last" else sides.transpose(1, 2, 0)
    rows: Tensor = np.ascontiguousarray(last, np.float32).reshape(1, -1, values)
    return rows


def _softmax(logits: Tensor) -> Tensor:
    powers = np.exp(logits - logits.max(axis=2, keepdims=True))
    shares: Tensor = powers / powers.sum(axis=2, keepdims=True)
    return shares
