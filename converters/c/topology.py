"""From the network's graph to the few kinds of steps that the C kernels make.

Every step fills one line of inputs per output row and multiplies it by a matrix:

    first       3x3, stride 2, straight from the picture's bytes
    block       depthwise 3x3, then pointwise
    heads       two depthwise 3x3 over one tensor, then the pointwise classes and offsets of a map
    pointwise   1x1 on its own; several that read one tensor become one
    conv        3x3, dilated or not, over some channels of a tensor
    join        1x1 over a concatenation plus 1x1 over a shortcut, added: one matrix over both
"""

# Tested by tests/converters/c/test_kernels.py.

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

import onnx

from ultraface_deploy.converters.c.members import refuse_other_members
from ultraface_deploy.converters.onnx.walk import untranslatable
from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.quantize.network import Layer, Network

Kind = Literal["first", "block", "heads", "pointwise", "conv", "join"]
LANES = 16
"""Channels of a stored tensor come in multiples of this."""


@dataclass(frozen=True)
class Slice:
    """Channels `start` to `start + channels` of a tensor; tensor 0 is the picture."""

    tensor: int
    start: int
    channels: int


@dataclass(frozen=True)
class Step:
    """One step and the convolutions that it stands for.

    `spatial` are the depthwise convolutions in front, `matrices` those that become the matrix, in
    the order of its rows (for `join`, of its columns). `sources` are what is read, under the names
    `reads` in the network; `output` is the tensor that is made, None for heads and for `final`
    convolutions; `map` then is the index of the feature map. `size` is (height, width) of what is
    made, `sum_name` the network's name for what a join makes. Steps of one `round` read nothing
    that the others make, so threads need not wait for each other between them.
    """

    kind: Kind
    spatial: tuple[Layer, ...]
    matrices: tuple[Layer, ...]
    sources: tuple[Slice, ...]
    output: int | None
    size: tuple[int, int]
    stride: int = 1
    dilation: int = 1
    map: int = -1
    round: int = -1
    reads: tuple[str, ...] = ()
    sum_name: str = ""

    @property
    def name(self) -> str:
        """The first convolution's name, for people."""
        return (self.spatial or self.matrices)[0].name

    @property
    def final(self) -> bool:
        """Whether what is made are scores and boxes."""
        return self.output is None


@dataclass(frozen=True)
class TensorShape:
    """A stored tensor: rows of `width` pixels of `channels` values."""

    height: int
    width: int
    channels: int


@dataclass(frozen=True)
class Topology:
    """The steps in the order in which they run, round by round, and the tensors between them."""

    steps: tuple[Step, ...]
    tensors: tuple[TensorShape, ...]


