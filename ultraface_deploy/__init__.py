"""From an UltraFace checkpoint to verified, benchmarked artifacts for small boards."""

from __future__ import annotations

import os
import sys
import warnings
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ultraface_deploy.errors import (
    BackendError,
    CheckFailed,
    InputError,
    LibraryError,
    MissingDependency,
    NoSuchSplit,
    RemoteFailed,
    ToolFailed,
    UltraFaceError,
    WorkerFailed,
)
from ultraface_deploy.safe.limits import limit_pixels

__version__ = "0.1.0"

# In a checkout converters/, backends/, benchmarks/ and models/ stand beside this folder
# (see [tool.setuptools.package-dir]); this lets `python -m ultraface_deploy` run there uninstalled.
_checkout = Path(__file__).resolve().parent.parent
if (_checkout / "pyproject.toml").is_file() and str(_checkout) not in __path__:
    __path__.append(str(_checkout))

limit_pixels()
# The wheels of ONNX Runtime report usage to their maker unless told not to before they load.
if "onnxruntime" in sys.modules and os.environ.get("ORT_DISABLE_TELEMETRY") != "1":
    warnings.warn(
        "onnxruntime was imported before ultraface_deploy, so its reporting of usage is on; import "
        "ultraface_deploy first, or set ORT_DISABLE_TELEMETRY=1",
        stacklevel=2,
    )
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

if TYPE_CHECKING:
    from ultraface_deploy.detect.detector import Detector
    from ultraface_deploy.family.spec import ModelSpec
    from ultraface_deploy.pipeline import Faces
    from ultraface_deploy.pipeline.view import View

_LAZY = {
    "Detector": "ultraface_deploy.detect.detector",
    "Faces": "ultraface_deploy.pipeline",
    "ModelSpec": "ultraface_deploy.family.spec",
    "View": "ultraface_deploy.pipeline.view",
}

__all__ = [
    "BackendError",
    "CheckFailed",
    "Detector",
    "Faces",
    "InputError",
    "LibraryError",
    "MissingDependency",
    "ModelSpec",
    "NoSuchSplit",
    "RemoteFailed",
    "ToolFailed",
    "UltraFaceError",
    "View",
    "WorkerFailed",
    "__version__",
]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> Any:
    # Start-up is part of the interface: `ultraface-deploy --help` must not import OpenCV.
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
