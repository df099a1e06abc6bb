"""Walking an ONNX graph: constants, shapes, and who reads what."""

# Tested by tests/converters/onnx/test_network.py.

from __future__ import annotations

from collections import defaultdict
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from ultraface_deploy.errors import InputError
from ultraface_deploy.safe.kinds import MAKE_AGAIN

Array = npt.NDArray[Any]


class Graph:
    """A view of a model; what is looked up is computed once, so the model must stay as it is."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.nodes = list(model.graph.node)
        self.outputs = {value.name for value in model.graph.output}

    @cached_property
    def opset(self) -> int:
        """The version of the standard operators."""
        versions = (e.version for e in self.model.opset_import if e.domain in ("", "ai.onnx"))
        return max(versions, default=1)

    @cached_property
    def constants(self) -> dict[str, Array]:
        """Initializers and the values of Constant nodes."""
        graph = self.model.graph
        constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
        for node in self.nodes:
            if node.op_type == "Constant":
                constants[node.output[0]] = _constant_value(node)
        return constants

    @cached_property
    def inputs(self) -> list[str]:
        """The network's inputs; old exporters list the weights among them."""
        return [v.name for v in self.model.graph.input if v.name not in self.constants]

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Fixed shapes by tensor; those of unknown or symbolic shape are left out.

        Raises:
            InputError: the shapes contradict each other.
        """
        try:
            inferred = onnx.shape_inference.infer_shapes(
                self.model, strict_mode=True, data_prop=True
            )
        except onnx.shape_inference.InferenceError as error:
            reason = str(error).splitlines()[-1][:200]
            raise InputError(f"the ONNX network is inconsistent: {reason}; {MAKE_AGAIN}") from error
        graph = inferred.graph
        shapes = {}
        for value in [*graph.input, *graph.value_info, *graph.output]:
            dims = value.type.tensor_type.shape.dim
            if value.type.tensor_type.HasField("shape") and all(dim.dim_value > 0 for dim in dims):
                shapes[value.name] = tuple(dim.dim_value for dim in dims)
        return shapes

    def shape(self, tensor: str) -> tuple[int, ...]:
        """Return the fixed shape of a tensor.

        Raises:
            InputError: it has none.
        """
        if tensor not in self.shapes:
            raise InputError(
                f"tensor {tensor!r} has no fixed shape; simplify the ONNX file at one input size"
            )
        return self.shapes[tensor]

    @cached_property
    def readers(self) -> dict[str, list[onnx.NodeProto]]:
        """The nodes that read each tensor, in graph order; once for each time they do."""
        readers = defaultdict(list)
        for node in self.nodes:
            for tensor in node.input:
                readers[tensor].append(node)
        return readers

    def only_reader(self, tensor: str) -> onnx.NodeProto | None:
        """Return the node that reads an inner tensor, if it is the only one."""
        readers = self.readers[tensor]
        return readers[0] if len(readers) == 1 and tensor not in self.outputs else None


def attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """Return a node's attributes by name."""
    return {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}


def _constant_value(node: onnx.NodeProto) -> Array:
    (attribute,) = node.attribute
    value = onnx.helper.get_attribute_value(attribute)
    if isinstance(value, onnx.TensorProto):
        return numpy_helper.to_array(value)
    if attribute.name not in ("value_float", "value_floats", "value_int", "value_ints"):
        raise InputError(
            f"node {node.name!r}: its {attribute.name} is not an array of numbers; {MAKE_AGAIN}"
        )
    return np.asarray(value)


def untranslatable(format: str, what: str) -> InputError:
    """Return the error for a network that cannot be written in a format.

    Args:
        format: its name.
        what: of which node, or why.
    """
    return InputError(f"{format}: {what}; choose another format")
