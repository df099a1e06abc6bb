"""What the commands do when an artifact is not there yet: convert it first, and say so."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

from ultraface_deploy import models
from ultraface_deploy.artifacts.convert import convert, default_folder
from ultraface_deploy.artifacts.folder import MANIFEST, ArtifactFolder
from ultraface_deploy.artifacts.plan import Step
from ultraface_deploy.artifacts.source import resolve_source, sized_name
from ultraface_deploy.errors import InputError
from ultraface_deploy.quantize import Int8Options


def ensure(
    model: str | Path | None,
    steps: Sequence[Step] = (),
    input_size: tuple[int, int] | None = None,
    report: Callable[[str], None] = lambda message: None,
    int8: Int8Options | None = None,
) -> ArtifactFolder:
    """Return a folder that holds certain artifacts, converting what is missing.

    Args:
        model: an artifact folder, or a registry name, which means its default folder and is made
            if missing; None for the default model.
        steps: what must be there; none for whatever is there, and all formats where nothing is.
        input_size: (width, height) of the artifacts; None for the model's own. Where a folder
            holds another size, it stands beside that one.
        report: told what is converted.
        int8: how to quantise what is missing in INT8; None for the defaults.

    Raises:
        InputError: there is no such folder or name, or what is to be quantised in a certain way is
            there already.
    """
    name = models.DEFAULT_MODEL if model is None else str(model)
    folder = _place(model, input_size)
    opened = ArtifactFolder.open(folder) if (folder / MANIFEST).is_file() else None
    if opened is None and not steps:
        report(f"{folder} does not exist yet: converting {name} to all formats")
        return convert(resolve_source(name, input_size), ["all"], output=folder, report=report)
    for step in steps:
        if opened is None or not opened.has(step.format, step.precision):
            size = None if opened else input_size
            typed = _command(folder if opened else name, size, step, folder, int8)
            lacking = f"{folder} has no {step.precision} {step.format} yet"
            report(f"{lacking}: converting, as does: {typed}")
            source = resolve_source(name, input_size) if opened is None else resolve_source(folder)
            opened = convert(
                source, [step.format], step.precision, folder, report=report, int8=int8
            )
        elif step.precision == "int8" and int8 is not None and int8.calibration is not None:
            raise InputError(
                f"{folder}: has its int8 {step.format} already, which `calibration` would not "
                f"change; make it anew with: {_command(folder, None, step, folder, int8)}"
            )
    assert opened is not None
    return opened


def _command(
    model: str | Path,
    size: tuple[int, int] | None,
    step: Step,
    folder: Path,
    int8: Int8Options | None,
) -> str:
    """Return the command that makes the same artifact."""
    words = ["ultraface-deploy", "convert", str(model), "--to", step.format]
    if size is not None:
        words += ["--input-size", f"{size[0]}x{size[1]}"]
    if step.precision != "fp32":
        words += ["--precision", step.precision]
    if step.precision == "int8" and int8 is not None and int8.calibration is not None:
        words += ["--calibration", str(int8.calibration)]
    return shlex.join([*words, "-o", str(folder)])


def _place(model: str | Path | None, input_size: tuple[int, int] | None) -> Path:
    """Return the folder that holds a model at an input size, or shall hold it."""
    path = Path(models.DEFAULT_MODEL if model is None else model)
    entry = models.registry().get(str(path))
    if entry is not None and (model is None or not path.exists()):
        return default_folder(sized_name(entry, input_size))
    opened = ArtifactFolder.open(path)
    if input_size in (None, (opened.spec.width, opened.spec.height)):
        return path
    return path.resolve().with_name(sized_name(opened.spec, input_size, path.resolve().name))
