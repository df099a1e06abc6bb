"""Caffe itself on the CPU, through pycaffe where someone has built it."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ultraface_deploy.agreement.precision import Precision
from ultraface_deploy.backends.base import Backend, Session, Tensor
from ultraface_deploy.errors import BackendError, MissingDependency
from ultraface_deploy.family.spec import ModelSpec

# The BLAS libraries that Caffe is built with; each reads its variable once, when it is loaded.
_THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")


class _Session(Session):
    def __init__(self, spec: ModelSpec, net: Any) -> None:
        super().__init__(spec)
        self._net = net
        self._input = net.blobs[net.inputs[0]]
        self._input.reshape(*spec.input_shape)
        net.reshape()

    def _run(self, tensor: Tensor) -> Mapping[str, Tensor]:
        self._input.data[...] = tensor
        self._net.forward()
        # The blobs are Caffe's own memory, which the next run overwrites.
        return {name: self._net.blobs[name].data.copy() for name in self._net.outputs}


class Caffe(Backend):
    """Runs Caffe pairs, in a plain Caffe too, which lacks the Permute layer of the SSD branch."""

    name = "caffe"
    formats = ("caffe",)
    module = "caffe"
    distribution = "caffe"

    def require(self) -> None:
        """Refuse to go on without pycaffe, which no package registry carries."""
        if not self.available():
            raise MissingDependency(
                "backend caffe needs pycaffe (`import caffe`), which must be built from Caffe's "
                "source; --backend opencv runs the same files"
            )

    def _load(
        self, files: Sequence[Path], spec: ModelSpec, threads: int, precision: Precision
    ) -> Session:
        from ultraface_deploy.converters.caffe import read_caffe
        from ultraface_deploy.converters.caffe.permute import without_permute
        from ultraface_deploy.converters.caffe.reader import read_prototxt
        from ultraface_deploy.converters.caffe.writer import prototxt_text

        prototxt, caffemodel = files
        # Caffe ends the process on files that do not fit, so they are checked before it sees them.
        read_caffe(prototxt, caffemodel)
        caffe = _import_caffe(threads)
        caffe.set_mode_cpu()
        if "Permute" in caffe.layer_type_list():
            return _Session(spec, caffe.Net(str(prototxt), str(caffemodel), caffe.TEST))
        plain = prototxt_text(without_permute(read_prototxt(prototxt)))
        with tempfile.TemporaryDirectory(prefix="ultraface-deploy-") as folder:
            rewritten = Path(folder) / prototxt.name
            rewritten.write_text(plain, encoding="utf-8")
            return _Session(spec, caffe.Net(str(rewritten), str(caffemodel), caffe.TEST))

    def input_size(self, files: Sequence[Path]) -> tuple[int, int] | None:
        """Read the size off the prototxt."""
        from ultraface_deploy.converters.caffe.reader import input_size

        return input_size(files[0])


def _import_caffe(threads: int) -> Any:
    if "caffe" in sys.modules:
        if os.environ.get(_THREAD_VARIABLES[0]) != str(threads):
            raise BackendError(
                "Caffe fixes its number of threads when it is first loaded; "
                f"start a new process for {threads}"
            )
    else:
        os.environ.update(dict.fromkeys(_THREAD_VARIABLES, str(threads)))
        # Caffe logs every layer otherwise.
        os.environ.setdefault("GLOG_minloglevel", "2")
    import caffe

    return caffe


BACKEND = Caffe()
