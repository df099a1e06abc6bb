"""Where a convolution's kernel goes, and how TensorFlow Lite pads for it."""

# Tested by tests/converters/tflite/test_translate.py.

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import onnx

from ultraface_deploy.converters.onnx.walk import attributes

_SAME, _VALID = 0, 1


@dataclass(frozen=True)
class Window:
    """Where a convolution's kernel goes, per axis (vertical, horizontal)."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    before: tuple[int, int]
    after: tuple[int, int]
    source: tuple[int, int]

    @classmethod
    def of(cls, node: onnx.NodeProto, kernel: Sequence[int], source: Sequence[int]) -> Window:
        """Read a convolution's attributes; kernel and source are (height, width)."""
        given = attributes(node)
        top, left, bottom, right = given.get("pads", (0, 0, 0, 0))
        return cls(
            (kernel[0], kernel[1]),
            tuple(given.get("strides", (1, 1))),
            tuple(given.get("dilations", (1, 1))),
            (top, left),
            (bottom, right),
            (source[0], source[1]),
        )

    @property
    def pairs_pay(self) -> bool:
        """Whether this is a 3x3 kernel at a stride of 2 over a map of even width."""
        plain = self.kernel == (3, 3) and self.stride == (2, 2) and self.dilation == (1, 1)
        return plain and self.before == (1, 1) and self.source[1] % 2 == 0

    def of_pairs(self) -> Window:
        """The same convolution over pairs of pixels; see `convolution`."""
        return replace(
            self,
            kernel=(3, 2),
            stride=(2, 1),
            after=(self.after[0], 0),
            source=(self.source[0], self.source[1] // 2),
        )

    def padding(self) -> tuple[int, list[list[int]] | None]:
        """The scheme, and what is to be padded by hand, [[top, bottom], [left, right]].

        SAME pads as little as it can, and the odd row goes behind; torch pads both sides alike,
        so that at a stride of 2 the two differ by one row. What torch pads and no window reaches
        is left out.
        """
        before, needed = [], []
        same = True
        for axis in range(2):
            reach = (self.kernel[axis] - 1) * self.dilation[axis] + 1
            room = self.source[axis] + self.before[axis] + self.after[axis] - reach
            outputs = room // self.stride[axis] + 1
            total = (outputs - 1) * self.stride[axis] + reach - self.source[axis]
            before.append(self.before[axis])
            needed.append(max(total - self.before[axis], 0))
            fewest = -(-self.source[axis] // self.stride[axis])
            same &= outputs == fewest and max(total, 0) // 2 == self.before[axis]
        if same:
            return _SAME, None
        pairs = [[first, last] for first, last in zip(before, needed, strict=True)]
        return _VALID, pairs if any(map(any, pairs)) else None
