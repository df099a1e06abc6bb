"""A network's facts as C++: the values that fill the templates, and the embedded model."""

# Tested by tests/sdk/test_project.py.

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.safe.text import c_literal

_BYTES_PER_LINE = 24


def model_values(spec: ModelSpec, halves: bool, files: Sequence[Path]) -> dict[str, str]:
    """Return what `model.hpp.in` asks for.

    Args:
        spec: the network.
        halves: whether the runtime may compute in half floats.
        files: the artifact's files, in the order in which the runtime's source reads them.
    """
    min_boxes = spec.anchors.min_boxes
    return {
        "NAME": spec.name,
        "WIDTH": str(spec.width),
        "HEIGHT": str(spec.height),
        "COLOR": spec.color.capitalize(),
        "CHANNELS": str(spec.channels),
        "MEAN": _join(map(float32, spec.mean)),
        "STD": _join(map(float32, spec.std)),
        "CLASSES": str(spec.num_classes),
        "CLASS_NAMES": _join(["nullptr", *map(c_literal, spec.class_names)]),
        "ANCHORS": str(spec.num_anchors),
        "DECODED_HEAD": boolean(spec.head == "decoded"),
        "HALF_PRECISION": boolean(halves),
        "MAX_SIDES": str(max(len(sides) for sides in min_boxes)),
        "FEATURE_MAPS": ",\n".join(
            f"    {{{columns}, {rows}, {len(sides)}, {{{_join(map(repr, map(float, sides)))}}}}}"
            for (columns, rows), sides in zip(spec.feature_maps, min_boxes, strict=True)
        ),
        "CENTER_VARIANCE": float32(spec.anchors.center_variance),
        "SIZE_VARIANCE": float32(spec.anchors.size_variance),
        "SCORE_THRESHOLD": float32(spec.score_threshold),
        "NUM_FILES": str(len(files)),
        "FILES": ",\n".join(_file_record(file) for file in files),
    }


def embedded_model(files: Sequence[Path]) -> str:
    """Return a C++ source that defines `embedded_files()`, without content for no files."""
    arrays = "".join(
        f"// Aligned because runtimes read weights in place.\n"
        f"alignas(16) constexpr unsigned char kFile{index}[] = {{\n{_bytes(file)}\n}};\n\n"
        for index, file in enumerate(files)
    )
    records = _join(f"{{kFile{index}, sizeof(kFile{index})}}" for index in range(len(files)))
    body = f"namespace {{\n\n{arrays}}}  // namespace\n\n" if files else ""
    returned = f"{{{{{records}}}}}" if files else "{}"
    return (
        '#include "model_files.hpp"\n\n'
        "namespace ultraface {\n\n"
        f"{body}"
        f"ModelFiles embedded_files() {{ return {returned}; }}\n\n"
        "}  // namespace ultraface\n"
    )


def float32(value: float) -> str:
    """Write a number as a float literal."""
    return f"{float(value)!r}F"


def boolean(value: bool) -> str:
    """Write a truth value."""
    return "true" if value else "false"


def _join(parts: Iterable[str]) -> str:
    return ", ".join(parts)


def _file_record(file: Path) -> str:
    content = file.read_bytes()
    return f'    {{"{file.name}", {len(content)}, {zlib.crc32(content):#010x}}}'


def _bytes(file: Path) -> str:
    content = file.read_bytes()
    lines = (content[at : at + _BYTES_PER_LINE] for at in range(0, len(content), _BYTES_PER_LINE))
    return ",\n".join("    " + ",".join(map(str, line)) for line in lines)
