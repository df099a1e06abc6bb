"""Networks to convert: with seeded random weights, or made from a published checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest

from tests.conftest import random_network as make_network
from ultraface_deploy.converters.caffe import write_caffe
from ultraface_deploy.family.spec import Architecture, Head, ModelSpec

Array = npt.NDArray[np.float32]
Simplified = Callable[[ModelSpec], onnx.ModelProto]
Pair = tuple[Path, Path]


def run_onnx(model: onnx.ModelProto, *inputs: Array) -> dict[str, Array]:
    """Run a model in ONNX Runtime with the inputs in their order."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    names = [value.name for value in session.get_inputs()]
    outputs = [value.name for value in session.get_outputs()]
    results = session.run(outputs, dict(zip(names, inputs, strict=True)))
    return dict(zip(outputs, results, strict=True))


def simplify(model: onnx.ModelProto, spec: ModelSpec) -> onnx.ModelProto:
    """Bring a raw-head export to the size and head of `spec` and simplify it."""
    import onnxsim

    from ultraface_deploy.converters.onnx.metadata import read_spec
    from ultraface_deploy.converters.onnx.prepare import prepare

    current = read_spec(model)
    assert current is not None
    simplified, agrees = onnxsim.simplify(prepare(model, current, spec))
    assert agrees
    return prepare(simplified, spec, spec)


def exported(net: Any, spec: ModelSpec) -> onnx.ModelProto:
    """Export a torch network with the raw head."""
    from ultraface_deploy.converters.onnx.export import export
    from ultraface_deploy.converters.onnx.prepare import prepare

    return prepare(export(net, spec), spec, spec)


@cache
def _random_export(architecture: Architecture, num_classes: int) -> onnx.ModelProto:
    spec = ModelSpec("random", architecture, num_classes=num_classes)
    return exported(make_network(architecture, num_classes), spec)


@pytest.fixture(scope="session")
def random_network() -> Simplified:
    """Simplified ONNX network of a spec with seeded random weights."""
    pytest.importorskip("torch", reason="networks are built with torch")
    pytest.importorskip("onnxsim", reason="Caffe is written from simplified ONNX")
    return lambda spec: simplify(_random_export(spec.architecture, spec.num_classes), spec)


def make_spec(
    architecture: Architecture = "slim",
    size: tuple[int, int] = (128, 96),
    num_classes: int = 2,
    head: Head = "raw",
) -> ModelSpec:
    """Return a spec, by default of a small and fast network."""
    return ModelSpec("net", architecture, *size, num_classes=num_classes, head=head)


def noise(shape: tuple[int, ...], seed: int = 0) -> Array:
    """Return values like those of a normalised image."""
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


@pytest.fixture(scope="session")
def small_pair(random_network: Simplified, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """A slim pair at 128x96; tests must not change it."""
    folder = tmp_path_factory.mktemp("pair")
    pair = folder / "net.prototxt", folder / "net.caffemodel"
    write_caffe(random_network(make_spec()), *pair)
    return pair
