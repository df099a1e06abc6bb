"""Where the tensors lie in the arena: compile-time numbers, found once here."""

# Tested by tests/converters/c/test_kernels.py.

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ultraface_deploy.converters.c.topology import Step, Topology, padded
from ultraface_deploy.family.spec import ModelSpec

# Rows that a 3x3 convolution looks at.
_RING = 3
_ALIGN = 64
# Kernels may read this many values behind a row, and what is there has no weight.
_SLACK = 64
CANDIDATE_BYTES = 72
_LIST, _COLUMNS, _STREAM = -1000, -1001, -1002
# Of an output column of the resize, and of what INT8 kernels spread it to, 16 columns at once.
COLUMN_BYTES, TAP_BYTES = 8, 24


@dataclass(frozen=True)
class Stored:
    """A tensor's offset, in a band where `streamed`, and how many rows lie there.

    Of a tensor that is not streamed the others lie at the same place of the arena's second half.
    """

    offset: int
    rows: int
    streamed: bool


@dataclass(frozen=True)
class Layout:
    """Offsets in bytes.

    `streamed` steps run row by row behind each other, each band with rows of its own; `tensors`
    lie in their order, `sums` in the order of the feature maps. `half` is from the arena's first
    half to its second. The streamed rows of the first two bands lie at `stream` of the halves,
    those of further ones behind the `lines`, of which each band has one.
    """

    streamed: int
    tensors: tuple[Stored, ...]
    sums: tuple[int, ...]
    nothing: int
    nothing_bytes: int
    no_picture: int
    columns: int
    candidates: int
    stream: int
    stream_bytes: int
    half: int
    lines: int
    line_bytes: int


def row_values(width: int, channels: int) -> int:
    """Values of a stored row: a pixel of padding on either side, and room to read on."""
    return _aligned((width + 2) * channels + _SLACK)


def lay_out(topology: Topology, spec: ModelSpec, value_bytes: int, candidates: int) -> Layout:
    """Place everything, tensors that are never needed at once over each other.

    Args:
        topology: the steps and tensors.
        spec: what the network is.
        value_bytes: of a stored value.
        candidates: how many boxes enter suppression.
    """
    streamed = _streamed_steps(topology, spec)
    taken = _Space()
    nothing_bytes = (
        max(
            row_values(topology.tensors[s.sources[0].tensor].width, s.sources[0].channels)
            for s in topology.steps
            if s.kind in ("block", "heads")
        )
        * value_bytes
    )
    nothing = taken.add(nothing_bytes)
    no_picture = taken.add(row_values(spec.width, 3) * value_bytes)
    stream = _Space()
    rings = {
        t: stream.add(_RING * row_values(shape.width, shape.channels) * value_bytes)
        for t, shape in enumerate(topology.tensors[:streamed])
    }
    wanted = [
        _Wanted(_STREAM, stream.end, 0, streamed - 1),
        *_wanted(topology, spec, streamed, value_bytes, candidates),
    ]
    placed, end = _place(wanted, taken.end)
    half = end - taken.end
    line = _aligned(max(_line_values(s) for s in topology.steps) * value_bytes + _SLACK)
    tensors = tuple(
        Stored(rings[t], _RING, True)
        if t in rings
        else Stored(placed[t], _half(shape.height), False)
        for t, shape in enumerate(topology.tensors)
    )
    sums = tuple(placed[-1 - index] for index in range(len(spec.feature_maps)))
    return Layout(
        *(streamed, tensors, sums, nothing, nothing_bytes, no_picture),
        *(placed[_COLUMNS], placed[_LIST], placed[_STREAM], stream.end),
        *(half, end + half, line),
    )


@dataclass(frozen=True)
class _Wanted:
    """Something that needs `size` bytes from the round that makes it to the last that reads it.

    `key` is a tensor's index, -1 - the index of a feature map for its sums, `_LIST`, `_COLUMNS` or
    `_STREAM`.
    """

    key: int
    size: int
    made: int
    last: int


def _wanted(
    topology: Topology, spec: ModelSpec, streamed: int, value_bytes: int, candidates: int
) -> Iterator[_Wanted]:
    """What lies in the first half of the arena, in the order in which it is made."""
    end = topology.steps[-1].round + 1
    yield _Wanted(_COLUMNS, _column_bytes(spec.width, value_bytes), 0, streamed - 1)
    last = {place.tensor: step.round for step in topology.steps for place in step.sources}
    for step in topology.steps:
        height, width = step.size
        if step.output is None:
            scores = len(step.matrices[0].weight) // spec.num_classes * (spec.num_classes - 1)
            outputs = padded(scores + len(step.matrices[1].weight))
            # Behind a row's sums two bytes say whether its halves may have a face.
            row = width * outputs * 4 + 2
            yield _Wanted(-1 - step.map, _half(height) * row, step.round, end)
        elif step.output >= streamed:
            values = row_values(width, topology.tensors[step.output].channels) * _half(height)
            yield _Wanted(
                step.output, values * value_bytes, step.round, last.get(step.output, step.round)
            )
    yield _Wanted(_LIST, candidates * CANDIDATE_BYTES, end, end)


def _half(rows: int) -> int:
    return -(-rows // 2)


def _column_bytes(width: int, value_bytes: int) -> int:
    taps = -(-width // 16) * 16 * TAP_BYTES if value_bytes == 1 else 0
    return width * COLUMN_BYTES + taps


def _place(wanted: Iterable[_Wanted], start: int) -> tuple[dict[int, int], int]:
    """First fit behind `start`; returns the offsets and the end."""
    placed: list[tuple[int, int, _Wanted]] = []
    for each in wanted:
        offset, size = start, _aligned(each.size)
        for low, high, other in sorted(placed, key=lambda p: p[0]):
            if other.last < each.made:
                continue
            if offset + size <= low:
                break
            offset = max(offset, high)
        placed.append((offset, offset + size, each))
    return {p[2].key: p[0] for p in placed}, max(p[1] for p in placed)


class _Space:
    def __init__(self) -> None:
        self.end = 0

    def add(self, size: int) -> int:
        start, self.end = self.end, _aligned(self.end + size)
        return start


def _aligned(size: int) -> int:
    return -(-size // _ALIGN) * _ALIGN


def _streamed_steps(topology: Topology, spec: ModelSpec) -> int:
    """The chain from the picture to the first feature map's size."""
    width, height = spec.feature_maps[0]
    for index, step in enumerate(topology.steps):
        if step.kind not in ("first", "block") or step.sources[0].tensor != index:
            return index
        if step.size == (height, width):
            return index + 1
    return len(topology.steps)


def _line_values(step: Step) -> int:
    """Values of the line that a step gathers for a row."""
    width = step.size[1]
    if step.kind == "block":
        return width * padded(step.sources[0].channels)
    if step.kind == "heads":
        return width * 2 * padded(step.sources[0].channels)
    if step.kind == "conv":
        return width * (-(-9 * step.sources[0].channels // 4) * 4)
    if step.kind == "join":
        return width * sum(place.channels for place in step.sources)
    return 0
