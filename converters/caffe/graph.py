"""An ONNX graph as it grows from a Caffe network, layer by layer, with every shape checked."""

# Tested by tests/converters/caffe/test_reader.py.

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from ultraface_deploy.converters.caffe.reader import weight_array
from ultraface_deploy.errors import InputError

OPSET = 13
# The oldest IR version that carries opset 13, for old runtimes' sake.
IR_VERSION = 7
MAX_ELEMENTS = 1 << 31

Shape = tuple[int, ...]
# Operator, inputs besides the tensor it works on, attributes.
Step = tuple[str, Sequence[str], dict[str, Any]]


class Graph:
    """The growing ONNX graph; a blob's tensor changes when a layer works in place."""

    def __init__(self, net: Any) -> None:
        self.name = net.name or "caffe"
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.inputs: list[str] = []
        self.shapes: dict[str, Shape] = {}
        self._tensors: dict[str, str] = {}
        self._unread: dict[str, None] = {}
        # The last layer that writes a blob gives its tensor the blob's name.
        self._last_writer = {
            top: index for index, layer in enumerate(net.layer) for top in layer.top
        }

    def add(self, index: int, proto: Any, translate: Translate) -> None:
        """Append one layer."""
        unknown = [blob for blob in proto.bottom if blob not in self._tensors]
        if unknown:
            raise InputError(f"reads blob {unknown[0]!r}, which no layer before it writes")
        if not proto.top:
            raise InputError("has no top")
        inputs = [self._tensors[blob] for blob in proto.bottom]
        outputs = [
            top if self._last_writer[top] == index else f"{top}:{proto.name}" for top in proto.top
        ]
        layer = Layer(self, proto, inputs, outputs)
        shapes = translate(layer)
        if len(shapes) != len(outputs):
            raise InputError(f"has {len(outputs)} tops where it computes {len(shapes)}")
        for bottom in proto.bottom:
            self._unread.pop(bottom, None)
        for top, tensor, shape in zip(proto.top, outputs, shapes, strict=True):
            if min(shape, default=1) < 1 or math.prod(shape) > MAX_ELEMENTS:
                raise InputError(f"its blob {top!r} would have the shape {shape}")
            self._tensors[top] = tensor
            self.shapes[tensor] = shape
            if proto.type != "Input":
                self._unread[top] = None

    def model(self) -> onnx.ModelProto:
        """Return the finished, checked model."""
        if not (self.inputs and self._unread):
            raise InputError("the network has no input or no output")
        graph = helper.make_graph(
            self.nodes,
            self.name,
            [self._value(name) for name in self.inputs],
            [self._value(self._tensors[blob]) for blob in self._unread],
            self.initializers,
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
        )
        try:
            onnx.checker.check_model(model, full_check=True)
        except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
            reason = str(error).strip().splitlines()[0][:200]
            raise InputError(f"the network is inconsistent: {reason}") from error
        return model

    def _value(self, tensor: str) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(tensor, TensorProto.FLOAT, self.shapes[tensor])


class Layer:
    """One layer while it is translated: its protobuf message, tensors and shapes."""

    def __init__(self, net: Graph, proto: Any, inputs: list[str], outputs: list[str]) -> None:
        self.net = net
        self.proto = proto
        self.inputs = inputs
        self.outputs = outputs
        self._nodes = 0

    @property
    def input_shapes(self) -> list[Shape]:
        """Shapes of the bottoms."""
        return [self.net.shapes[tensor] for tensor in self.inputs]

    @property
    def shape(self) -> Shape:
        """Shape of the only bottom."""
        self._require_one_bottom()
        return self.input_shapes[0]

    def axis(self, axis: int, rank: int | None = None) -> int:
        """Return an axis counted from the front."""
        rank = len(self.input_shapes[0]) if rank is None else rank
        if not -rank <= axis < rank:
            raise InputError(f"axis {axis} of a blob with {rank} axes")
        return axis % rank

    def node(
        self, operator: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any
    ) -> None:
        """Append an ONNX node."""
        name = f"{self.proto.name}:{self._nodes}" if self._nodes else self.proto.name
        self._nodes += 1
        self.net.nodes.append(
            helper.make_node(operator, list(inputs), list(outputs), name=name, **attributes)
        )

    def chain(self, steps: Sequence[Step]) -> None:
        """Append nodes, each reading the one before; the first reads the only bottom."""
        self._require_one_bottom()
        tensor = self.inputs[0]
        for number, (operator, others, attributes) in enumerate(steps, start=1):
            last = number == len(steps)
            output = self.outputs[0] if last else f"{self.proto.name}:{number}"
            self.node(operator, [tensor, *others], [output], **attributes)
            tensor = output

    def _require_one_bottom(self) -> None:
        if len(self.inputs) != 1:
            raise InputError(f"has {len(self.inputs)} bottoms where one is supported")

    def constant(self, array: npt.NDArray[Any], role: str) -> str:
        """Add an initializer named after the layer and return its name."""
        name = f"{self.proto.name}.{role}"
        self.net.initializers.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def weights(self, *shapes: Shape) -> list[npt.NDArray[np.float32]]:
        """Return the layer's weights, which must have these shapes.

        Old files pad shapes with leading ones to four axes.
        """
        blobs = self.proto.blobs
        if len(blobs) != len(shapes):
            raise InputError(
                f"needs {len(shapes)} blobs of weights and has {len(blobs)}; "
                "prototxt and caffemodel do not belong together"
            )
        arrays = [weight_array(blob) for blob in blobs]
        for array, shape in zip(arrays, shapes, strict=True):
            if _without_leading_ones(array.shape) != _without_leading_ones(shape):
                raise InputError(
                    f"needs weights of shape {shape} and has {array.shape}; "
                    "prototxt and caffemodel do not belong together"
                )
        return [array.reshape(shape) for array, shape in zip(arrays, shapes, strict=True)]


Translate = Callable[[Layer], list[Shape]]


def _without_leading_ones(shape: Shape) -> Shape:
    return shape[next((i for i, extent in enumerate(shape) if extent != 1), len(shape)) :]
