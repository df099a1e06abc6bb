"""Collecting the calibration table: two passes over the images, one in memory at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from ultraface_deploy.converters.onnx.layers import Floats, Network
from ultraface_deploy.errors import InputError
from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.quantize.equalize import EQUALIZATIONS, Equalization, equalization_factors
from ultraface_deploy.quantize.images import read_tensors
from ultraface_deploy.quantize.ranges import METHODS, Counts, Histogram, Range
from ultraface_deploy.quantize.sensitivity import measure_costs
from ultraface_deploy.quantize.table import CalibrationTable, rounded, weight_norms

BINS = 4096
# Enough for the order of the layers, which is all that is made of their costs.
COST_IMAGES = 32
Progress = Callable[[int, int], None]


@dataclass
class _Channels:
    """Running statistics of one tensor's channels, (C,) each."""

    low: Floats
    high: Floats
    total: Floats
    images: int = 0

    @classmethod
    def of(cls, channels: int) -> _Channels:
        low, high, total = np.zeros((3, channels), np.float32)
        return cls(low, high, total)

    def add(self, values: Floats) -> None:
        # Zero belongs to every range: convolutions pad with it.
        np.minimum(self.low, values.min(axis=1), out=self.low)
        np.maximum(self.high, values.max(axis=1), out=self.high)
        self.total += values.mean(axis=1)
        self.images += 1


@dataclass
class _Binning:
    """Running histogram of one tensor under one equalisation."""

    factors: Floats | None
    low: float
    high: float
    counts: Counts = field(default_factory=lambda: np.zeros(BINS, np.int64))

    @classmethod
    def of(cls, channels: _Channels, factors: Floats | None) -> _Binning:
        scale = np.ones_like(channels.low) if factors is None else factors
        return cls(
            factors, float((channels.low * scale).min()), float((channels.high * scale).max())
        )

    def add(self, values: Floats) -> None:
        per_unit = np.float32(BINS / ((self.high - self.low) or 1.0))
        scale = per_unit if self.factors is None else (self.factors * per_unit)[:, None]
        place = values * scale
        place -= np.float32(self.low) * per_unit
        bins = np.clip(place, 0, BINS - 1, out=place).astype(np.intp).ravel()
        self.counts += np.bincount(bins, minlength=BINS)

    def ranges(self) -> dict[str, Range]:
        histogram = Histogram(self.low, self.high, self.counts)
        found = {name: method(histogram) for name, method in METHODS.items()}
        return {
            name: (rounded(min(low, 0.0)), rounded(max(high, 0.0)))
            for name, (low, high) in found.items()
        }


def calibrate(
    network: Network,
    spec: ModelSpec,
    images: Sequence[Path],
    *,
    threads: int = 1,
    progress: Progress | None = None,
) -> CalibrationTable:
    """Collect the calibration table of a network over images.

    Args:
        network: the FP32 network.
        spec: what it is.
        images: photographs like those it will see; unreadable ones are left out.
        threads: of ONNX Runtime.
        progress: called with (done, all) after every image and pass.

    Raises:
        InputError: no image could be read.
    """
    probe = _Probe(network, threads)
    step = _Steps(progress, 2 * len(images) + len(network.layers))
    digest = hashlib.sha256()
    channels: dict[str, _Channels] = {}
    for tensor in read_tensors(images, spec):
        digest.update(tensor.tobytes())
        for name, values in probe.run(tensor):
            channels.setdefault(name, _Channels.of(len(values))).add(values)
        step()
    if not channels:
        raise InputError("calibration: no images were given")
    count = next(iter(channels.values())).images
    absmax = {
        name: _rounded(np.maximum(-entry.low, entry.high)) for name, entry in channels.items()
    }
    factors = {kind: equalization_factors(network, absmax, kind) for kind in EQUALIZATIONS}
    binnings = {
        name: {_key(own): _Binning.of(entry, own) for own in _variants(name, factors)}
        for name, entry in channels.items()
    }
    for tensor in read_tensors(images, spec):
        for name, values in probe.run(tensor):
            for binning in binnings[name].values():
                binning.add(values)
        step()
    found = {
        name: {key: binning.ranges() for key, binning in entry.items()}
        for name, entry in binnings.items()
    }
    table = CalibrationTable(
        model={
            "name": spec.name,
            "width": spec.width,
            "height": spec.height,
            "weight_norms": weight_norms(network),
        },
        images={"count": count, "sha256": digest.hexdigest()},
        absmax=absmax,
        mean={name: _rounded(entry.total / np.float32(count)) for name, entry in channels.items()},
        ranges={
            kind: {name: found[name][_key(factors[kind].get(name))] for name in found}
            for kind in EQUALIZATIONS
        },
    )
    tensors = list(islice(read_tensors(images, spec), COST_IMAGES))
    costs = measure_costs(network, table, tensors, threads=threads, step=step)
    return replace(table, costs=costs)


def _variants(name: str, factors: dict[Equalization, dict[str, Floats]]) -> list[Floats | None]:
    return [kind.get(name) for kind in factors.values()]


def _key(factors: Floats | None) -> bytes:
    """Equalisations that treat a tensor alike share one histogram of it."""
    return b"" if factors is None else factors.tobytes()


def _rounded(values: Floats) -> Floats:
    return np.array([rounded(value) for value in values], np.float32)


class _Probe:
    """A session that returns every tensor between convolutions."""

    def __init__(self, network: Network, threads: int) -> None:
        import onnxruntime

        model = onnx.ModelProto()
        model.CopyFrom(network.model)
        given = {value.name for value in model.graph.input}
        self._names = [name for name in network.tensors if name not in given]
        self._given = next(iter(given))
        model.graph.output.extend(
            helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in self._names
        )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )

    def run(self, tensor: Floats) -> Iterator[tuple[str, Floats]]:
        """Yield each tensor by name as (C, H * W)."""
        yield self._given, tensor.reshape(tensor.shape[1], -1)
        for name, values in zip(
            self._names, self._session.run(self._names, {self._given: tensor}), strict=True
        ):
            yield name, values.reshape(values.shape[1], -1)


class _Steps:
    """Counts finished images for the progress bar."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def __call__(self) -> None:
        self._done += 1
        if self._progress:
            self._progress(self._done, self._total)
