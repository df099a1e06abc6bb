"""The format: a network as a list of operators and the arrays that they read, in one `.npz`."""

from __future__ import annotations

from pathlib import Path

from ultraface_deploy.converters import Conversion, Format
from ultraface_deploy.errors import InputError
from ultraface_deploy.quantize import Int8, Int8Job
from ultraface_deploy.quantize.plan import Plan


def _convert(job: Conversion) -> None:
    from ultraface_deploy.converters.onnx.files import load
    from ultraface_numpy.npz.from_onnx import program_of
    from ultraface_numpy.npz.program import write

    write(program_of(load(job.sources[0])), job.outputs[0])


def _emit(plan: Plan, job: Int8Job, folder: Path) -> list[Path]:
    from ultraface_deploy.converters.onnx.network import load_network
    from ultraface_numpy.npz.from_onnx import quantized
    from ultraface_numpy.npz.program import write

    file = folder / f"{job.spec.name}.npz"
    write(quantized(plan, load_network(job.files["onnxsim"][0])[1]), file)
    return [file]


def _check(files: list[Path]) -> None:
    from ultraface_numpy.npz.program import read

    try:
        read(files[0])
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{files[0]}: not such an .npz file, or damaged ({error})") from error


def _input_size(files: list[Path]) -> tuple[int, int]:
    from ultraface_numpy.npz.program import read

    *_, height, width = read(files[0]).input_shape
    return width, height


FORMAT = Format(
    name="npz",
    suffixes=(".npz",),
    source="onnxsim",
    precisions={
        "fp32": _convert,
        "int8": Int8(emit=_emit, share=0.4),
    },
    packages=("onnx",),
    extra="onnx",
    check=_check,
    input_size=_input_size,
)
