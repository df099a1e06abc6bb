"""The runtimes by name; one file per runtime, each imports its runtime only when used.

A third party adds one through the entry-point group `ultraface_deploy.backends`.
"""

# Tested by tests/backends/test_base.py.

from __future__ import annotations

from importlib import import_module

from ultraface_deploy.backends.base import Backend, Session, Tensor
from ultraface_deploy.backends.outputs import Outputs
from ultraface_deploy.errors import InputError
from ultraface_deploy.safe import plugins

__all__ = [
    "Backend",
    "Outputs",
    "Session",
    "Tensor",
    "backend_names",
    "get_backend",
]

_BUILT_IN = (
    "onnxruntime",
    "mnn",
    "ncnn",
    "litert",
    "openvino",
    "opencv",
    "caffe",
    "native",
    "tflm",
    "k210",
    "rknn",
    "espdl",
    "coreml",
    "torch",
)
_GROUP = "ultraface_deploy.backends"


def backend_names() -> tuple[str, ...]:
    """Return all names that `--backend` takes, installed or not, besides `all`."""
    return _BUILT_IN + plugins.usable(_GROUP, Backend, _BUILT_IN)


def refused_backends() -> list[str]:
    """Return a line for each plug-in that cannot be used."""
    return plugins.refused(_GROUP, Backend, _BUILT_IN)


def get_backend(name: str) -> Backend:
    """Return a backend; imports that backend's file only, and not its runtime.

    Raises:
        InputError: there is none of that name, or a plug-in cannot be used.
        MissingDependency: a plug-in needs a package that is not installed.
    """
    if name in _BUILT_IN:
        backend = import_module(f"{__name__}.{name}").BACKEND
        assert isinstance(backend, Backend)
        return backend
    if (found := plugins.plugin(_GROUP, Backend, name)) is None:  # type: ignore[type-abstract]
        raise InputError(f"`backend` {name}: unknown; choose from {', '.join(backend_names())}")
    return found
