"""Writes the C file: kernels as they are, weights and tables of one network."""

# Tested by tests/converters/c/test_kernels.py.

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ultraface_deploy import __version__
from ultraface_deploy.converters.c.float32 import FloatNetwork, FloatStep
from ultraface_deploy.converters.c.int8 import FIRST_ORDER, Int8Network, Int8Step, Weights
from ultraface_deploy.converters.c.layout import Layout, lay_out
from ultraface_deploy.converters.c.reference import POWER_COEFFICIENTS, fixed_multipliers
from ultraface_deploy.converters.c.topology import LANES, Step, Topology, padded
from ultraface_deploy.family.spec import METADATA_KEY, ModelSpec

_SOURCE = Path(__file__).with_name("source")
_CANDIDATES = 200
_INT8_KERNELS = ("int8/types.c", "int8/portable.c", "int8/x86.c", "int8/arm.c", "int8/wasm.c")

# Instruction sets by processor, the best first, with the function that asks for them.
_INT8_CHOICES = {
    "X86": {"avx512": "has_avx512", "avxvnni": "has_avxvnni", "avx2": "has_avx2"},
    "ARM64": {"i8mm": "has_i8mm", "dot": "has_dot", "neon": "always"},
}
_FLOAT_CHOICES = {
    "X86": {"avx512": "has_avx512", "avx2": "has_avx2"},
    "ARM64": {"neon": "always"},
}


@dataclass(frozen=True)
class _StepText:
    """A step in C: its arrays, and the initialisers that name them."""

    step: Step
    zero: int
    arrays: Sequence[str]
    filters: Sequence[str]
    matrix: str
    fixed: npt.NDArray[np.int64]


def emit_int8(network: Int8Network, header_name: str) -> tuple[str, str]:
    """Return the C file and the header of an INT8 network.

    Args:
        network: its integers.
        header_name: what the C file includes.
    """
    steps = [_int8_step(index, step) for index, step in enumerate(network.steps)]
    numbers = {"MEAN": network.steps[0].zero, "NOTHING_VALUE": -128, "SHIFT": network.shift}
    kernels = "\n".join(_read(part) for part in _INT8_KERNELS) + _choice(_INT8_CHOICES)
    return _emit(network.spec, network.topology, "INT8", steps, numbers, kernels, header_name)


def emit_float(network: FloatNetwork, header_name: str) -> tuple[str, str]:
    """Return the C file and the header of an FP32 network."""
    spec = network.spec
    mean = round(spec.mean[0])
    steps = [_float_step(index, step, mean) for index, step in enumerate(network.steps)]
    numbers = {"MEAN": mean, "NOTHING_VALUE": 0}
    kernels = "\n".join([_read("float/types.c"), _read("float/portable.c"), _wide_kernels()])
    kernels += _choice(_FLOAT_CHOICES)
    return _emit(spec, network.topology, "FP32", steps, numbers, kernels, header_name)


def _emit(
    spec: ModelSpec,
    topology: Topology,
    precision: str,
    steps: Sequence[_StepText],
    numbers: dict[str, int],
    kernels: str,
    header_name: str,
) -> tuple[str, str]:
    layout = lay_out(topology, spec, 1 if precision == "INT8" else 4, _CANDIDATES)
    title = f"{spec.name}: an UltraFace detector, {precision}, {spec.width}x{spec.height}"
    header = _filled(_read("common/header.h"), _facts(spec, layout) | {"TITLE": title})
    tables = "\n".join(
        [
            *(array for step in steps for array in step.arrays),
            *_tables(topology, layout, steps),
            *_maps(spec, layout, steps),
        ]
    )
    coefficients = ", ".join(map(str, POWER_COEFFICIENTS))
    parts = [
        f"/* {title}.\n\n   Written by ultraface-deploy {__version__}; see the header. */\n",
        f'#include "{header_name}"\n',
        _constants(spec, len(steps), layout, numbers),
        kernels,
        _read("common/picture.c"),
        _read("common/network.c").replace("/*@TABLES@*/", tables),
        _filled(_read("common/faces.c"), {"POWER_COEFFICIENTS": coefficients}),
    ]
    return "\n".join(parts), header


