"""The tables of a C file: its tensors, its steps, its feature maps."""

# Tested by tests/converters/c/test_kernels.py.

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ultraface_deploy.converters.c.arrays import StepText, array
from ultraface_deploy.converters.c.layout import Layout
from ultraface_deploy.converters.c.topology import Topology, padded
from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.safe.text import c_literal


def step_tables(topology: Topology, layout: Layout, steps: Sequence[StepText]) -> list[str]:
    """Return the lines of the tensors and of the steps between them."""
    lines = ["\n/* Tensors, the picture first. */", "static const tensor tensors[] = {"]
    for index, (shape, place) in enumerate(zip(topology.tensors, layout.tensors, strict=True)):
        size = f"{shape.height}, {shape.width}, {shape.channels}"
        lines.append(f"    {{{place.offset}, {size}, {place.rows}}}, /* {index} */")
    lines += [
        "};",
        "",
        "/* kind, round, sources, output; what is read; height, width, stride, dilation,",
    ]
    lines += ["   what lies outside; filters; matrix */", "static const step steps[STEPS] = {"]
    for text in steps:
        s = text.step
        output = s.output if s.output is not None else -1 - s.map
        sources = ", ".join(f"{{{p.tensor}, {p.start}, {p.channels}}}" for p in s.sources)
        sources += ", {0, 0, 0}" * (4 - len(s.sources))
        lines += [
            f"    {{{s.kind.upper()}, {s.round}, {len(s.sources)}, {output}, {{{sources}}},"
            f" /* {s.name} */",
            f"     {s.size[0]}, {s.size[1]}, {s.stride}, {s.dilation}, {text.zero},",
            f"     {{{', '.join(text.filters)}}},",
            f"     {text.matrix}}},",
        ]
    return [*lines, "};", ""]


def map_table(spec: ModelSpec, layout: Layout, steps: Sequence[StepText]) -> list[str]:
    """Return the lines of the feature maps, whose anchors become faces."""
    finals = sorted((text for text in steps if text.step.final), key=lambda text: text.step.map)
    lines = []
    for index, text in enumerate(finals):
        outputs = padded(len(text.fixed))
        values = np.pad(text.fixed, (0, outputs - len(text.fixed)))
        lines.append(array("int32_t", f"scale_{index}", values))
    most = max(len(sides) for sides in spec.anchors.min_boxes)
    lines += [
        "\n/* A feature map: where its sums lie, columns, rows, outputs; its anchors' sides as",
        "   shares of the input's width and height, 16 bits behind the point; its sums' scales. */",
        "typedef struct {",
        "    size_t offset;",
        f"    int columns, rows, outputs, sides, wide[{most}], high[{most}];",
        "    const int32_t *scale;",
        "} feature_map;",
        "",
        "static const feature_map maps[MAPS] = {",
    ]
    for index, (text, sides) in enumerate(zip(finals, spec.anchors.min_boxes, strict=True)):
        height, width = text.step.size
        lines.append(
            f"    {{{layout.sums[index]}, {width}, {height}, {padded(len(text.fixed))}, "
            f"{len(sides)}, {_shares(sides, spec.width, most)}, "
            f"{_shares(sides, spec.height, most)}, scale_{index}}},"
        )
    return [*lines, "};"]


def name_rows(spec: ModelSpec) -> str:
    """Return the names of the labels from 1, as rows of an array."""
    return ",\n".join(f"    {c_literal(name)}" for name in spec.class_names)


def _shares(sides: tuple[float, ...], size: int, count: int) -> str:
    shares = [min(round(side * 65536 / size), 65536) for side in sides]
    return "{" + ", ".join(map(str, shares + [0] * (count - len(shares)))) + "}"
