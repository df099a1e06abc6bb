"""What quantisation needs of an ONNX file: its convolutions, and a way to run it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from ultraface_deploy.converters.onnx.files import load
from ultraface_deploy.converters.onnx.int8 import emit_onnx
from ultraface_deploy.converters.onnx.opset import raise_opset
from ultraface_deploy.converters.onnx.walk import Graph, attributes
from ultraface_deploy.errors import InputError
from ultraface_deploy.quantize.network import Floats, Layer, Network, Outputs
from ultraface_deploy.quantize.plan import Plan


def load_network(path: Path) -> tuple[Network, onnx.ModelProto]:
    """Read a simplified ONNX file: its convolutions, and the model under the names they have.

    Raises:
        InputError: no readable ONNX file, or one without convolutions.
    """
    model = load(path)
    # A folder made by others, or long ago, may hold what no quantiser has operators for.
    raise_opset(model)
    return find_layers(model, str(path))


def find_layers(model: onnx.ModelProto, what: str = "model") -> tuple[Network, onnx.ModelProto]:
    """Rename the tensors of a copy of `model` and find its convolutions.

    A parameter of a layer is the initializer `<layer>.weight` or `<layer>.bias` of the copy.

    Raises:
        InputError: it holds no convolutions with constant weights.
    """
    renamed = _with_readable_names(model)
    graph = Graph(renamed)
    layers = []
    for node in graph.nodes:
        if node.op_type != "Conv":
            continue
        if len(node.input) < 3 or not {*node.input[1:]} <= graph.constants.keys():
            raise InputError(
                f"{what}: {node.name} has no constant weight and bias; simplify the model first"
            )
        weight, bias = (graph.constants[name].astype(np.float32) for name in node.input[1:])
        layers.append(
            Layer(
                name=node.name,
                source=node.input[0],
                weight=weight,
                bias=bias,
                groups=attributes(node).get("group", 1),
                relu=any(reader.op_type == "Relu" for reader in graph.readers[node.output[0]]),
                positions=int(np.prod(graph.shape(node.output[0])[2:])),
            )
        )
    if not layers:
        raise InputError(f"{what}: holds no convolution, there is nothing to quantise")
    mixed = {
        tensor
        for tensor, readers in graph.readers.items()
        if any(reader.op_type != "Conv" for reader in readers)
    }
    stored = sum(int(np.prod(tensor.dims)) for tensor in renamed.graph.initializer)
    weights = sum(layer.weight.size + layer.bias.size for layer in layers)
    return Network(tuple(layers), frozenset(mixed), stored - weights), renamed


class OnnxExecutor:
    """Runs what `find_layers` returned in ONNX Runtime."""

    def __init__(self, network: Network, model: onnx.ModelProto, threads: int = 1) -> None:
        self._model, self._threads = model, threads
        self._input = model.graph.input[0].name
        self._names = [name for name in network.tensors if name != self._input]
        probe = onnx.ModelProto()
        probe.CopyFrom(model)
        probe.graph.output.extend(
            helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in self._names
        )
        self._probe = self._session(probe)

    def tensors(self, image: Floats) -> Iterator[tuple[str, Floats]]:
        """Yield what convolutions read and write by name, each (C, H * W), for one input."""
        yield self._input, image.reshape(image.shape[1], -1)
        found = self._probe.run(self._names, {self._input: image})
        for name, values in zip(self._names, found, strict=True):
            yield name, values.reshape(values.shape[1], -1)

    def outputs(self, images: Sequence[Floats], plan: Plan | None = None) -> list[Outputs]:
        """Return scores and boxes for inputs (1, 3, H, W), with the rounding of a plan."""
        model = self._model if plan is None else emit_onnx(plan, self._model)
        session = self._session(model)
        return [tuple(session.run(["scores", "boxes"], {self._input: image})) for image in images]

    def _session(self, model: onnx.ModelProto) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.log_severity_level = 3
        return onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )


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
        for place, tensor in enumerate(node.output):
            if tensor not in fixed:
                names[tensor] = f"{node.name}/{place}" if place else node.name
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
