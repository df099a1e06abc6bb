"""Writes the C file: kernels as they are, weights and tables of one network."""

# Tested by tests/converters/c/test_kernels.py.

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from ultraface_deploy import __version__
from ultraface_deploy.converters.c.arrays import StepText, float_step, int8_step
from ultraface_deploy.converters.c.float32 import FloatNetwork
from ultraface_deploy.converters.c.int8 import Int8Network
from ultraface_deploy.converters.c.layout import Layout, lay_out
from ultraface_deploy.converters.c.reference import POWER_COEFFICIENTS
from ultraface_deploy.converters.c.tables import map_table, name_rows, step_tables
from ultraface_deploy.converters.c.topology import Topology
from ultraface_deploy.family.spec import METADATA_KEY, ModelSpec

_SOURCE = Path(__file__).with_name("source")
_CANDIDATES = 200
_INT8_KERNELS = (
    *("int8/types.c", "common/kernels.c", "int8/portable.c", "int8/x86_begin.c", "int8/avx2.c"),
    *("common/avx2_resize.c", "int8/avx512.c", "int8/avx512_resize.c", "int8/vbmi_resize.c"),
    *("int8/x86_end.c", "int8/neon_begin.c", "int8/neon_matrix.c", "common/neon_resize.c"),
    *("int8/neon.c", "int8/dot.c", "int8/i8mm.c", "int8/wasm.c"),
)

# Instruction sets by processor, the best first, with the function that asks for them.
_INT8_CHOICES = {
    "X86": {
        **{"vbmi": "has_vbmi", "avx512": "has_avx512"},
        **{"avxvnni": "has_avxvnni", "avx2": "has_avx2"},
    },
    "ARM64": {"i8mm": "has_i8mm", "dot": "has_dot", "neon": "always"},
}
_FLOAT_CHOICES = {
    "X86": {"avx512": "has_avx512", "avx2": "has_avx2"},
    "ARM64": {"neon": "always"},
}


def emit_int8(network: Int8Network, header_name: str) -> tuple[str, str]:
    """Return the C file and the header of an INT8 network.

    Args:
        network: its integers.
        header_name: what the C file includes.
    """
    steps = [int8_step(index, step) for index, step in enumerate(network.steps)]
    numbers = {"MEAN": network.steps[0].zero, "NOTHING_VALUE": -128, "SHIFT": network.shift}
    kernels = "\n".join(_read(part) for part in _INT8_KERNELS) + _choice(_INT8_CHOICES)
    return _emit(network.spec, network.topology, "INT8", steps, numbers, kernels, header_name)


def emit_float(network: FloatNetwork, header_name: str) -> tuple[str, str]:
    """Return the C file and the header of an FP32 network."""
    spec = network.spec
    mean = round(spec.mean[0])
    steps = [float_step(index, step, mean) for index, step in enumerate(network.steps)]
    numbers = {"MEAN": mean, "NOTHING_VALUE": 0}
    kernels = "\n".join(
        [
            *map(_read, ("float/types.c", "common/kernels.c", "float/portable.c")),
            _wide_kernels(),
        ]
    )
    kernels += _choice(_FLOAT_CHOICES)
    return _emit(spec, network.topology, "FP32", steps, numbers, kernels, header_name)


def _emit(
    spec: ModelSpec,
    topology: Topology,
    precision: str,
    steps: Sequence[StepText],
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
            *step_tables(topology, layout, steps),
            *map_table(spec, layout, steps),
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
        _read("common/calls.c"),
    ]
    if spec.class_names:
        parts.append(_filled(_read("common/names.c"), {"NAMES": name_rows(spec)}))
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
    avx512 |= {
        "SET": "avx512",
        "VECTOR": "__m512",
        "WIDE": "16",
        "TARGET": "AVX512",
        "RESIZE": "avx2",
    }
    avx2 = {name: f"_mm256_{call}" for name, call in x86.items()}
    avx2 |= {"SET": "avx2", "VECTOR": "__m256", "WIDE": "8", "TARGET": "AVX2", "RESIZE": "avx2"}
    neon = {"LOAD": "vld1q_f32", "STORE": "vst1q_f32", "SET1": "vdupq_n_f32", "MAX": "vmaxq_f32"}
    neon |= {"FMA": "FMA_NEON", "SET": "neon", "VECTOR": "float32x4_t", "WIDE": "4"}
    neon |= {"RESIZE": "neon"}
    return "\n".join(
        [
            _read("float/x86_begin.c"),
            _read("common/avx2_resize.c"),
            _filled(text, avx512 | _rows("avx512", ((64, 5, 4), (32, 10, 2), (16, 10, 1)))),
            _filled(text, avx2 | _rows("avx2", ((16, 5, 2),))),
            _read("float/x86_end.c"),
            _read("float/arm_begin.c"),
            _read("common/neon_resize.c"),
            _filled(text.replace("@TARGET@ ", ""), neon | _rows("neon", ((16, 5, 4),))),
            "#endif\n",
        ]
    )


def _rows(name: str, tiles: Sequence[tuple[int, int, int]]) -> dict[str, object]:
    """The tiles of an instruction set, each (outputs, pixels, vectors), and the calls of them."""
    made = [f"ROW_{name}(row_{n}_{name}, {many}, {vectors})" for n, many, vectors in tiles]
    calls = [
        f"    for (; n + {n} <= m->outputs; n += {n})\n"
        f"        row_{n}_{name}(m, n, lines, rows, run, apart, out, pixels, next);"
        for n, _, _ in tiles
    ]
    return {"ROWS": "\n".join(made), "CALLS": "\n".join(calls)}


def _facts(spec: ModelSpec, layout: Layout) -> dict[str, object]:
    return {
        "VERSION": __version__,
        # What the network is, for the tool that wrote it; no name in it may end the comment.
        "SPEC": f"{METADATA_KEY}: {json.dumps(spec.to_dict())}".replace("/", r"\/"),
        "WIDTH": spec.width,
        "HEIGHT": spec.height,
        "CLASSES": spec.num_classes,
        "ANCHORS": spec.num_anchors,
        # An arena may begin anywhere and is used from the next multiple of 64.
        "FIXED_BYTES": layout.lines + 64,
        "LINE_BYTES": layout.line_bytes,
        "STREAM_BYTES": layout.stream_bytes,
        "NAMES": _read("common/names.h") if spec.class_names else "",
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
        "STREAM": layout.stream,
        "STREAM_BYTES": layout.stream_bytes,
        "HALF": layout.half,
        "LINES": layout.lines,
        "LINE_BYTES": layout.line_bytes,
    }
    return "\n".join(
        [
            "/* ---- The network's numbers ---- */\n",
            "enum {",
            *(f"    {name} = {value}," for name, value in values.items()),
            "    /* bytes in the arena */",
            *(f"    {name} = {value}," for name, value in offsets.items()),
            "};",
            "",
            "/* Values of a stored row: a pixel of padding on either side, and room to read on. */",
            "#define ROW_VALUES(width, channels) ((((width) + 2) * (channels) + 127) / 64 * 64)\n",
        ]
    )
