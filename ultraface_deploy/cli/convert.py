"""`convert`: a checkpoint becomes verified artifacts."""

# Tested by tests/cli/test_commands.py.

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from ultraface_deploy.cli.console import note, notes, progress
from ultraface_deploy.cli.options import (
    AllowNoFaces,
    CalibrationKeepsAspect,
    ColorOrder,
    IgnoreOutputs,
    InputSize,
    Mean,
    Std,
    precision_option,
)
from ultraface_deploy.cli.quantize import Calibration, CalibrationImages
from ultraface_deploy.models import DEFAULT_MODEL

if TYPE_CHECKING:
    from ultraface_deploy.agreement.precision import Precision
    from ultraface_deploy.artifacts.folder import ArtifactFolder
    from ultraface_deploy.quantize import Int8Options


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("convert")(convert)


def convert(
    model: Annotated[
        str,
        typer.Argument(
            help="A .pth, an .onnx, a Caffe .prototxt, an artifact folder, or a registry name."
        ),
    ] = DEFAULT_MODEL,
    to: Annotated[
        Optional[list[str]],  # noqa: UP045 - typer reads it at run time on Python 3.10
        typer.Option(
            "--to",
            metavar="FORMAT",
            help="onnx, onnxsim, mnn, ncnn, caffe, tflite, openvino, coreml, ethosu, kmodel, rknn, "
            "espdl, c, the format of a plug-in, or all.",
        ),
    ] = None,
    int8: Annotated[bool, typer.Option("--int8", help="Quantise the targets to INT8.")] = False,
    fp16: Annotated[bool, typer.Option("--fp16", help="Store the targets in FP16.")] = False,
    precision: Annotated[
        Optional[list[str]],  # noqa: UP045
        precision_option("; default fp32; repeat for several"),
    ] = None,
    input_size: InputSize = None,
    mean: Mean = None,
    std: Std = None,
    color: ColorOrder = None,
    ignore_outputs: IgnoreOutputs = False,
    head: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--head",
            help="raw (offsets, default), decoded (corners in 0..1) or conv (cut, for NPU tools).",
        ),
    ] = None,
    name: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--name", help="Name of the model; default: after the file."),
    ] = None,
    class_names: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--class-names", metavar="A,B", help="What the model's classes are called, in order."
        ),
    ] = None,
    ema: Annotated[
        bool, typer.Option("--ema", help="Take the averaged weights of a checkpoint that has both.")
    ] = False,
    output: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("-o", "--output", help="Artifact folder; default: artifacts/<model>."),
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Replace there another network's artifacts, other files."),
    ] = False,
    allow_no_faces: AllowNoFaces = False,
    batch: Annotated[
        str,
        typer.Option(
            "--batch", metavar="N|dynamic", help="How many inputs the ONNX files take at once."
        ),
    ] = "1",
    opset: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option("--opset", help="Operator set of the FP32 ONNX files, from 9; default: 13."),
    ] = None,
    weight_only: Annotated[
        bool,
        typer.Option(
            "--weight-only",
            help="MNN, Core ML: 8-bit weights for size alone; no faster.",
        ),
    ] = False,
    calibration: Calibration = None,
    calibration_images: CalibrationImages = 200,
    validation: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            "--validation", metavar="DIR", help="INT8: photographs to judge on, other than those."
        ),
    ] = None,
    ground_truth: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            "--ground-truth", metavar="DIR", help="INT8: WIDER FACE truth of --validation, for AP."
        ),
    ] = None,
    ranges: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--ranges", metavar="NAME", help="INT8: one way to find ranges, not several."),
    ] = None,
    keep: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option("--keep", metavar="LAYER", help="INT8: a layer that stays FP32; repeat."),
    ] = None,
    keep_aspect: CalibrationKeepsAspect = False,
    accelerator: Annotated[
        str, typer.Option("--accelerator", help="ethosu: what to compile for, as Vela names it.")
    ] = "ethos-u55-128",
    chip: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--chip", help="rknn: rk3588 (default), rk3566, rk3568 or rv1106; espdl: esp32p4."
        ),
    ] = None,
    core: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--for",
            metavar="CORE",
            help="INT8 of ncnn and MNN: leave their half floats on where the faces agree on this "
            "core, emulated: cortex-a76.",
        ),
    ] = None,
    search_seconds: Annotated[
        float, typer.Option("--search-seconds", min=1, help="INT8: time to search per runtime.")
    ] = 75.0,
) -> None:
    """Convert a model; every artifact is compared with the original network before it is kept."""
    from ultraface_deploy.agreement.precision import parse_precision
    from ultraface_deploy.artifacts.batches import parse_batch
    from ultraface_deploy.artifacts.convert import convert as convert_model
    from ultraface_deploy.artifacts.convert import require_possible
    from ultraface_deploy.artifacts.source import parse_head, resolve_source
    from ultraface_deploy.converters.chips import require_chip
    from ultraface_deploy.converters.ethosu.vela import require_accelerator
    from ultraface_deploy.family.classes import parse_class_names
    from ultraface_deploy.family.known import parse_known
    from ultraface_deploy.family.spec import parse_input_size
    from ultraface_deploy.quantize import Int8Options

    flags = {"int8": int8, "fp16": fp16, "w8": weight_only}
    asked = [name for name, given in flags.items() if given] + list(precision or ())
    chosen = [parse_precision(each) for each in dict.fromkeys(asked or ["fp32"])]
    size = None if input_size is None else parse_input_size(input_size)
    inputs = parse_batch(batch)
    known = parse_known(mean, std, color, ignore_outputs)
    wanted_head = None if head is None else parse_head(head)
    classes = parse_class_names(class_names)
    targets = to or ["all"]
    # What can be refused without a look at the model, which takes torch and seconds.
    require_possible(targets, chosen, wanted_head or "raw", opset, inputs)
    require_accelerator(accelerator)
    require_chip(chip, targets)
    if core is not None:
        _require_core(core, "int8" in chosen)
    options = Int8Options(
        calibration=calibration,
        images=calibration_images,
        validation=validation,
        ground_truth=ground_truth,
        ranges=ranges,
        keep=tuple(keep or ()),
        budget_s=search_seconds,
        accelerator=accelerator,
        chip=chip,
        keep_aspect=keep_aspect,
        halves=core is not None,
    )
    if "int8" in chosen:
        options.require_readable()
    source = resolve_source(model, size, wanted_head, name, ema, known, classes)

    def make(targets: list[str], chosen: list[Precision], options: Int8Options) -> ArtifactFolder:
        with progress() as bar:
            task = bar.add_task(f"converting {source.spec.name}", total=None)
            return convert_model(
                source,
                targets,
                chosen,
                output,
                overwrite,
                report=note,
                needs_faces=not allow_no_faces,
                opset=opset,
                batch=inputs,
                int8=options,
                progress=lambda done, total: bar.update(
                    task, description="calibrating", completed=done, total=total
                ),
            )

    folder = make(targets, chosen, options)
    if core is not None:
        folder = _try_halves(folder, core, validation)
        if in_vain := _planned_in_vain(folder, core):
            note(f"{', '.join(in_vain)}: converted again, as for cores without half floats")
            folder = make(in_vain, ["int8"], replace(options, halves=False))
            _try_halves(folder, core, validation, in_vain)
    if "int8" in chosen and _timed_here(folder, targets):
        note(
            "INT8 is smaller; whether it is faster depends on the processor: "
            f"ultraface-deploy bench {shlex.quote(str(folder.path))} --precision all"
        )
    note(f"done: {folder.path}")


