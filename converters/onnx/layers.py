"""What quantisation needs to know of a network: its convolutions and the tensors between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from ultraface_deploy.errors import InputError
from ultraface_deploy.safe.files import require_file

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Layer:
    """A convolution together with the ReLU after it.

    `weight` is (out, in / groups, kernel, kernel), `bias` (out,). `source` and `name` are the
    tensors it reads and writes: every tensor is called after the layer that makes it.
    """

    name: str
    source: str
    weight: Floats
    bias: Floats
    groups: int
    relu: bool

    @property
    def depthwise(self) -> bool:
        """Whether every channel is filtered by itself."""
        return self.groups > 1 and self.weight.shape[1] == 1


@dataclass(frozen=True)
class Network:
    """A simplified ONNX model with readable tensor names, and its convolutions in graph order.

    A parameter of a layer is the initializer `<layer>.weight` or `<layer>.bias` of the model.
    """

    model: onnx.ModelProto
    layers: tuple[Layer, ...]

    @classmethod
    def load(cls, path: Path) -> Network:
        """Read a simplified ONNX file.

        Raises:
            InputError: no readable ONNX file, or one without convolutions.
        """
        require_file(path, "ONNX file")
        try:
            model = onnx.load(path)
        except Exception as error:  # protobuf raises its own kinds
            raise InputError(f"{path}: not an ONNX file, or damaged") from error
        return cls.from_model(model, str(path))

    @classmethod
    def from_model(cls, model: onnx.ModelProto, what: str = "model") -> Network:
        """Rename the tensors of a copy of `model` and find its convolutions.

        Raises:
            InputError: it holds no convolutions with constant weights.
        """
        renamed = _with_readable_names(model)
        parameters = {t.name: numpy_helper.to_array(t) for t in renamed.graph.initializer}
        relus = {n.input[0]: n.output[0] for n in renamed.graph.node if n.op_type == "Relu"}
        layers = []
        for node in renamed.graph.node:
            if node.op_type != "Conv":
                continue
            if len(node.input) < 3 or not {*node.input[1:]} <= parameters.keys():
                raise InputError(
                    f"{what}: {node.name} has no constant weight and bias; simplify the model first"
                )
            groups = next((a.i for a in node.attribute if a.name == "group"), 1)
            layers.append(
                Layer(
                    name=node.name,
                    source=node.input[0],
                    weight=parameters[node.input[1]].astype(np.float32),
                    bias=parameters[node.input[2]].astype(np.float32),
                    groups=groups,
                    relu=node.output[0] in relus,
                )
            )
        if not layers:
            raise InputError(f"{what}: holds no convolution, there is nothing to quantise")
        return cls(renamed, tuple(layers))

    @property
    def tensors(self) -> tuple[str, ...]:
        """The tensors that have a range: what convolutions read and write, in graph order."""
        names = [name for layer in self.layers for name in (layer.source, layer.name)]
        return tuple(dict.fromkeys(names))

    def layer(self, name: str) -> Layer:
        """Return a layer by its name.

        Raises:
            InputError: there is none; the message lists some.
        """
        for layer in self.layers:
            if layer.name == name:
                return layer
        known = ", ".join(layer.name for layer in self.layers[:4])
        raise InputError(f"layer {name!r}: the network has none of that name; it has {known}, ...")

    def readers(self, tensor: str) -> tuple[Layer, ...] | None:
        """Return the convolutions that read a tensor, None if anything else reads it too."""
        if any(tensor in node.input and node.op_type != "Conv" for node in self.model.graph.node):
            return None
        return tuple(layer for layer in self.layers if layer.source == tensor)

    def multiplications(self) -> dict[str, int]:
        """Return how many multiplications each layer makes for one image."""
        shapes = {
            value.name: [side.dim_value for side in value.type.tensor_type.shape.dim]
            for value in onnx.shape_inference.infer_shapes(self.model).graph.value_info
        }
        names = {n.name: n.output[0] for n in self.model.graph.node if n.op_type == "Conv"}
        return {
            layer.name: layer.weight.size * int(np.prod(shapes[names[layer.name]][2:]))
            for layer in self.layers
        }

    def with_parameters(self, changed: Mapping[str, tuple[Floats, Floats]]) -> Network:
        """Return the network with other weights and biases in the layers named."""
        model = onnx.ModelProto()
        model.CopyFrom(self.model)
        values = {}
        for name, (weight, bias) in changed.items():
            values[f"{name}.weight"], values[f"{name}.bias"] = weight, bias
        for tensor in model.graph.initializer:
            if tensor.name in values:
                array = values[tensor.name].astype(np.float32)
                tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
        layers = [
            replace(layer, weight=changed[layer.name][0], bias=changed[layer.name][1])
            if layer.name in changed
            else layer
            for layer in self.layers
        ]
        return Network(model, tuple(layers))


def _with_readable_names(model: onnx.ModelProto) -> onnx.ModelProto:
    """Name every node after its place in the network, and its output and parameters after it.

    The long names that exporters give every tensor cost 40 KB in an INT8 file of 300 KB.
    """
    out = onnx.ModelProto()
    out.CopyFrom(model)
    graph = out.graph
    fixed = {value.name for value in [*graph.input, *graph.output]}
    names: dict[str, str] = {}
    taken = set(fixed)
    for index, node in enumerate(graph.node):
        node.name = _free_name(_short(node.name) or f"{node.op_type}_{index}", taken)
        _rename_parameters(node, names)
        for tensor in node.output:
            if tensor not in fixed:
                names[tensor] = node.name
    _name_activations_after_layers(graph, names, fixed)
    for node in graph.node:
        for ends in (node.input, node.output):
            ends[:] = [names.get(name, name) for name in ends]
    for parameter in graph.initializer:
        parameter.name = names.get(parameter.name, parameter.name)
    del graph.value_info[:]
    return out


def _rename_parameters(node: onnx.NodeProto, names: dict[str, str]) -> None:
    if node.op_type == "Conv":
        for tensor, role in zip(node.input[1:], ("weight", "bias"), strict=False):
            names[tensor] = f"{node.name}.{role}"


def _name_activations_after_layers(
    graph: onnx.GraphProto, names: dict[str, str], fixed: set[str]
) -> None:
    """Let the tensor after a layer's ReLU bear the layer's name."""
    makers = {tensor: node for node in graph.node for tensor in node.output}
    for node in graph.node:
        maker = makers.get(node.input[0]) if node.op_type == "Relu" else None
        if maker is not None and node.output[0] not in fixed:
            names[node.output[0]] = maker.name
            names[node.input[0]] = f"{maker.name}/linear"


def _short(name: str) -> str:
    """`/net/base_net.1/base_net.1.0/Conv` is `base_net.1.0`."""
    parts = [part for part in name.split("/") if part]
    if len(parts) > 1 and parts[-1] == "Conv":
        parts = parts[:-1]
    if len(parts) > 1 and parts[0] in ("net", "raw"):
        parts = parts[1:]
    return "/".join(
        part
        for part, after in zip(parts, [*parts[1:], ""], strict=True)
        if not after.startswith(f"{part}.")
    )


def _free_name(wanted: str, taken: set[str]) -> str:
    name, count = wanted, 1
    while name in taken:
        count += 1
        name = f"{wanted}_{count}"
    taken.add(name)
    return name
