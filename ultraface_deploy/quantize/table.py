"""The calibration table: what was seen in every tensor, in a small file that people can read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ultraface_deploy.errors import InputError
from ultraface_deploy.quantize.network import Floats, Network
from ultraface_deploy.quantize.ranges import METHODS, Range
from ultraface_deploy.safe.files import PARSE_ERRORS, write_text
from ultraface_deploy.safe.records import Amount, Natural, Positive, plain, read

SCHEMA = 2
# Tables fit any file of the same network; exporters differ in the last bits of fused weights.
_SAME_WEIGHTS = 1e-3


@dataclass(frozen=True)
class LayerCost:
    """RMS error of scores and of box offsets when one layer alone is INT8, at undecided anchors."""

    scores: float
    boxes: float


@dataclass(frozen=True)
class CalibrationTable:
    """Statistics of a network's tensors over the calibration images.

    Attributes:
        model: name, input width and height, and per layer the L2 norm of its weights, by which a
            table is known to belong to a network.
        images: how many were read, and a hash of their contents.
        absmax: per tensor the largest magnitude of each channel, (C,).
        mean: per tensor the mean of each channel, (C,).
        ranges: `ranges[tensor][method]` is (low, high), after what the method rewrites.
        costs: per layer what it costs to make it INT8.
    """

    model: dict[str, Any]
    images: dict[str, Any]
    absmax: dict[str, Floats]
    mean: dict[str, Floats]
    ranges: dict[str, dict[str, Range]]
    costs: dict[str, LayerCost] = field(default_factory=dict)

    def require_network(self, network: Network, what: str = "calibration table") -> None:
        """Refuse a network that the table was not made from.

        Raises:
            InputError: other layers, or other weights.
        """
        norms, own = self.model["weight_norms"], weight_norms(network)
        if norms.keys() != own.keys() or set(network.tensors) - self.absmax.keys():
            raise InputError(f"{what}: made from a network with other layers; calibrate again")
        for name, norm in own.items():
            if abs(norm - norms[name]) > _SAME_WEIGHTS * abs(norm):
                raise InputError(f"{what}: made from other weights ({name}); calibrate again")

    def save(self, path: Path) -> None:
        """Write the table as JSON, one line per tensor, whole or not at all."""
        channels = {
            name: {
                "absmax": [rounded(value) for value in self.absmax[name]],
                "mean": [rounded(value) for value in self.mean[name]],
            }
            for name in self.absmax
        }
        sections = [
            f'"schema": {SCHEMA}',
            f'"model": {_lines(self.model, "  ")}',
            f'"images": {json.dumps(self.images)}',
            f'"costs": {_lines({name: asdict(cost) for name, cost in self.costs.items()}, "  ")}',
            f'"channels": {_lines(channels, "  ")}',
            f'"ranges": {_lines(self.ranges, "  ")}',
        ]
        write_text(path, "{\n  " + ",\n  ".join(sections) + "\n}\n")

    @classmethod
    def load(cls, path: Path) -> CalibrationTable:
        """Read what `save` wrote.

        Raises:
            InputError: no such file, or not a calibration table.
        """
        found = read(path, _File, "calibration table", "calibrate again", SCHEMA)
        try:
            ranges = _ranges_of_schema_1(found.ranges) if found.schema == 1 else found.ranges
            return cls(
                model=plain(found.model),
                images=plain(found.images),
                absmax=_arrays(found.channels, "absmax"),
                mean=_arrays(found.channels, "mean"),
                ranges=_ranges(ranges),
                costs=found.costs,
            )
        except PARSE_ERRORS as error:
            raise InputError(
                f"{path}: not a calibration table, or damaged (ranges: {error}); calibrate again"
            ) from error


@dataclass(frozen=True)
class _Model:
    name: str
    width: Positive
    height: Positive
    weight_norms: dict[str, Amount]


@dataclass(frozen=True)
class _Images:
    count: Natural
    sha256: str


@dataclass(frozen=True)
class _Channels:
    absmax: list[Amount]
    mean: list[float]


@dataclass(frozen=True)
class _File:
    schema: Literal[1, 2]
    model: _Model
    images: _Images
    costs: dict[str, LayerCost]
    channels: dict[str, _Channels]
    ranges: dict[str, dict[str, Range | dict[str, Range]]]


def weight_norms(network: Network) -> dict[str, float]:
    """Return the L2 norm of each layer's weights."""
    return {layer.name: rounded(float(np.linalg.norm(layer.weight))) for layer in network.layers}


def rounded(value: float) -> float:
    """Round to five significant digits: a table is read by people, and 8 bits need no more."""
    return float(f"{value:.5g}")


def _lines(mapping: Mapping[str, Any], indent: str) -> str:
    rows = [f"{indent}  {json.dumps(key)}: {json.dumps(mapping[key])}" for key in mapping]
    return "{\n" + ",\n".join(rows) + f"\n{indent}}}"


def _arrays(channels: Mapping[str, _Channels], key: str) -> dict[str, Floats]:
    return {name: np.array(getattr(entry, key), np.float32) for name, entry in channels.items()}


def _ranges(tensors: Mapping[str, Any]) -> dict[str, dict[str, Range]]:
    ranges = {}
    for name, methods in tensors.items():
        if missing := METHODS.keys() - methods.keys():
            raise ValueError(f"{name} has no {min(missing)}")
        ranges[name] = {method: methods[method] for method in METHODS}
        if not all(low <= 0 <= high for low, high in ranges[name].values()):
            raise ValueError(f"{name} must hold zero")
    return ranges


def _ranges_of_schema_1(kinds: Mapping[str, Any]) -> dict[str, Any]:
    """Schema 1 held every method after every kind of equalisation."""
    kind_of = {name: "all" if method.rewrites else "none" for name, method in METHODS.items()}
    return {
        tensor: {method: kinds[kind][tensor][method] for method, kind in kind_of.items()}
        for tensor in kinds["all"]
    }
