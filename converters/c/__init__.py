"""C: a detector that needs nothing but a compiler, in FP32 or in integers."""

# Tested by tests/backends/test_native.py.

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from ultraface_deploy.converters.base import Conversion, Files, Format
from ultraface_deploy.converters.c.members import refuse_other_members
from ultraface_deploy.errors import InputError
from ultraface_deploy.family.spec import METADATA_KEY, ModelSpec
from ultraface_deploy.quantize.int8 import Int8, Int8Job
from ultraface_deploy.safe.files import read_text
from ultraface_deploy.safe.limits import Limit

if TYPE_CHECKING:
    from ultraface_deploy.agreement.precision import Precision
    from ultraface_deploy.quantize.plan import Plan

SUFFIXES = (".c", ".h")


def _convert(job: Conversion) -> None:
    from ultraface_deploy.converters.c.emit import emit_float
    from ultraface_deploy.converters.c.float32 import lower_float
    from ultraface_deploy.converters.c.topology import find_steps
    from ultraface_deploy.converters.onnx.network import load_network

    network, model = load_network(job.sources[0])
    lowered = lower_float(network, find_steps(network, model, job.spec), job.spec)
    _write(emit_float(lowered, job.outputs[1].name), job.outputs)


def _emit(plan: Plan, job: Int8Job, folder: Path) -> Files:
    from ultraface_deploy.converters.c.emit import emit_int8
    from ultraface_deploy.converters.c.int8 import lower
    from ultraface_deploy.converters.c.topology import find_steps
    from ultraface_deploy.converters.onnx.network import load_network

    kept = [layer.name for layer in job.network.layers if layer.name not in plan.quantized]
    if kept:
        raise InputError(f"`keep` {kept[0]}: C computes all layers in INT8, or none; leave it out")
    # The C file includes its header by the name that it will have.
    files = [folder / f"{job.spec.name}.int8{suffix}" for suffix in SUFFIXES]
    topology = find_steps(job.network, load_network(job.files["onnxsim"][0])[1], job.spec)
    _write(emit_int8(lower(plan, topology, job.spec), files[1].name), files)
    return files


def _write(texts: tuple[str, str], outputs: Files) -> None:
    for text, output in zip(texts, outputs, strict=True):
        output.write_text(text, encoding="utf-8")


def _stated_spec(files: Files) -> ModelSpec | None:
    """Read the spec from the header."""
    text = read_text(files[1], Limit.TEXT)
    found = re.search(rf"{METADATA_KEY}: (\{{.*\}})", text)
    return None if found is None else ModelSpec.from_json(found.group(1))


def _stored_precision(files: Files) -> Precision:
    """Read the first line of the header, which says it."""
    return "int8" if ", INT8, " in read_text(files[1], Limit.TEXT).partition("\n")[0] else "fp32"


FORMAT = Format(
    name="c",
    suffixes=SUFFIXES,
    source="onnxsim",
    precisions={
        "fp32": _convert,
        "int8": Int8(
            emit=_emit,
            share=0.4,
            budgets=(0,),
        ),
    },
    packages=("onnx", "onnxsim"),
    extra="onnx",
    stated_spec=_stated_spec,
    stored_precision=_stored_precision,
    refuse=refuse_other_members,
)
