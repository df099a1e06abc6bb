"""Rockchip's NPUs: the runtime on a board that has it, elsewhere the maker's simulator.

The simulator computes the quantised network that the `.rknn` was compiled from; the chip is not
modelled, and its numbers are the same for every chip.
"""

# Tested by tests/converters/rknn/test_rknn.py.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from ultraface_deploy.agreement.comparison import Shown
from ultraface_deploy.agreement.precision import Precision
from ultraface_deploy.backends.base import Session, Tensor
from ultraface_deploy.backends.tool import ToolBackend, ToolSession
from ultraface_deploy.errors import BackendError
from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.pipeline.maps import map_outputs

SCRIPT = Path(__file__).with_name("rknn_script.py")
_ON_A_BOARD = find_spec("rknnlite") is not None
# The toolkit imports torch.
_MEMORY = 8 << 30


class _OnABoard(Session):
    """The file on the NPU, by rknn-toolkit-lite2."""

    def __init__(self, spec: ModelSpec, file: Path) -> None:
        super().__init__(spec)
        from rknnlite.api import RKNNLite

        self._runtime: Any = RKNNLite()
        for done in (self._runtime.load_rknn(str(file)), self._runtime.init_runtime()):
            if done:
                raise BackendError(f"RKNNLite refuses it with {done}; for which chip is it?")

    def _run(self, tensor: Tensor) -> Mapping[str, Tensor]:
        # The file normalises by itself and takes pixels, channels last.
        mean, std = (np.reshape(each, (1, -1, 1, 1)) for each in (self.spec.mean, self.spec.std))
        pixels = np.rint(tensor * std + mean).clip(0, 255).astype(np.uint8)
        found = self._runtime.inference(inputs=[np.ascontiguousarray(pixels.transpose(0, 2, 3, 1))])
        names = [each.name for each in map_outputs(self.spec)]
        return {
            name: np.array(values, np.float32) for name, values in zip(names, found, strict=True)
        }


class Rknn(ToolBackend):
    """Runs `.rknn` files, cut at the head's convolutions: the rest is done in the pipeline."""

    name = tool = "rknn"
    formats = ("rknn",)
    distribution = "rknn-toolkit2"

    def shows(self, format: str) -> Shown:
        """Say whether an NPU computes it."""
        return "runtime" if _ON_A_BOARD else "simulator"

    def available(self) -> bool:
        """Whether this is a board with the runtime, or the tool was installed."""
        return _ON_A_BOARD or super().available()

    def require(self) -> None:
        """Refuse to go on without the runtime or the tool.

        Raises:
            MissingDependency: names the command that installs the tool.
        """
        if not _ON_A_BOARD:
            super().require()

    def _load(
        self, files: Sequence[Path], spec: ModelSpec, threads: int, precision: Precision
    ) -> Session:
        if _ON_A_BOARD:
            return _OnABoard(spec, files[0])
        handed = [str(file.resolve()) for file in files[1:]]
        return ToolSession(spec, self.tool, SCRIPT, ["simulate", *handed], memory=_MEMORY)


BACKEND = Rknn()
