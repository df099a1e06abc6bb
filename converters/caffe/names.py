"""Readable layer names from the structure of an ONNX network.

A layer with weights is named after its module: `base_net.7.branch0.1.conv`, from the node's scope
or from the name of its weights. Any other layer is named after the modules it reads:
`base_net.0.0/relu`, or `base_net.7/concat` where it joins several below `base_net.7`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import onnx


class LayerNames:
    """Hands out unique layer names; those of the network's inputs and outputs are reserved."""

    def __init__(self, graph: onnx.GraphProto, reserved: Iterable[str]) -> None:
        self._modules = _module_paths(graph)
        self._taken = set(reserved)
        self._counts: dict[str, int] = {}

    def module_layer(self, node: onnx.NodeProto, label: str) -> str:
        """Name a layer after the module that holds its weights; `conv1` where none is known."""
        module = self._modules.get(node.output[0])
        return self._unique(module) if module else self._numbered(label)

    def joined_layer(self, blobs: Sequence[str], label: str) -> str:
        """Name a layer after what is common to the blobs it reads."""
        module = _common_path([blob.partition("/")[0] for blob in blobs])
        return self._unique(f"{module}/{label}") if module else self._numbered(label)

    def _unique(self, name: str) -> str:
        candidate, number = name, 1
        while candidate in self._taken:
            number += 1
            candidate = f"{name}_{number}"
        self._taken.add(candidate)
        return candidate

    def _numbered(self, label: str) -> str:
        self._counts[label] = self._counts.get(label, 0) + 1
        return self._unique(f"{label}{self._counts[label]}")


def _module_paths(graph: onnx.GraphProto) -> dict[str, str]:
    """Map the first output of each node with weights to its module, without common wrappers."""
    weights = {tensor.name for tensor in graph.initializer}
    paths = {}
    for node in graph.node:
        if node.op_type == "Conv":
            path = _scope_path(node.name) or _weight_path(node, weights)
            if path:
                paths[node.output[0]] = path
    wrapper = _common_path([path.rpartition(".")[0] for path in paths.values()])
    # An index alone says nothing: then what it counts is kept.
    while wrapper and any(p.removeprefix(f"{wrapper}.")[:1].isdigit() for p in paths.values()):
        wrapper = wrapper.rpartition(".")[0]
    return {output: path.removeprefix(f"{wrapper}.") for output, path in paths.items()}


def _scope_path(node_name: str) -> str:
    """Join torch's scopes: `/net/base_net/base_net.0/base_net.0.2/Conv` is `net.base_net.0.2`.

    torch names the children of a Sequential with their parent (`base_net.0`), others without.
    """
    path: list[str] = []
    for scope in node_name.split("/")[1:-1]:
        if path and scope.startswith(f"{path[-1]}."):
            path[-1] = scope
        else:
            path.append(scope)
    return ".".join(path)


def _weight_path(node: onnx.NodeProto, weights: set[str]) -> str:
    named = [name for name in node.input if name in weights and name.endswith(".weight")]
    return named[0].removesuffix(".weight") if named else ""


def _common_path(paths: Sequence[str]) -> str:
    common: list[str] = []
    for parts in zip(*(path.split(".") for path in paths), strict=False):
        if len(set(parts)) > 1:
            break
        common.append(parts[0])
    return ".".join(common)
