"""Caffe itself on the CPU, through pycaffe where someone has built it."""

# Tested by tests/converters/caffe/test_backend.py.

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
                "source; the backend opencv runs the same files"
            )

    def _load(
        self, files: Sequence[Path], spec: ModelSpec, threads: int, precision: Precision
    ) -> Session:
        prototxt, caffemodel = files
        caffe = _import_caffe(threads)
        caffe.set_mode_cpu()
        if "Permute" in caffe.layer_type_list():
            return _Session(spec, caffe.Net(str(prototxt), str(caffemodel), caffe.TEST))
        plain = without_permute(prototxt.read_text(encoding="utf-8"))
        with tempfile.TemporaryDirectory(prefix="ultraface-deploy-") as folder:
            rewritten = Path(folder) / prototxt.name
            rewritten.write_text(plain, encoding="utf-8")
            return _Session(spec, caffe.Net(str(rewritten), str(caffemodel), caffe.TEST))


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


def without_permute(prototxt: str) -> str:
    """Return the same network without Permute layers, for a Caffe that lacks them.

    A blob (N, C, H, W) is sliced into its channels, each becomes a column (N, H * W, 1), and the
    columns are joined to (N, H * W, C): the values of (N, H, W, C) in the same order. Layers with
    weights keep their names, so the caffemodel fits both. The order itself is not looked at, which
    that Caffe's schema does not know: the format admits no other.

    Raises:
        BackendError: a Permute layer is not between a Convolution and a Reshape.
    """
    from caffe.proto import caffe_pb2
    from google.protobuf import text_format

    net, out = caffe_pb2.NetParameter(), caffe_pb2.NetParameter()
    text_format.Parse(prototxt, net, allow_unknown_field=True)
    out.CopyFrom(net)
    out.ClearField("layer")
    for layer in net.layer:
        if layer.type == "Permute":
            _write_out(out, layer, _channels(net, layer))
        else:
            out.layer.add().CopyFrom(layer)
    return text_format.MessageToString(out)


def _channels(net: Any, permute: Any) -> int:
    writers = [layer for layer in net.layer if permute.bottom[0] in layer.top]
    readers = [layer for layer in net.layer if permute.top[0] in layer.bottom]
    # The joined columns have one axis less; a Reshape that copies no axis but the first is blind
    # to that.
    blind = all(
        reader.type == "Reshape" and 0 not in list(reader.reshape_param.shape.dim)[1:]
        for reader in readers
    )
    if not (readers and blind) or writers[-1].type != "Convolution":
        raise BackendError(
            f"layer {permute.name!r} (Permute): this Caffe lacks the layer type, and only a "
            "Permute between a Convolution and a Reshape can be written out"
        )
    return int(writers[-1].convolution_param.num_output)


def _write_out(net: Any, permute: Any, channels: int) -> None:
    pieces = [f"{permute.name}_{channel}" for channel in range(1, channels + 1)]
    columns = [f"{piece}_column" for piece in pieces]
    cut = net.layer.add(
        name=f"{permute.name}_slice", type="Slice", bottom=permute.bottom, top=pieces
    )
    cut.slice_param.slice_point.extend(range(1, channels))
    for piece, column in zip(pieces, columns, strict=True):
        layer = net.layer.add(name=column, type="Reshape", bottom=[piece], top=[column])
        layer.reshape_param.shape.dim.extend([0, -1, 1])
    joined = net.layer.add(name=permute.name, type="Concat", bottom=columns, top=permute.top)
    joined.concat_param.axis = 2


BACKEND = Caffe()
