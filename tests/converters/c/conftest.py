"""The embedded networks at a small size as C, compiled, beside their integers in Python."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tests.conftest import ROOT, require_installed
from ultraface_deploy import models
from ultraface_deploy.artifacts.convert import convert
from ultraface_deploy.artifacts.folder import ArtifactFolder
from ultraface_deploy.artifacts.source import resolve_source
from ultraface_deploy.converters.c.emit import emit_float, emit_int8
from ultraface_deploy.converters.c.float32 import lower_float
from ultraface_deploy.converters.c.int8 import Int8Network, lower
from ultraface_deploy.converters.c.topology import find_steps
from ultraface_deploy.converters.onnx.network import load_network
from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.quantize.network import Network
from ultraface_deploy.quantize.plan import Scheme, make_plan
from ultraface_deploy.quantize.quantizer import fitting_table
from ultraface_deploy.quantize.table import CalibrationTable

require_installed("onnxsim", "C is made from simplified ONNX")

HARNESS = Path(__file__).with_name("harness.c")
SETS = ("portable", "avx2", "avxvnni", "avx512vnni", "avx512vbmi", "neon", "dotprod", "i8mm")
FLOAT_SETS = ("portable", "avx2", "avx512", "neon")
SIZE = (128, 96)
Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


class Face(ctypes.Structure):
    """An `ultraface_face`."""

    _fields_ = (
        *((name, ctypes.c_float) for name in ("x1", "y1", "x2", "y2", "score")),
        ("label", ctypes.c_int),
    )


@dataclass(frozen=True)
class Case:
    """A network as C, and what its numbers should be."""

    spec: ModelSpec
    onnx_file: Path
    network: Network
    int8: Int8Network
    folder: Path

    @property
    def source(self) -> Path:
        """The INT8 file."""
        return self.folder / "int8.c"

    @property
    def float_source(self) -> Path:
        """The FP32 file."""
        return self.folder / "fp32.c"


class Library:
    """A compiled harness around a generated file."""

    def __init__(self, path: Path, spec: ModelSpec) -> None:
        self._calls, self._spec = ctypes.CDLL(str(path)), spec
        self._calls.ultraface_kernels.restype = ctypes.c_char_p
        self._calls.harness_point.restype = ctypes.c_int64

    @property
    def kernels(self) -> str:
        """The instruction set that is used."""
        name: bytes = self._calls.ultraface_kernels()
        return name.decode()

    def run(self, bgr: Bytes, threads: int = 1) -> dict[str, Floats]:
        """Scores (1, N, C) and raw boxes (1, N, 4)."""
        spec = self._spec
        scores = np.full((1, spec.num_anchors, spec.num_classes), np.nan, np.float32)
        boxes = np.full((1, spec.num_anchors, 4), np.nan, np.float32)
        height, width = bgr.shape[:2]
        status = self._calls.harness_run(
            _at(bgr), width, height, bgr.strides[0], threads, _at(scores), _at(boxes)
        )
        assert status == 0
        return {"scores": scores, "boxes": boxes}

    def resized(self, picture: Bytes, format: int = 0, keep_aspect: bool = False) -> Bytes:
        """What the network reads of a picture."""
        made = np.zeros((self._spec.height, self._spec.width, 3), np.uint8)
        height, width = picture.shape[:2]
        status = self._calls.harness_resize(
            *(_at(picture), width, height, picture.strides[0], format),
            *(int(keep_aspect), _at(made)),
        )
        assert status == 0
        return made

    def detect(
        self,
        picture: Bytes,
        format: int = 0,
        threshold: float = 0.5,
        capacity: int = 200,
        keep_aspect: bool = False,
        threads: int = 1,
    ) -> npt.NDArray[np.float64]:
        """Faces (N, 6): corners, score, label."""
        faces = (Face * max(capacity, 1))()
        height, width = picture.shape[:2]
        count = self._calls.harness_detect(
            *(_at(picture), width, height, picture.strides[0], format),
            *(ctypes.c_float(threshold), int(keep_aspect), threads, faces, capacity),
        )
        assert 0 <= count <= capacity
        rows = [[f.x1, f.y1, f.x2, f.y2, f.score, f.label] for f in faces[:count]]
        return np.array(rows).reshape(-1, 6)

    def makes_a_box(self, offsets: Sequence[float]) -> bool:
        """Whether offsets, as an FP32 network computes them, are decoded to a box."""
        points = [self._calls.harness_point(ctypes.c_double(offset)) for offset in offsets]
        made = np.zeros(4, np.int64)
        return bool(self._calls.harness_decode(_at(np.array(points, np.int64)), _at(made)))


def _at(array: npt.NDArray[Any]) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def compile_library(compiler: Sequence[str], source: Path, output: Path, *flags: str) -> Path:
    """Compile the harness around a generated file."""
    command = [*compiler, "-shared", "-fPIC", "-w", *flags, f'-DSOURCE="{source}"']
    subprocess.run([*command, "-o", str(output), str(HARNESS)], check=True)
    return output


def needs(program: str) -> str:
    """Return a program's path; skips the test where it is missing."""
    if (found := shutil.which(program)) is None:
        pytest.skip(f"needs {program}")
    return found


