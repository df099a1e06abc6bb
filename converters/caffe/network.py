"""A Caffe network as it grows from an ONNX graph, and what is known about that graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from ultraface_deploy.converters.caffe.names import LayerNames
from ultraface_deploy.converters.caffe.schema import NetParameter
from ultraface_deploy.errors import InputError

Array = npt.NDArray[Any]

# Layers that are modules of the network, and what they are called where it does not name them.
_MODULE_LABELS = {"Convolution": "conv", "InnerProduct": "fc"}


class Network:
    """The growing Caffe network and what is known about the tensors of the ONNX one."""

    def __init__(self, model: onnx.ModelProto, name: str) -> None:
        graph = model.graph
        self.graph = graph
        self.message = NetParameter(name=name)
        self.opset = max(
            (entry.version for entry in model.opset_import if not entry.domain), default=1
        )
        self.outputs = {output.name for output in graph.output}
        self.constants = _constants(graph)
        self.shapes = _shapes(model)
        inputs = [value.name for value in graph.input if value.name not in self.constants]
        self.names = LayerNames(graph, {*inputs, *self.outputs})
        # The Caffe blob that holds an ONNX tensor.
        self.blobs = {name: name for name in inputs}
        for tensor in inputs:
            layer = self.message.layer.add(name=tensor, type="Input", top=[tensor])
            layer.input_param.shape.add(dim=self.shape(tensor))

    def shape(self, tensor: str) -> tuple[int, ...]:
        """Return the fixed shape of an ONNX tensor."""
        shape = self.shapes.get(tensor)
        if shape is None:
            raise InputError(
                f"tensor {tensor!r} has no fixed shape; simplify the ONNX file at one input size"
            )
        return shape

    def blob(self, node: onnx.NodeProto, tensor: str) -> str:
        """Return the Caffe blob that holds an operand of a node."""
        if tensor not in self.blobs:
            what = "a constant" if tensor in self.constants else "no output of a layer"
            raise refusal(node, f"its operand {tensor!r} is {what}")
        return self.blobs[tensor]

    def constant(self, node: onnx.NodeProto, position: int, what: str) -> Array:
        """Return an operand that Caffe keeps in the layer, such as a weight."""
        if len(node.input) <= position or node.input[position] not in self.constants:
            raise refusal(node, f"its {what} must be constant")
        return self.constants[node.input[position]]

    def add(
        self,
        node: onnx.NodeProto,
        layer_type: str,
        inputs: Sequence[str],
        weights: Sequence[Array] = (),
        output: str | None = None,
    ) -> Any:
        """Add a layer from ONNX tensors `inputs` to `output` (default: the node's); return it."""
        output = node.output[0] if output is None else output
        bottoms = [self.blob(node, tensor) for tensor in inputs]
        if output in self.outputs:
            name = output
        elif layer_type in _MODULE_LABELS:
            name = self.names.module_layer(node, _MODULE_LABELS[layer_type])
        else:
            label = node.op_type if layer_type == "Eltwise" else layer_type
            name = self.names.joined_layer(bottoms, label.lower())
        layer = self.message.layer.add(name=name, type=layer_type, bottom=bottoms, top=[name])
        for array in weights:
            add_blob(layer, array)
        self.blobs[output] = name
        return layer

    def only_reader(self, tensor: str) -> onnx.NodeProto | None:
        """Return the node that reads an inner tensor, if it is the only one."""
        readers = [node for node in self.graph.node if tensor in node.input]
        return readers[0] if len(readers) == 1 and tensor not in self.outputs else None


def add_blob(layer: Any, array: Array) -> None:
    """Append weights to a layer."""
    blob = layer.blobs.add()
    blob.shape.dim.extend(array.shape)
    blob.data.extend(array.astype(np.float32).ravel().tolist())


def _constants(graph: onnx.GraphProto) -> dict[str, Array]:
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            constants[node.output[0]] = _constant_value(node)
    return constants


def _constant_value(node: onnx.NodeProto) -> Array:
    (attribute,) = node.attribute
    value = onnx.helper.get_attribute_value(attribute)
    if isinstance(value, onnx.TensorProto):
        return numpy_helper.to_array(value)
    if attribute.name not in ("value_float", "value_floats", "value_int", "value_ints"):
        raise refusal(node, f"its {attribute.name} is not an array of numbers")
    return np.asarray(value)


def _shapes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    """Fixed shapes by tensor name; tensors of unknown or symbolic shape are left out."""
    try:
        graph = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
    except onnx.shape_inference.InferenceError as error:
        reason = str(error).splitlines()[-1][:200]
        raise InputError(f"the ONNX network is inconsistent: {reason}") from error
    shapes = {}
    for value in [*graph.input, *graph.value_info, *graph.output]:
        dims = value.type.tensor_type.shape.dim
        if value.type.tensor_type.HasField("shape") and all(dim.dim_value > 0 for dim in dims):
            shapes[value.name] = tuple(dim.dim_value for dim in dims)
    return shapes


def refusal(node: onnx.NodeProto, reason: str) -> InputError:
    """Build the error for a node that no Caffe layer can stand for."""
    where = f"node {node.name!r}" if node.name else f"the node that computes {node.output[0]!r}"
    return InputError(
        f"Caffe cannot express {node.op_type} at {where}: {reason}; choose another format"
    )