def _read(part: str) -> str:
    return (_SOURCE / part).read_text(encoding="utf-8")


def _filled(text: str, facts: Mapping[str, object]) -> str:
    for name, value in facts.items():
        text = text.replace(f"@{name}@", str(value))
    return text


def _choice(sets: Mapping[str, Mapping[str, str]]) -> str:
    rows = {
        processor: "\n".join(f"    {{&{name}_kernels, {has}}}," for name, has in names.items())
        for processor, names in sets.items()
    }
    return "\n" + _filled(_read("common/choose.c"), rows)


def _wide_kernels() -> str:
    """The FP32 kernels of each instruction set: one text, filled in three times."""
    text = _read("float/wide.c")
    x86 = {"LOAD": "loadu_ps", "STORE": "storeu_ps", "SET1": "set1_ps", "FMA": "fmadd_ps"}
    x86["MAX"] = "max_ps"
    avx512 = {name: f"_mm512_{call}" for name, call in x86.items()}
    avx512 |= {"SET": "avx512", "VECTOR": "__m512", "WIDE": "16", "TARGET": "AVX512"}
    avx2 = {name: f"_mm256_{call}" for name, call in x86.items()}
    avx2 |= {"SET": "avx2", "VECTOR": "__m256", "WIDE": "8", "TARGET": "AVX2"}
    neon = {"LOAD": "vld1q_f32", "STORE": "vst1q_f32", "SET1": "vdupq_n_f32", "MAX": "vmaxq_f32"}
    neon |= {"FMA": "FMA_NEON", "SET": "neon", "VECTOR": "float32x4_t", "WIDE": "4"}
    return "\n".join(
        [
            _read("float/x86_begin.c"),
            _filled(text, avx512 | _rows("avx512", ((64, 5, 4), (32, 10, 2), (16, 10, 1)))),
            _filled(text, avx2 | _rows("avx2", ((16, 5, 2),))),
            _read("float/x86_end.c"),
            _read("float/arm_begin.c"),
            _filled(text.replace("@TARGET@ ", ""), neon | _rows("neon", ((16, 5, 4),))),
            "#endif\n",
        ]
    )


def _rows(name: str, tiles: Sequence[tuple[int, int, int]]) -> dict[str, object]:
    """The tiles of an instruction set, each (outputs, pixels, vectors), and the calls of them."""
    made = [f"ROW_{name}(row_{n}_{name}, {many}, {vectors})" for n, many, vectors in tiles]
    calls = [
        f"    for (; n + {n} <= m->outputs; n += {n})\n"
        f"        row_{n}_{name}(m, n, lines, rows, run, apart, out, pixels);"
        for n, _, _ in tiles
    ]
    return {"ROWS": "\n".join(made), "CALLS": "\n".join(calls)}


def _facts(spec: ModelSpec, layout: Layout) -> dict[str, object]:
    return {
        "VERSION": __version__,
        # What the network is, for the tool that wrote it.
        "SPEC": f"{METADATA_KEY}: {json.dumps(spec.to_dict())}",
        "WIDTH": spec.width,
        "HEIGHT": spec.height,
        "CLASSES": spec.num_classes,
        "ANCHORS": spec.num_anchors,
        # An arena may begin anywhere and is used from the next multiple of 64.
        "FIXED_BYTES": layout.bands + 64,
        "BAND_BYTES": layout.band_bytes,
    }


def _constants(spec: ModelSpec, steps: int, layout: Layout, numbers: dict[str, int]) -> str:
    values = {
        "CLASSES": spec.num_classes,
        "MEAN_LEVEL": round(spec.mean[0]),
        "MAPS": len(spec.feature_maps),
        "STEPS": steps,
        "STREAMED": layout.streamed,
        "CENTER_VARIANCE": round(spec.anchors.center_variance * 2**24),
        "MILLIONTHS_OF_SCORE": round(spec.score_threshold * 1_000_000),
        "SIZE_VARIANCE": round(spec.anchors.size_variance * 2**24),
    } | numbers
    offsets = {
        "NOTHING": layout.nothing,
        "NOTHING_BYTES": layout.nothing_bytes,
        "NO_PICTURE": layout.no_picture,
        "COLUMNS": layout.columns,
        "CANDIDATES": layout.candidates,
        "BANDS": layout.bands,
        "LINE": layout.line,
        "BAND_BYTES": layout.band_bytes,
    }
    return "\n".join(
        [
            "/* ---- The network's numbers ---- */\n",
            "enum {",
            *(f"    {name} = {value}," for name, value in values.items()),
            "    /* bytes in the arena, or in a band of it */",
            *(f"    {name} = {value}," for name, value in offsets.items()),
            "};",
            "",
            "/* Values of a stored row: a pixel of padding on either side, and room to read on. */",
            "#define ROW_VALUES(width, channels) ((((width) + 2) * (channels) + 127) / 64 * 64)\n",
        ]
    )


