"""ONNX files that take several inputs at once; everything else is made from one that takes one."""

# Tested by tests/converters/onnx/test_batch.py.

from __future__ import annotations

import shutil
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from ultraface_deploy.artifacts.folder import Artifact
from ultraface_deploy.backends import Backend
from ultraface_deploy.errors import CheckFailed, InputError
from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.pipeline import preprocess
from ultraface_deploy.safe.images import embedded_images

FORMATS = ("onnx", "onnxsim")
"""That can take several inputs."""

_MOST = 1024
# Sums of many inputs are added in another order.
_SAME = 1e-3


def parse_batch(text: str) -> int | None:
    """Read `--batch`: a number, or `dynamic`, which is None.

    Raises:
        InputError: it is neither.
    """
    if text == "dynamic":
        return None
    if not (text.isdecimal() and len(text) < 6 and 1 <= int(text) <= _MOST):
        raise InputError(f"`batch` {text}: give 1 to {_MOST}, or dynamic")
    return int(text)


def require_batch(targets: Sequence[str], batch: int | None) -> None:
    """Refuse several inputs at once for formats that cannot take them.

    Raises:
        InputError: names them.
    """
    if batch != 1 and (others := set(targets) - set(FORMATS)):
        raise InputError(
            f"`batch`: ONNX files alone are made for several inputs, not {', '.join(others)}; "
            "convert to onnx or onnxsim"
        )


def single(file: Path, scratch: Path) -> Path:
    """Return an ONNX file that takes one input: the same one, or a copy in the scratch folder."""
    from ultraface_deploy.converters.onnx.header import input_batch

    if input_batch(file) == 1:
        return file
    from ultraface_deploy.converters.onnx.batch import set_batch

    copy = scratch / f"single-{file.name}"
    shutil.copyfile(file, copy)
    set_batch(copy, 1)
    return copy


def set_inputs(file: Path, batch: int | None) -> None:
    """Have an ONNX file take so many inputs at once; None for any number."""
    from ultraface_deploy.converters.onnx.header import input_batch

    # What takes any number, and was not asked for anything else, stays as it is.
    asked = 0 if batch is None else batch
    if input_batch(file) != asked and (batch != 1 or input_batch(file)):
        from ultraface_deploy.converters.onnx.batch import set_batch

        set_batch(file, batch)


def require_same(spec: ModelSpec, judge: Backend, artifact: Artifact, made: Sequence[Path]) -> None:
    """Refuse a network that computes an input otherwise beside others than alone.

    Raises:
        CheckFailed: says how far off it is.
    """
    session = judge.load(made, spec, precision=artifact.precision)
    inputs = [preprocess(image, spec) for image in islice(embedded_images(), 3)]
    together = session.run_batch(np.concatenate(inputs))
    for index, tensor in enumerate(inputs):
        for name, alone in session.run(tensor).items():
            off = float(np.abs(together[name][index] - alone[0]).max())
            if not off <= _SAME:
                raise CheckFailed(
                    f"`batch`: {artifact.id} computes other {name} for several inputs at once "
                    f"than for one (by {off:.2g}); leave out `batch`"
                )
