"""What has to be made for what is asked for: the steps of a conversion, each after its source."""

# Tested by tests/artifacts/test_convert.py.

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from ultraface_deploy.agreement.precision import Precision
from ultraface_deploy.artifacts.choose import runtimes_of
from ultraface_deploy.backends import Backend
from ultraface_deploy.converters import get_format, target_names
from ultraface_deploy.errors import InputError
from ultraface_deploy.family.spec import Head, ModelSpec
from ultraface_deploy.quantize import Int8


@dataclass(frozen=True)
class Step:
    """One artifact to make."""

    format: str
    precision: Precision = "fp32"


def plan(
    source_format: str,
    targets: Sequence[str],
    *precisions: Precision,
    head: Head = "raw",
    without: Collection[str] = (),
) -> list[Step]:
    """Return the steps to make the targets, each after what it starts from.

    `all` means every format that can be made and checked here: in FP32, and besides in the
    precisions those that have them; but those in `without`.

    Raises:
        InputError: a target is unknown, or has no such precision or head.
    """
    steps: dict[Step, None] = {}
    for target in targets:
        if target != "all":
            for precision in precisions:
                get_format(target).require_head(head, precision)
                steps |= dict.fromkeys(_road(source_format, Step(target, precision)))
            continue
        formats = map(get_format, target_names())
        in_all = [each.name for each in formats if each.in_all and head in each.heads]
        in_all = [name for name in in_all if name not in without]
        for step in (Step(name, kind) for kind in ("fp32", *precisions) for name in in_all):
            road = _road(source_format, step) if has_precision(step.format, step.precision) else []
            if road and _judged(step) and not _missing(source_format, road):
                steps |= dict.fromkeys(road)
    return list(steps)


def unfit(spec: ModelSpec) -> dict[str, str]:
    """Return which formats are not made from such a network: per format why."""
    found = {}
    for name in target_names():
        try:
            get_format(name).require_network(spec)
        except InputError as error:
            found[name] = str(error)
    return found


def left_out(source_format: str, head: Head = "raw") -> dict[str, str]:
    """Return what `all` does not make here because a package is missing: per format its extra."""
    found = {}
    formats = map(get_format, target_names())
    for record in (each for each in formats if each.in_all and head in each.heads):
        road = _road(source_format, Step(record.name, next(iter(record.precisions))))
        if _missing(source_format, road):
            found[record.name] = record.extra
    return found


def _missing(source_format: str, road: Sequence[Step]) -> list[Step]:
    """The steps of a road that need a package which is not installed."""
    return [s for s in road if s.format != source_format and get_format(s.format).missing()]


def _judged(step: Step) -> bool:
    return any(backend.available() for backend in runtimes_of(step.format, step.precision))


def has_precision(format: str, precision: Precision) -> bool:
    """Whether a format can be converted to in a precision."""
    return precision in get_format(format).precisions


def step_for(backend: Backend, precision: Precision) -> Step:
    """Return the artifact that a backend runs best in a precision.

    Raises:
        InputError: none of its formats has that precision.
    """
    if (step := find_step(backend, precision)) is None:
        raise InputError(
            f"`backend` {backend.name} does not run {precision}; choose another `precision`"
        )
    return step


def find_step(backend: Backend, precision: Precision) -> Step | None:
    """Return the artifact that a backend runs best in a precision, None where there is none."""
    if precision == "fp32":
        # ONNX is taken in as it is; what else cannot be made here is the last resort.
        here = [f for f in backend.formats if f == "onnx" or get_format(f).missing() is None]
        return Step((here or backend.formats)[0])
    for format in backend.formats:
        made = format in target_names() and has_precision(format, precision)
        if made and backend.runs(format, precision):
            return Step(format, precision)
    return None


def _road(source_format: str, step: Step) -> list[Step]:
    """The steps from the source to one artifact, itself included."""
    if step == Step(source_format):
        # An ONNX source is itself made an artifact; a checkpoint is only copied.
        return [step] if source_format == "onnx" else []
    return [*(s for name in sources_of(step) for s in _road(source_format, Step(name))), step]


def sources_of(step: Step) -> tuple[str, ...]:
    """Return the formats that an artifact is made from."""
    record = get_format(step.format)
    way = record.way(step.precision)
    if isinstance(way, Int8):
        # INT8 is planned on the simplified ONNX file, whatever else it is written from.
        return "onnxsim", *way.sources
    source = record.source_for(step.precision)
    return () if source is None else (source,)
