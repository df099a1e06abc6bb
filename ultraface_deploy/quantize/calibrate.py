"""Collecting the calibration table: two passes over the images, one in memory at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import numpy as np

from ultraface_deploy.errors import InputError
from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.quantize.equalize import equalization_factors
from ultraface_deploy.quantize.images import read_tensors
from ultraface_deploy.quantize.network import Executor, Floats, Network
from ultraface_deploy.quantize.ranges import METHODS, Counts, Histogram, Method, Range
from ultraface_deploy.quantize.sensitivity import measure_costs
from ultraface_deploy.quantize.table import CalibrationTable, rounded, weight_norms
from ultraface_deploy.safe.images import Image

BINS = 4096
# Enough for the order of the layers, which is all that is made of their costs.
COST_IMAGES = 32
OnPhotograph = Callable[[int, int], None]


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

    def range(self, method: Method) -> Range:
        low, high = method.find(Histogram(self.low, self.high, self.counts))
        return rounded(min(low, 0.0)), rounded(max(high, 0.0))


def calibrate(
    network: Network,
    executor: Executor,
    spec: ModelSpec,
    images: Sequence[Path | Image],
    *,
    progress: OnPhotograph | None = None,
    keep_aspect: bool = False,
) -> CalibrationTable:
    """Collect the calibration table of a network over images.

    Args:
        network: the FP32 network.
        executor: runs it.
        spec: what it is.
        images: photographs like those it will see, files or read; unreadable ones are left out.
        progress: called with (done, all) after every image and pass.
        keep_aspect: pad the images to the input's aspect ratio instead of stretching them.

    Raises:
        InputError: no image could be read.
    """
    step = _Steps(progress, 2 * len(images) + len(network.layers))
    digest = hashlib.sha256()
    channels: dict[str, _Channels] = {}
    for tensor in read_tensors(images, spec, keep_aspect):
        digest.update(tensor.tobytes())
        for name, values in executor.tensors(tensor):
            channels.setdefault(name, _Channels.of(len(values))).add(values)
        step()
    if not channels:
        raise InputError("calibration: no images were given; give at least one")
    count = next(iter(channels.values())).images
    absmax = {
        name: _rounded(np.maximum(-entry.low, entry.high)) for name, entry in channels.items()
    }
    factors = equalization_factors(network, absmax)
    # As the network is, and rewritten; most tensors are the same in both.
    plain = {name: _Binning.of(entry, None) for name, entry in channels.items()}
    rewritten = plain | {name: _Binning.of(channels[name], own) for name, own in factors.items()}
    for tensor in read_tensors(images, spec, keep_aspect):
        for name, values in executor.tensors(tensor):
            for binning in {id(each): each for each in (plain[name], rewritten[name])}.values():
                binning.add(values)
        step()
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
            name: {
                key: (rewritten if method.rewrites else plain)[name].range(method)
                for key, method in METHODS.items()
            }
            for name in channels
        },
    )
    tensors = list(islice(read_tensors(images, spec, keep_aspect), COST_IMAGES))
    return replace(table, costs=measure_costs(network, executor, table, tensors, step))


def _rounded(values: Floats) -> Floats:
    return np.array([rounded(value) for value in values], np.float32)


class _Steps:
    """Counts finished images for the progress bar."""

    def __init__(self, progress: OnPhotograph | None, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def __call__(self) -> None:
        self._done += 1
        if self._progress:
            self._progress(self._done, self._total)