def _int8_step(index: int, step: Int8Step) -> _StepText:
    arrays, filters = [], []
    for number, (layer, weights) in enumerate(zip(step.step.spatial, step.filters, strict=True)):
        name = f"{index}_{number}"
        channels = padded(len(weights.weight))
        wide = np.zeros((channels, 3, 4), np.int64)
        wide[: len(weights.weight), :, :3] = weights.weight.reshape(-1, 3, 3).transpose(0, 2, 1)
        packed = wide.reshape(-1, LANES, 3, 4).transpose(0, 2, 1, 3)
        arrays += [
            f"/* {layer.name}: depthwise 3x3 of {len(weights.weight)} channels */",
            _array("int8_t", f"filter_{name}", packed),
            _biases(f"filter_bias_{name}", weights, channels),
            _multipliers(f"filter_multiplier_{name}", weights, channels),
        ]
        filters.append(
            f"{{filter_{name}, filter_bias_{name}, filter_multiplier_{name}, {channels}}}"
        )
    rows = _int8_rows(step)
    outputs, inputs = rows.shape
    packed = rows.reshape(-1, LANES, inputs // 4, 4).transpose(0, 2, 1, 3)
    arrays += [
        _described(step.step, step.matrix.weight.shape),
        _array("int8_t", f"matrix_{index}", packed),
        _biases(f"bias_{index}", step.matrix, outputs),
    ]
    multiplier = "0"
    if step.matrix.multiplier is not None:
        multiplier = f"multiplier_{index}"
        arrays.append(_multipliers(multiplier, step.matrix, outputs))
    matrix = f"{{matrix_{index}, bias_{index}, {multiplier}, {inputs}, {outputs}}}"
    filters += ["{0, 0, 0, 0}"] * (2 - len(filters))
    fixed = fixed_multipliers(step.matrix)
    return _StepText(step.step, step.zero, arrays, filters, matrix, fixed)


def _int8_rows(step: Int8Step) -> npt.NDArray[np.int64]:
    """A matrix as the kernels multiply it: outputs padded to 16, inputs to 4."""
    weight = step.matrix.weight.astype(np.int64)
    if step.step.kind == "first":
        weight = np.pad(weight, ((0, 0), (0, 1)))[:, FIRST_ORDER]
    rows, columns = weight.shape
    return np.pad(weight, ((0, padded(rows) - rows), (0, -columns % 4)))


def _biases(name: str, weights: Weights, count: int) -> str:
    sums = weights.weight.astype(np.int64).reshape(len(weights.weight), -1).sum(axis=1)
    pairs = [f"B({bias}, {total})" for bias, total in zip(weights.bias, sums, strict=True)]
    return _array("int32_t", name, pairs + ["0"] * (count - len(pairs)))


def _multipliers(name: str, weights: Weights, count: int) -> str:
    assert weights.multiplier is not None
    missing = count - len(weights.multiplier)
    return _array("int16_t", name, np.pad(weights.multiplier, (0, missing)))


def _float_step(index: int, step: FloatStep, mean: int) -> _StepText:
    arrays, filters = [], []
    for number, (layer, each) in enumerate(zip(step.step.spatial, step.filters, strict=True)):
        weight, bias = each
        name, channels = f"{index}_{number}", padded(len(bias))
        missing = channels - len(bias)
        packed = np.pad(weight, ((0, missing), (0, 0))).reshape(-1, LANES, 9).transpose(0, 2, 1)
        arrays += [
            f"/* {layer.name}: depthwise 3x3 of {len(bias)} channels */",
            _array("float", f"filter_{name}", packed),
            _array("float", f"filter_bias_{name}", np.pad(bias, (0, missing))),
        ]
        filters.append(f"{{filter_{name}, filter_bias_{name}, {channels}}}")
    rows = step.matrix.rows
    outputs, inputs = padded(len(rows)), rows.shape[1]
    packed = np.pad(rows, ((0, outputs - len(rows)), (0, 0))).reshape(-1, LANES, inputs)
    bias = np.pad(step.matrix.bias, (0, outputs - len(rows)))
    arrays += [
        _described(step.step, rows.shape),
        _array("float", f"matrix_{index}", packed.transpose(0, 2, 1)),
        _array("float", f"bias_{index}", bias),
    ]
    matrix = f"{{matrix_{index}, bias_{index}, {inputs}, {outputs}, {int(step.relu)}}}"
    filters += ["{0, 0, 0}"] * (2 - len(filters))
    zero = mean if step.step.kind == "first" else 0
    return _StepText(step.step, zero, arrays, filters, matrix, np.full(len(rows), 1 << 16))


def _described(step: Step, shape: tuple[int, ...]) -> str:
    names = ", ".join(layer.name for layer in step.matrices)
    return f"/* {names}: {shape[0]} outputs of {shape[1]} inputs */"


def _array(kind: str, name: str, values: npt.NDArray[np.generic] | list[str]) -> str:
    if kind == "float":
        words = [f"{value:.9g}" for value in np.asarray(values, np.float32).ravel().tolist()]
        words = [f"{w}f" if "." in w or "e" in w else f"{w}.0f" for w in words]
    else:
        words = [str(value) for value in np.asarray(values).ravel().tolist()]
    per_line = 8 if "(" in words[0] or kind == "float" else 32
    lines = [
        "    " + ", ".join(words[start : start + per_line])
        for start in range(0, len(words), per_line)
    ]
    body = ",\n".join(lines)
    return f"static const {kind} {name}[{len(words)}] ALIGNED = {{\n{body}}};"


def _tables(topology: Topology, layout: Layout, steps: Sequence[_StepText]) -> list[str]:
    lines = ["\n/* Tensors, the picture first. */", "static const tensor tensors[] = {"]
    for index, (shape, place) in enumerate(zip(topology.tensors, layout.tensors, strict=True)):
        size = f"{shape.height}, {shape.width}, {shape.channels}"
        lines.append(f"    {{{place.offset}, {size}, {place.rows}}}, /* {index} */")
    lines += ["};", "", "/* kind, sources, output; what is read; height, width, stride, dilation,"]
    lines += ["   what lies outside; filters; matrix */", "static const step steps[STEPS] = {"]
    for text in steps:
        s = text.step
        output = s.output if s.output is not None else -1 - s.map
        sources = ", ".join(f"{{{p.tensor}, {p.start}, {p.channels}}}" for p in s.sources)
        sources += ", {0, 0, 0}" * (4 - len(s.sources))
        lines += [
            f"    {{{s.kind.upper()}, {len(s.sources)}, {output}, {{{sources}}}, /* {s.name} */",
            f"     {s.size[0]}, {s.size[1]}, {s.stride}, {s.dilation}, {text.zero},",
            f"     {{{', '.join(text.filters)}}},",
            f"     {text.matrix}}},",
        ]
    return [*lines, "};", ""]


def _maps(spec: ModelSpec, layout: Layout, steps: Sequence[_StepText]) -> list[str]:
    finals = sorted((text for text in steps if text.step.final), key=lambda text: text.step.map)
    lines = []
    for index, text in enumerate(finals):
        outputs = padded(len(text.fixed))
        values = np.pad(text.fixed, (0, outputs - len(text.fixed)))
        lines.append(_array("int32_t", f"scale_{index}", values))
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


def _shares(sides: tuple[float, ...], size: int, count: int) -> str:
    shares = [min(round(side * 65536 / size), 65536) for side in sides]
    return "{" + ", ".join(map(str, shares + [0] * (count - len(shares)))) + "}"
