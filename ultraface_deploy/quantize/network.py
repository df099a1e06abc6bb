"""What quantisation knows of a network: its convolutions and the tensors between them."""

# Tested by tests/converters/onnx/test_network.py.

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from ultraface_deploy.errors import InputError

if TYPE_CHECKING:
    from ultraface_deploy.quantize.plan import Plan

Floats = npt.NDArray[np.float32]
Outputs = tuple[Floats, Floats]


@dataclass(frozen=True)
class Layer:
    """A convolution together with the ReLU after it.

    `weight` is (out, in / groups, kernel, kernel), `bias` (out,). `source` and `name` are the
    tensors it reads and writes: every tensor is called after the layer that makes it. `positions`
    is the height times the width of what it writes.
    """

    name: str
    source: str
    weight: Floats
    bias: Floats
    groups: int
    relu: bool
    positions: int

    @property
    def depthwise(self) -> bool:
        """Whether every channel is filtered by itself."""
        return self.groups > 1 and self.weight.shape[1] == 1

    @property
    def multiplications(self) -> int:
        """How many multiplications it makes for one image."""
        return self.weight.size * self.positions


@dataclass(frozen=True)
class Network:
    """The convolutions in the order in which they run.

    `mixed` are the tensors that something else than convolutions reads too; `constants` is how
    many numbers are stored besides weights and biases, as the anchors of a decoded head.
    """

    layers: tuple[Layer, ...]
    mixed: frozenset[str] = frozenset()
    constants: int = 0

    @property
    def tensors(self) -> tuple[str, ...]:
        """The tensors that have a range: what convolutions read and write, in that order."""
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
        if tensor in self.mixed:
            return None
        return tuple(layer for layer in self.layers if layer.source == tensor)

    def with_parameters(self, changed: Mapping[str, tuple[Floats, Floats]]) -> Network:
        """Return the network with other weights and biases in the layers named."""
        layers = [
            replace(layer, weight=changed[layer.name][0], bias=changed[layer.name][1])
            if layer.name in changed
            else layer
            for layer in self.layers
        ]
        return replace(self, layers=tuple(layers))


class Executor(Protocol):
    """Runs a network: whoever reads a file format hands one in."""

    def tensors(self, image: Floats) -> Iterator[tuple[str, Floats]]:
        """Yield the tensors of `Network.tensors` by name, each (C, H * W), for one input."""

    def outputs(self, images: Sequence[Floats], plan: Plan | None = None) -> list[Outputs]:
        """Return scores and boxes for inputs (1, 3, H, W), with the rounding of a plan."""
