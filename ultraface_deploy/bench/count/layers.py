"""Instructions of each layer of a C file on an emulated Arm core.

Needs no emulated machine with Python: the file is compiled with its parts in view, and run.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ultraface_deploy.bench.count.instructions import build_plugin
from ultraface_deploy.bench.count.sysroot import run_tool
from ultraface_deploy.errors import InputError
from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.safe.images import DEMO_PHOTO, read_image

_SOURCE = Path(__file__).with_name("layers.c")
_COMPILER = ("aarch64-linux-gnu-gcc", "-O3", "-static", "-w")
LARGE = (1024, 609)
"""Width and height of the picture whose resize is counted."""


@dataclass(frozen=True)
class LayerCounts:
    """Million instructions of a whole detection and of each step, and the kernels that ran.

    `resize` and `faces` are of a 1024x609 picture: what it takes besides the network.
    """

    kernels: str
    total: float
    resize: float
    faces: float
    steps: Mapping[str, float]


def count_layers(files: Sequence[Path], spec: ModelSpec, core: str) -> LayerCounts:
    """Count the instructions of one detection on an emulated core, one thread.

    Args:
        files: a C file and its header.
        spec: what the network is.
        core: for example `cortex-a76`.

    Raises:
        InputError: it is not a C file of this version, which is not compiled.
        MissingDependency: the emulator or the cross compiler is not installed.
        ToolFailed: one of them failed.
    """
    from ultraface_deploy.backends.native import require_our_code
    from ultraface_deploy.errors import BackendError

    try:
        texts = require_our_code(files)
    except BackendError as error:
        raise InputError(str(error)) from error
    with tempfile.TemporaryDirectory(prefix="ultraface-layers-") as name:
        scratch = Path(name)
        paths = {part: scratch / part for part in ("count", "counts", "pictures", "said")}
        for text, path in zip(texts, files, strict=True):
            (scratch / path.name).write_text(text, encoding="utf-8")
        size = [f"-DLARGE_WIDTH={LARGE[0]}", f"-DLARGE_HEIGHT={LARGE[1]}"]
        source = f'-DSOURCE="{scratch / files[0].name}"'
        run_tool([*_COMPILER, *size, source, "-o", str(paths["count"]), str(_SOURCE)])
        paths["pictures"].write_bytes(_pictures(spec))
        plugin = ["-plugin", f"{build_plugin(scratch)},out={paths['counts']}"]
        program = [str(paths["count"]), str(paths["pictures"]), str(paths["said"])]
        run_tool(["qemu-aarch64", "-cpu", core, *plugin, *program])
        counted = [int(line.split()[0]) / 1e6 for line in paths["counts"].read_text().splitlines()]
        kernels = paths["said"].read_text().split()[0]
    total, resize, faces, *others = counted
    steps = dict(zip(step_names(texts[0]), others, strict=True))
    return LayerCounts(kernels, total, resize, faces, steps)


def step_names(source: str) -> list[str]:
    """Return the names beside the rows of a C file's table of steps."""
    table = source.split("steps[STEPS] = {")[1].split("};")[0]
    return [line.split("/* ")[1].split(" */")[0] for line in table.splitlines() if "/* " in line]


def _pictures(spec: ModelSpec) -> bytes:
    """The shipped photograph at the network's size, and larger; BGR, row by row."""
    photo = read_image(DEMO_PHOTO)
    sizes = ((spec.width, spec.height), LARGE)
    return b"".join(np.asarray(cv2.resize(photo, size), np.uint8).tobytes() for size in sizes)