def _timed_here(folder: ArtifactFolder, targets: Sequence[str]) -> bool:
    """Whether a runtime here can tell how fast one of the targets is in INT8."""
    from ultraface_deploy.artifacts.choose import runtimes_of

    formats = (each.format for each in folder.artifacts if each.precision == "int8")
    return any(
        runtime.available() and runtime.times(format)
        for format in formats
        if "all" in targets or format in targets
        for runtime in runtimes_of(format, "int8")
    )


def _require_core(core: str, int8: bool) -> None:
    """Refuse `--for` before minutes of work where it could not be done after them."""
    from ultraface_deploy.bench.count.halves import require_halves
    from ultraface_deploy.errors import InputError

    if not int8:
        raise InputError(f"--for {core}: is for INT8; give --int8 too")
    require_halves(core)


def _planned_in_vain(folder: ArtifactFolder, core: str) -> list[str]:
    from ultraface_deploy.bench.count.halves import planned_in_vain

    return planned_in_vain(folder, core)


def _try_halves(
    folder: ArtifactFolder, core: str, photographs: Path | None, formats: Sequence[str] = ()
) -> ArtifactFolder:
    from ultraface_deploy.bench.count.halves import try_halves
    from ultraface_deploy.safe.images import list_images

    given = list_images(photographs) if photographs is not None else []
    with notes.status(f"trying half floats on an emulated {core}"):
        return try_halves(folder, core, given, formats=formats, report=note)