def padded(channels: int) -> int:
    """Round up to what is stored."""
    return -(-channels // LANES) * LANES


def find_steps(network: Network, model: onnx.ModelProto, spec: ModelSpec) -> Topology:
    """Recognise the steps of an UltraFace network.

    Args:
        network: its convolutions.
        model: the ONNX model that they were found in.
        spec: what it is.

    Raises:
        InputError: it holds a convolution or a connection that no step stands for, or what it is
            is nothing that the C file does.
    """
    refuse_other_members(spec)
    return _Finder(network, model, spec).find()


def _in_rounds(steps: Iterable[Step]) -> tuple[Step, ...]:
    """Put steps that do not need each other beside each other."""
    made, found = {0: -1}, []
    for step in steps:
        found.append(replace(step, round=1 + max(made[place.tensor] for place in step.sources)))
        if step.output is not None:
            made[step.output] = found[-1].round
    return tuple(sorted(found, key=lambda step: step.round))


class _Finder:
    def __init__(self, network: Network, model: onnx.ModelProto, spec: ModelSpec) -> None:
        self._network, self._spec, self._graph = network, spec, model.graph
        self._nodes = {n.name: n for n in self._graph.node if n.op_type == "Conv"}
        self._makers = {t: n for n in self._graph.node for t in n.output}
        self._tensors = [TensorShape(spec.height, spec.width, 3)]
        self._places = {self._graph.input[0].name: Slice(0, 0, 3)}
        self._steps: list[Step] = []
        self._done: set[str] = set()
        self._pending: dict[str, list[tuple[Layer | None, Layer]]] = {}
        self._classes = self._ancestors("scores")

    def find(self) -> Topology:
        for layer in self._network.layers:
            if layer.name not in self._done:
                self._take(layer)
        if self._pending or not self._steps:
            raise untranslatable(
                "format c", "a feature map has no pair of class and box convolutions"
            )
        finals = [step for step in self._steps if step.final]
        finals.sort(key=lambda step: -step.size[0] * step.size[1])
        if [(s.size[1], s.size[0]) for s in finals] != list(self._spec.feature_maps):
            raise untranslatable("format c", "the heads do not fit the anchors' feature maps")
        numbers = {step.name: index for index, step in enumerate(finals)}
        steps = (replace(step, map=numbers.get(step.name, -1)) for step in self._steps)
        return Topology(_in_rounds(steps), tuple(self._tensors))

    def _take(self, layer: Layer) -> None:
        """Make the step that a convolution begins; one that others begin is theirs."""
        if layer.depthwise:
            self._add_depthwise(layer)
        elif self._terminal(layer):
            self._done.add(layer.name)
            self._add_head(None, layer)
        elif self._addition(layer) is not None:
            self._add_join(layer)
        elif layer.source not in self._places:
            raise untranslatable(
                "format c", f"{layer.name} reads {layer.source}, which no step makes"
            )
        else:
            self._add_dense(layer)

    def _add_depthwise(self, layer: Layer) -> None:
        readers = [other for other in self._network.layers if other.source == layer.name]
        if len(readers) != 1 or self._kernel(readers[0]) != 1 or self._kernel(layer) != 3:
            raise untranslatable("format c", f"{layer.name} is not followed by one pointwise layer")
        self._done |= {layer.name, readers[0].name}
        if self._terminal(readers[0]):
            self._add_head(layer, readers[0])
        else:
            self._add("block", (layer,), (readers[0],))

    def _add_dense(self, layer: Layer) -> None:
        if self._places[layer.source].tensor == 0:
            if layer.weight.shape[1:] != (3, 3, 3) or self._strides(layer) != 2:
                raise untranslatable(
                    "format c", f"{layer.name} must be 3x3 of stride 2 over three colours"
                )
            self._done.add(layer.name)
            self._add("first", (), (layer,))
        elif self._kernel(layer) == 1:
            siblings = tuple(
                other
                for other in self._network.layers
                if other.source == layer.source
                and self._kernel(other) == 1
                and not other.depthwise
                and not self._terminal(other)
                and self._addition(other) is None
            )
            self._done |= {other.name for other in siblings}
            self._add("pointwise", (), siblings)
        elif self._kernel(layer) == 3 and layer.groups == 1 and self._strides(layer) == 1:
            self._done.add(layer.name)
            self._add("conv", (), (layer,))
        else:
            raise untranslatable(
                "format c", f"{layer.name} is of no kind that UltraFace networks have"
            )

    def _add(self, kind: Kind, spatial: tuple[Layer, ...], matrices: tuple[Layer, ...]) -> None:
        first = (spatial or matrices)[0]
        source = self._places[first.source]
        stride = self._strides(first)
        before = self._tensors[source.tensor]
        size = (-(-before.height // stride), -(-before.width // stride))
        start = 0
        for layer in matrices:
            self._places[layer.name] = Slice(len(self._tensors), start, len(layer.weight))
            start += len(layer.weight)
        step = Step(
            *(kind, spatial, matrices, (source,), len(self._tensors), size),
            stride=stride,
            dilation=self._attribute(first, "dilations"),
            reads=(first.source,),
        )
        self._tensors.append(TensorShape(*size, padded(start)))
        self._steps.append(step)

    def _add_head(self, spatial: Layer | None, matrix: Layer) -> None:
        source = (spatial or matrix).source
        pair = self._pending.setdefault(source, [])
        pair.append((spatial, matrix))
        if len(pair) < 2:
            return
        del self._pending[source]
        pair.sort(key=lambda each: each[1].name not in self._classes)
        spatials = tuple(each[0] for each in pair if each[0] is not None)
        matrices = tuple(each[1] for each in pair)
        place = self._places[source]
        shape = self._tensors[place.tensor]
        kind: Kind = "heads" if spatials else "conv"
        if kind == "conv" and self._kernel(matrices[0]) == 1:
            kind = "pointwise"
        if len(spatials) not in (0, 2) or len({self._kernel(m) for m in matrices}) != 1:
            raise untranslatable("format c", f"the two heads over {source} differ in kind")
        size = (shape.height, shape.width)
        self._steps.append(Step(kind, spatials, matrices, (place,), None, size, reads=(source,)))

    def _add_join(self, layer: Layer) -> None:
        node = self._addition(layer)
        assert node is not None
        pair = [self._network.layer(self._makers[name].name) for name in node.input]
        reads: list[str] = []
        for each in pair:
            maker = self._makers.get(each.source)
            names = (
                maker.input if maker is not None and maker.op_type == "Concat" else [each.source]
            )
            if self._kernel(each) != 1 or any(name not in self._places for name in names):
                return  # One of its sources comes later; the other branch brings it here again.
            reads += names
        self._done |= {each.name for each in pair}
        flat = tuple(self._places[name] for name in reads)
        shape = self._tensors[flat[0].tensor]
        size = (shape.height, shape.width)
        after = next(n for n in self._graph.node if node.output[0] in n.input)
        if after.op_type != "Relu":
            raise untranslatable("format c", f"{node.name} is not followed by ReLU")
        channels = len(layer.weight)
        self._places[after.output[0]] = Slice(len(self._tensors), 0, channels)
        step = Step(
            *("join", (), tuple(pair), flat, len(self._tensors), size),
            reads=tuple(reads),
            sum_name=after.output[0],
        )
        self._tensors.append(TensorShape(*size, padded(channels)))
        self._steps.append(step)

    def _addition(self, layer: Layer) -> onnx.NodeProto | None:
        """The Add that reads a layer's output, None if there is none."""
        output = self._nodes[layer.name].output[0]
        nodes = self._graph.node
        return next((n for n in nodes if n.op_type == "Add" and output in n.input), None)

    def _terminal(self, layer: Layer) -> bool:
        """Whether a layer's output becomes scores or boxes without another convolution."""
        output = self._nodes[layer.name].output[0]
        readers = [n for n in self._graph.node if output in n.input]
        return all(n.op_type in ("Transpose", "Reshape", "Flatten") for n in readers)

    def _ancestors(self, tensor: str) -> set[str]:
        """The convolutions that `tensor` is made from without another convolution between."""
        found, queue = set(), [tensor]
        while queue:
            node = self._makers.get(queue.pop())
            if node is None:
                continue
            if node.op_type == "Conv":
                found.add(node.name)
            else:
                queue.extend(node.input)
        return found

    def _attribute(self, layer: Layer, name: str) -> int:
        for attribute in self._nodes[layer.name].attribute:
            if attribute.name == name:
                return int(attribute.ints[0])
        return 1

    def _strides(self, layer: Layer) -> int:
        return self._attribute(layer, "strides")

    def _kernel(self, layer: Layer) -> int:
        return int(layer.weight.shape[2])
