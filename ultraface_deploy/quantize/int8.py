"""What a format says of its INT8: how a plan is written down, and how small that must be."""

# Tested by tests/quantize/test_quantizer.py.

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ultraface_deploy.family.spec import ModelSpec

if TYPE_CHECKING:
    from ultraface_deploy.quantize.network import Network
    from ultraface_deploy.quantize.plan import Plan
    from ultraface_deploy.quantize.search import Candidate
    from ultraface_deploy.quantize.table import CalibrationTable


@dataclass(frozen=True)
class Int8Job:
    """What INT8 files are made from.

    Attributes:
        spec: what the network is.
        network: its convolutions in FP32.
        files: its FP32 files by format: `onnxsim`, and what the record names as `sources`.
        images: the photographs that were calibrated on; none where a table was given.
        accelerator: what a format for accelerators compiles for.
        chip: what a format for a maker's chips compiles for; None for its default.
        keep_aspect: photographs are padded to the input's aspect ratio instead of stretched.
    """

    spec: ModelSpec
    network: Network
    files: Mapping[str, Sequence[Path]]
    images: Sequence[Path] = ()
    accelerator: str = "ethos-u55-128"
    chip: str | None = None
    keep_aspect: bool = False


@dataclass(frozen=True)
class Goal:
    """How close to FP32 detections end a search.

    A few hundred faces can agree by luck, so the scores must be close as well.
    """

    f1: float = 0.99
    score_error: float = 0.02


def _as_it_is(job: Int8Job, table: CalibrationTable) -> tuple[Network, CalibrationTable]:
    return job.network, table


@dataclass(frozen=True)
class Int8:
    """How a format becomes INT8. Imports no runtime before one of its functions is called.

    Attributes:
        emit: writes a plan into an empty folder; returns the files in the order of the manifest.
        share: the largest size relative to the format's own FP32 artifact.
        sources: formats whose FP32 files `emit` reads, besides the simplified ONNX file.
        rewrite: returns the network as the format computes it, of the same function and with the
            same layers, and the calibration table of that.
        keep: names the layers that stay FP32 whatever their range.
        budgets: bytes to spend on further layers in FP32, in the order in which they are tried.
        budgets_in_halves: the same for a core where those layers are computed in half floats.
        goal: what ends the search.
        others: further candidates, that need photographs and are no plan.
        plan_suffix: suffix of the foreign calibration tables that `read_plan` reads.
        read_plan: makes the plan that such a table describes.
    """

    emit: Callable[[Plan, Int8Job, Path], Sequence[Path]]
    share: float
    sources: tuple[str, ...] = ()
    rewrite: Callable[[Int8Job, CalibrationTable], tuple[Network, CalibrationTable]] = _as_it_is
    keep: Callable[[Network], Iterable[str]] = lambda network: ()
    budgets: tuple[int, ...] = (2_000, 8_000, 12_000, 20_000, 32_000, 64_000)
    budgets_in_halves: tuple[int, ...] | None = None
    goal: Goal = Goal()
    others: Callable[[Int8Job], Iterator[Candidate]] = lambda job: iter(())
    plan_suffix: str | None = None
    read_plan: Callable[[Path, Int8Job], Plan] | None = None
