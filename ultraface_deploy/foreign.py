"""Recognising other people's files: input size, classes and head, from the files themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ultraface_deploy.backends.base import Backend, BackendError
from ultraface_deploy.checkpoint import model_name
from ultraface_deploy.errors import InputError
from ultraface_deploy.pipeline.anchors import make_anchors
from ultraface_deploy.spec import Architecture, Head, ModelSpec

# Companion of each first file, in the order in which backends take them.
_COMPANIONS = {".param": ".bin", ".prototxt": ".caffemodel"}
_FORMATS = {
    ".onnx": "onnx",
    ".mnn": "mnn",
    ".param": "ncnn",
    ".prototxt": "caffe",
    ".pth": "torch",
    ".pt": "torch",
}


def format_and_files(path: Path) -> tuple[str, tuple[Path, ...]]:
    """Return the format of a model file and all files that belong to it.

    Raises:
        InputError: the suffix is unknown or the companion file is missing.
    """
    format = _FORMATS.get(path.suffix)
    if format is None:
        raise InputError(f"{path}: unknown kind of model file; known are {', '.join(_FORMATS)}")
    if path.suffix not in _COMPANIONS:
        return format, (path,)
    companion = path.with_suffix(_COMPANIONS[path.suffix])
    if not companion.is_file():
        raise InputError(f"{path}: needs {companion.name} beside it, which is missing")
    return format, (path, companion)


def recognise(
    backend: Backend,
    files: Sequence[Path],
    input_size: tuple[int, int] | None = None,
    head: Head | None = None,
) -> ModelSpec:
    """Find out what a file without manifest holds, by asking and by running it once.

    Args:
        backend: the runtime that reads it.
        files: the file with its companions.
        input_size: (width, height) where the user knows it.
        head: head where the user knows it.

    Raises:
        InputError: the input size is not stated in the file and was not given.
        BackendError: the file does not run, or is no network of this family.
    """
    if (stated := backend.stated_spec(files)) is not None:
        return stated
    size = input_size or backend.input_size(files)
    if size is None:
        raise InputError(f"{files[0]}: does not state its input size; give --input-size 320x240")
    spec = ModelSpec(model_name(files[0]), "unknown", *size)
    for classes in (2, 3, 4, 5):
        try:
            session = backend.load(files, replace(spec, num_classes=classes))
        except BackendError as error:
            if "do not fit" not in str(error) or classes == 5:
                raise
            continue
        found = replace(spec, num_classes=classes)
        gray = np.zeros(spec.input_shape, np.float32)
        return replace(found, head=head or head_of(session.run(gray)["boxes"][0], found))
    raise AssertionError("unreachable")


def head_of(boxes: np.ndarray, spec: ModelSpec) -> Head:
    """Tell corners from offsets: corners are boxes around their anchors, offsets are not.

    Args:
        boxes: (N, 4) float32 of one run.
        spec: the network, for its anchors.
    """
    anchors = make_anchors(spec)
    sizes = boxes[:, 2:] - boxes[:, :2]
    near = np.abs((boxes[:, :2] + boxes[:, 2:]) / 2 - anchors[:, :2]) < 2 * anchors[:, 2:]
    return "decoded" if (sizes > 0).all() and near.mean() > 0.9 else "raw"


def spec_of_onnx(path: Path, name: str | None = None) -> ModelSpec:
    """Return the spec in a file's metadata, or else recognise it by running it.

    Raises:
        InputError: no ONNX file, damaged, or no network of this family.
    """
    from ultraface_deploy.backends import get_backend
    from ultraface_deploy.converters import onnx as onnx_files

    model = onnx_files.load(path)
    spec = onnx_files.read_spec(model)
    if spec is None:
        architecture: Architecture = "rfb" if onnx_files.has_dilation(model) else "slim"
        spec = replace(recognise(get_backend("onnxruntime"), [path]), architecture=architecture)
    return spec if name is None else replace(spec, name=name)
