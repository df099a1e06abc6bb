"""The published networks at a small size, calibrated on a few photographs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import Convert
from ultraface_deploy.artifacts.folder import ArtifactFolder
from ultraface_deploy.converters.onnx.int8 import with_parameters
from ultraface_deploy.converters.onnx.network import OnnxExecutor, load_network
from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.quantize.calibrate import calibrate
from ultraface_deploy.quantize.network import Network
from ultraface_deploy.quantize.table import CalibrationTable

onnx = pytest.importorskip("onnx", reason="quantisation starts from ONNX")

SIZE = (160, 128)


@dataclass(frozen=True)
class Case:
    """One network with what quantisation needs."""

    folder: ArtifactFolder
    network: Network
    model: onnx.ModelProto
    table: CalibrationTable

    @property
    def executor(self) -> OnnxExecutor:
        return OnnxExecutor(self.network, self.model)

    def onnx(self, network: Network) -> onnx.ModelProto:
        """The model with the weights of another network."""
        return with_parameters(self.model, network)

    @property
    def spec(self) -> ModelSpec:
        return self.folder.spec

    def files(self, format: str) -> tuple[Path, ...]:
        return self.folder.files(self.folder.find(format))


@pytest.fixture(scope="session")
def make_case(converted: Convert, checkpoints: Path, photos: list[Path]) -> Callable[[str], Case]:
    """Return a function that gives the case of `slim` or `RFB`."""
    made: dict[str, Case] = {}

    def make(name: str) -> Case:
        if name not in made:
            checkpoint = checkpoints / f"version-{name}-320.pth"
            folder = converted(checkpoint, "onnxsim", "ncnn", size=SIZE)
            network, model = load_network(folder.files(folder.find("onnxsim"))[0])
            executor = OnnxExecutor(network, model)
            table = calibrate(network, executor, folder.spec, photos[:6])
            made[name] = Case(folder, network, model, table)
        return made[name]

    return make


@pytest.fixture(params=["slim", "RFB"])
def case(request: pytest.FixtureRequest, make_case: Callable[[str], Case]) -> Case:
    """Either network."""
    return make_case(request.param)


@pytest.fixture
def slim(make_case: Callable[[str], Case]) -> Case:
    """The slim network."""
    return make_case("slim")


@pytest.fixture
def rfb(make_case: Callable[[str], Case]) -> Case:
    """The RFB network."""
    return make_case("RFB")
