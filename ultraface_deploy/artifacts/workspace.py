"""What the commands do when something is not there yet: convert it first, and say so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ultraface_deploy import models
from ultraface_deploy.agreement.precision import Precision
from ultraface_deploy.artifacts.convert import ensure, step_for
from ultraface_deploy.backends import backend_names, get_backend
from ultraface_deploy.detect.detector import Detector
from ultraface_deploy.pipeline import PostprocessOptions


def open_detector(
    model: str = models.DEFAULT_MODEL,
    backend: str | None = None,
    precision: Precision = "fp32",
    threads: int = 1,
    options: PostprocessOptions | None = None,
    input_size: tuple[int, int] | None = None,
    report: Callable[[str], None] = lambda message: None,
) -> Detector:
    """Open a detector as `Detector.open` does; an embedded model is converted first if missing.

    The embedded ONNX file itself serves the runtimes that read ONNX at its own size.
    """
    entry = models.registry().get(model)
    if entry is not None and entry.embedded and not Path(model).exists():
        runtime = get_backend(backend or _first_onnx_reader())
        runtime.require()
        own_size = input_size in (None, (entry.width, entry.height))
        if not (own_size and precision == "fp32" and {"onnx", "torch"} & set(runtime.formats)):
            step = step_for(runtime, precision)
            model = str(ensure(None, [step], model, input_size, report).path)
            input_size = None
    return Detector.open(model, backend, precision, threads, options, input_size)


def _first_onnx_reader() -> str:
    return next(name for name in backend_names() if "onnx" in get_backend(name).formats)
