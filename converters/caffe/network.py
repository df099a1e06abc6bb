"""A Caffe network as it grows from an ONNX graph, and what is known about that graph."""

# Tested by tests/converters/caffe/test_layers.py.

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx

from ultraface_deploy.converters.caffe.names import LayerNames
from ultraface_deploy.converters.caffe.schema import NetParameter
from ultraface_deploy.converters.onnx.walk import Array, Graph
from ultraface_deploy.errors import InputError


class NetBuilder:
    """The growing Caffe network and what is known about the tensors of the ONNX one."""

    def __init__(self, model: onnx.ModelProto, name: str) -> None:
        self.graph = Graph(model)
        self.message = NetParameter(name=name)
        self.outputs, self.constants = self.graph.outputs, self.graph.constants
        inputs, self.shape = self.graph.inputs, self.graph.shape
        self.names = LayerNames(model.graph, {*inputs, *self.outputs})
        # The Caffe blob that holds an ONNX tensor.
        self.blobs = {name: name for name in inputs}
        for tensor in inputs:
            layer = self.message.layer.add(name=tensor, type="Input", top=[tensor])
            layer.input_param.shape.add(dim=self.shape(tensor))

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
        elif layer_type == "Convolution":
            name = self.names.module_layer(node, "conv")
        else:
            label = node.op_type if layer_type == "Eltwise" else layer_type
            name = self.names.joined_layer(bottoms, label.lower())
        layer = self.message.layer.add(name=name, type=layer_type, bottom=bottoms, top=[name])
        for array in weights:
            add_blob(layer, array)
        self.blobs[output] = name
        return layer


def add_blob(layer: Any, array: Array) -> None:
    """Append weights to a layer."""
    blob = layer.blobs.add()
    blob.shape.dim.extend(array.shape)
    blob.data.extend(array.astype(np.float32).ravel().tolist())


def refusal(node: onnx.NodeProto, reason: str) -> InputError:
    """Build the error for a node that no Caffe layer can stand for."""
    where = f"node {node.name!r}" if node.name else f"the node that computes {node.output[0]!r}"
    return InputError(
        f"Caffe cannot express {node.op_type} at {where}: {reason}; choose another format"
    )