def write_case(name: str, size: tuple[int, int], folder: Path) -> Case:
    """Write an embedded network at a size as C, in INT8 and FP32."""
    source = resolve_source(models.FOLDER / f"{name}.onnx", size)
    made = convert(source, ["onnxsim"], output=folder / "artifacts")
    network, _ = load_network(made.files(made.find("onnxsim"))[0])
    shipped = sorted(models.FOLDER.glob("*.calibration.json"))
    table = fitting_table(network, shipped)
    assert table is not None
    return write_sources(made, table, folder)


def write_sources(made: ArtifactFolder, table: CalibrationTable, folder: Path) -> Case:
    """Write a network as C, in INT8 and FP32, ungated."""
    onnx_file = made.files(made.find("onnxsim"))[0]
    network, model = load_network(onnx_file)
    topology = find_steps(network, model, made.spec)
    int8 = lower(make_plan(network, table, Scheme()), topology, made.spec)
    float32 = lower_float(network, topology, made.spec)
    for stem, texts in (
        ("int8", emit_int8(int8, "int8.h")),
        ("fp32", emit_float(float32, "fp32.h")),
    ):
        for text, suffix in zip(texts, (".c", ".h"), strict=True):
            (folder / f"{stem}{suffix}").write_text(text)
    return Case(made.spec, onnx_file, network, int8, folder)


@pytest.fixture(scope="session")
def make_case(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Case]:
    """Return a function that gives the case of an embedded network at a size."""

    @lru_cache
    def make(name: str, size: tuple[int, int] = SIZE) -> Case:
        return write_case(name, size, tmp_path_factory.mktemp(name))

    return make


@pytest.fixture(scope="session")
def open_library(make_case: Callable[..., Case]) -> Callable[..., Library]:
    """Return a function that compiles a case, in INT8 or FP32, and opens it."""

    @lru_cache
    def make(
        name: str, precision: str = "int8", size: tuple[int, int] = SIZE, threads: int = 2
    ) -> Library:
        case = make_case(name, size)
        source = case.source if precision == "int8" else case.float_source
        output = case.folder / f"{precision}-{threads}.so"
        flags = ("-O1", f"-DULTRAFACE_THREADS={threads}")
        return Library(compile_library([needs("cc")], source, output, *flags), case.spec)

    return make


def pictures(spec: ModelSpec, count: int = 3) -> list[Bytes]:
    """Pictures of the network's size: noise, a face, and what saturates."""
    import cv2

    generator = np.random.default_rng(0)
    noise = generator.integers(0, 256, (count, spec.height, spec.width, 3), dtype=np.uint8)
    photo = cv2.imread(str(ROOT / "ultraface_deploy/photos/astronaut.jpg"))
    face = cv2.resize(photo, (spec.width, spec.height))
    extremes = np.where(noise[0] > 127, 255, 0).astype(np.uint8)
    return [*noise, np.asarray(face, np.uint8), extremes]
