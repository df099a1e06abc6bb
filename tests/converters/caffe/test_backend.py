"""The pycaffe backend against a stand-in that has pycaffe's interface and the NumPy layers."""

from __future__ import annotations

import shutil
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format

from tests.converters.caffe.conftest import Pair, make_spec, noise
from tests.converters.caffe.executor import LAYERS, run_net
from ultraface_deploy import Detector
from ultraface_deploy.backends import get_backend
from ultraface_deploy.backends.caffe import without_permute
from ultraface_deploy.converters.caffe.reader import read_net
from ultraface_deploy.converters.caffe.schema import NetParameter
from ultraface_deploy.errors import BackendError, InputError, MissingDependency


class Blob:
    """A blob: `data` is one buffer that every run overwrites."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.data = np.zeros(shape, np.float32)

    def reshape(self, *shape: int) -> None:
        self.data = np.zeros(shape, np.float32)


class Net:
    """pycaffe's `Net(prototxt, caffemodel, phase)`: weights go to layers by name."""

    def __init__(self, prototxt: str, caffemodel: str, phase: int) -> None:
        self.net = NetParameter()
        text_format.Parse(Path(prototxt).read_text(), self.net)
        trained = NetParameter.FromString(Path(caffemodel).read_bytes())
        blobs = {layer.name: layer.blobs for layer in trained.layer}
        for layer in self.net.layer:
            layer.blobs.extend(blobs.get(layer.name, []))
        self.inputs = [self.net.layer[0].name]
        self.blobs = {name: Blob((1, 1, 1, 1)) for name in self.inputs}
        self.outputs: list[str] = []

    def reshape(self) -> None:
        self.outputs = list(self.forward())

    def forward(self) -> dict[str, Any]:
        outputs = run_net(self.net, {name: self.blobs[name].data for name in self.inputs})
        for name, value in outputs.items():
            blob = self.blobs.setdefault(name, Blob(value.shape))
            blob.data[...] = value
        return {name: self.blobs[name].data for name in outputs}


class Caffe(ModuleType):
    """The module `caffe` of the SSD branch or a plain one; remembers the layer types it ran."""

    TEST = 1

    def __init__(self, types: list[str]) -> None:
        super().__init__("caffe")
        self.types = types
        self.ran: set[str] = set()
        self.proto = ModuleType("caffe.proto")
        self.proto.caffe_pb2 = ModuleType("caffe.proto.caffe_pb2")  # type: ignore[attr-defined]
        self.proto.caffe_pb2.NetParameter = NetParameter

    def set_mode_cpu(self) -> None:
        """Choose the CPU, as pycaffe must be told."""

    def layer_type_list(self) -> list[str]:
        return self.types

    def Net(self, prototxt: str, caffemodel: str, phase: int) -> Net:  # noqa: N802
        assert phase == self.TEST
        net = Net(prototxt, caffemodel, phase)
        self.ran = {layer.type for layer in net.net.layer}
        assert self.ran <= set(self.types)
        return net


@pytest.fixture
def caffe(monkeypatch: pytest.MonkeyPatch) -> Caffe:
    """Stand-in for pycaffe, already imported with one thread."""
    module = Caffe(["Input", *LAYERS])
    module.__spec__ = ModuleSpec("caffe", None)
    monkeypatch.setitem(sys.modules, "caffe", module)
    monkeypatch.setitem(sys.modules, "caffe.proto", module.proto)
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    return module


@pytest.mark.parametrize("plain", [False, True], ids=["ssd", "plain"])
def test_runs_a_pair_with_and_without_permute(plain: bool, caffe: Caffe, small_pair: Pair) -> None:
    if plain:
        caffe.types.remove("Permute")
    spec = make_spec()
    session = get_backend("caffe").load(small_pair, spec)
    assert ("Permute" in caffe.ran) is not plain
    tensor = noise(spec.input_shape)
    outputs = session.run(tensor)
    expected = run_net(read_net(*small_pair), {"input": tensor})
    kept = outputs["scores"].copy()
    session.run(tensor + 1)
    np.testing.assert_array_equal(outputs["scores"], kept)
    for name in ("scores", "boxes"):
        np.testing.assert_allclose(outputs[name], expected[name], atol=1e-6)


def test_says_that_threads_are_fixed(caffe: Caffe, small_pair: Pair) -> None:
    with pytest.raises(BackendError, match=r"fixes its number of threads .* start a new process"):
        get_backend("caffe").load(small_pair, make_spec(), threads=4)


def test_a_bad_pair_is_refused_before_a_runtime_sees_it(
    caffe: Caffe, small_pair: Pair, tmp_path: Path
) -> None:
    shutil.copy(small_pair[0], tmp_path / "net.prototxt")
    (tmp_path / "net.caffemodel").write_bytes(small_pair[1].read_bytes()[:1000])
    with pytest.raises(InputError, match="not a caffemodel, or damaged"):
        Detector.open(tmp_path / "net.prototxt", backend="caffe")
    assert not caffe.ran


def test_says_where_pycaffe_comes_from(small_pair: Pair) -> None:
    if get_backend("caffe").available():
        pytest.skip("pycaffe is installed here")
    with pytest.raises(
        MissingDependency, match=r"must be built .* the backend opencv runs the same"
    ):
        get_backend("caffe").load(small_pair, make_spec())


def test_a_permute_that_cannot_be_written_out_is_named(caffe: Caffe, small_pair: Pair) -> None:
    text = small_pair[0].read_text().replace('type: "Reshape"', 'type: "ReLU"')
    with pytest.raises(BackendError, match=r"/permute' \(Permute\)"):
        without_permute(text)
