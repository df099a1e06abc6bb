"""From a model to an artifact folder: each step converted, compared, and only then published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ultraface_deploy import models
from ultraface_deploy.agreement.precision import Precision
from ultraface_deploy.artifacts.batches import require_batch
from ultraface_deploy.artifacts.folder import MANIFEST, ArtifactFolder, Source, file_names
from ultraface_deploy.artifacts.making import How, Report, Work, source_name
from ultraface_deploy.artifacts.plan import Step, left_out, plan, sources_of, unfit
from ultraface_deploy.artifacts.source import ModelSource
from ultraface_deploy.converters import format_and_files, get_format
from ultraface_deploy.converters.chips import require_chip
from ultraface_deploy.errors import CheckFailed, InputError, ToolFailed, UltraFaceError
from ultraface_deploy.family.spec import Head
from ultraface_deploy.pipeline.maps import SUFFIX as HEAD_SUFFIX
from ultraface_deploy.pipeline.maps import write_head
from ultraface_deploy.quantize import Int8, Int8Options
from ultraface_deploy.quantize.table import CalibrationTable

if TYPE_CHECKING:
    from ultraface_deploy.quantize.calibrate import OnPhotograph


def default_folder(name: str = models.DEFAULT_MODEL) -> Path:
    """Return where artifacts go when no folder is given."""
    return Path("artifacts") / name


def convert(
    source: ModelSource,
    targets: Sequence[str],
    precision: Precision | Sequence[Precision] = "fp32",
    output: Path | None = None,
    overwrite: bool = False,
    report: Report = lambda message: None,
    int8: Int8Options | None = None,
    progress: OnPhotograph | None = None,
    needs_faces: bool = False,
    opset: int | None = None,
    batch: int | None = 1,
) -> ArtifactFolder:
    """Convert a model and compare every artifact with it before it appears in the folder.

    Args:
        source: what `resolve_source` found.
        targets: names of formats, or `all`.
        precision: of the targets, one or several; the steps on the way stay in FP32.
        output: artifact folder; None for `artifacts/<model>`.
        overwrite: drop what the folder holds of another network, and replace files of the
            artifacts' names that no manifest lists.
        report: called with a line as each step is done.
        int8: how to quantise, for the precision `int8`; None for the defaults.
        progress: called with (done, all) during calibration.
        needs_faces: refuse an artifact when neither it nor the original finds any face, because
            then nothing is shown about the faces.
        opset: of the ONNX files; None for the one that every converter reads.
        batch: how many inputs the ONNX files take at once; None for any number.

    Returns:
        The folder with all its artifacts, earlier ones included.

    Raises:
        InputError: the folder holds another network or somebody's file of an artifact's name, or a
            target does not exist.
        MissingDependency: a package is not installed.
        ToolFailed: a native tool failed.
        CheckFailed: an artifact does not compute what the original network computes, or no INT8
            candidate finds the same faces. The targets that do not need it are made all the same.
    """
    precisions = (precision,) if isinstance(precision, str) else tuple(precision)
    require_possible(targets, precisions, source.spec.head, opset, batch)
    others = unfit(source.spec) if "all" in targets else {}
    steps = plan(source.root, targets, *precisions, head=source.spec.head, without=others)
    _refuse_quantised(source)
    options = int8 or Int8Options()
    require_chip(options.chip, targets)
    for step in steps:
        get_format(step.format).require_network(source.spec)
    if any(step.precision == "int8" for step in steps):
        options.require_readable()
        _require_plans(options, steps)
    if "all" in targets:
        _say_what_is_left_out(source, others, report)
    # The target first: what installs it brings the steps on the way too.
    for step in reversed(steps):
        if step.format != source.root:
            get_format(step.format).require()
    place = output or default_folder(source.spec.name)
    folder = _open_folder(source, place, overwrite)
    _refuse_replacing(source, folder, steps, overwrite)
    with folder.scratch() as scratch:
        how = How(options, progress, needs_faces, opset, batch)
        work = Work(folder, source, scratch, report, how)
        work.add_source()
        asked = {step.format for step in steps} if "all" in targets else set(targets)
        refused = _make(work, [s for s in steps if s.format in asked or not work.reusable(s)])
        if source.spec.head == "conv":
            file = folder.path / f"{source.spec.name}{HEAD_SUFFIX}"
            write_head(file, source.spec)
            report(f"{'':<14} {file.name} says what is to be done with the outputs")
    if len(refused) == 1:
        raise refused[0]
    if refused:
        raise CheckFailed("; ".join(map(str, refused)))
    return work.folder


def _make(work: Work, steps: Sequence[Step]) -> list[UltraFaceError]:
    """Make artifacts; return why some failed that no later one is made from."""
    refused: list[UltraFaceError] = []
    for at, step in enumerate(steps):
        try:
            work.make(step)
        except (CheckFailed, ToolFailed, InputError) as error:
            later = steps[at + 1 :]
            if any(step.format in sources_of(each) for each in later):
                raise
            if later:
                work.report(f"{step.format:<14} failed; going on with the others")
            refused.append(error)
    return refused


def require_possible(
    targets: Sequence[str],
    precisions: Sequence[Precision],
    head: Head,
    opset: int | None = None,
    batch: int | None = 1,
) -> None:
    """Refuse what no model can be converted to, without a look at one.

    Raises:
        InputError: a format is unknown or has no such precision or head, or an option is none.
    """
    if opset is not None:
        from ultraface_deploy.converters.onnx.opset import check_opset

        check_opset(opset)
    require_batch(targets, batch)
    plan("torch", targets, *precisions, head=head)


def _refuse_quantised(source: ModelSource) -> None:
    """Refuse a quantised file: all artifacts of a folder are made from FP32, and compared with it.

    Raises:
        InputError: says what can be done with it.
    """
    record, files = format_and_files(source.file)
    stored = record.stored_precision(files)
    if stored in ("int8", "w8"):
        raise InputError(
            f"{source.file}: is quantised already ({stored}), as detect, verify, bench and eval "
            "take it; convert the network that it was made from"
        )


def _require_plans(options: Int8Options, steps: Sequence[Step]) -> None:
    """Refuse a file that is no calibration table and no table that the formats read.

    Raises:
        InputError: says what is wrong with it.
    """
    given = options.calibration
    if given is None or not given.is_file():
        return
    ways = (get_format(step.format).way(step.precision) for step in steps)
    for way in ways:
        if isinstance(way, Int8) and not (way.read_plan and given.suffix == way.plan_suffix):
            CalibrationTable.load(given)
            return


def _say_what_is_left_out(source: ModelSource, others: Mapping[str, str], report: Report) -> None:
    for name, reason in others.items():
        if get_format(name).in_all:
            report(f"left out: {reason}")
    missing = left_out(source.root, source.spec.head)
    if missing := {name: extra for name, extra in missing.items() if name not in others}:
        extras = ",".join(dict.fromkeys(missing.values()))
        report(
            f"left out: {', '.join(missing)}, for packages that are not installed: "
            f"pip install 'ultraface-deploy[{extras}]'"
        )


def _refuse_replacing(
    source: ModelSource, folder: ArtifactFolder, steps: Sequence[Step], overwrite: bool
) -> None:
    """Refuse to put artifacts in the place of files that no run of this tool has put there.

    Raises:
        InputError: names the file, which is the source or belongs to somebody.
    """
    name = folder.spec.name
    made = [source_name(source, name)] if source.format == "torch" else []
    for step in (step for step in steps if step.format != "torch"):
        made += file_names(name, get_format(step.format).suffixes, step.precision)
    if not (folder.path / MANIFEST).is_file():
        made += (f"{name}{suffix}" for suffix in (models.TABLE_SUFFIX, HEAD_SUFFIX))
    for path in folder.strangers(made):
        if path.exists() and path.samefile(source.file):
            # A copy of the checkpoint is the checkpoint itself.
            if source.format == "torch":
                continue
            raise InputError(
                f"{path}: would be replaced by the artifact of that name; "
                "choose another folder with `output`"
            )
        if not overwrite or path.is_dir():
            raise InputError(
                f"{path}: would be replaced by the artifact of that name, and no {MANIFEST} lists "
                "it; choose another folder with `output`, remove it"
                + ("" if path.is_dir() else ", or `overwrite`")
            )


def _open_folder(source: ModelSource, path: Path, overwrite: bool) -> ArtifactFolder:
    empty = ArtifactFolder(path, source.spec, Source(source.file.name, source.sha256))
    if not (path / MANIFEST).is_file():
        return empty
    try:
        existing = ArtifactFolder.open(path)
    except InputError:
        if overwrite:
            return empty
        raise
    from_itself = source.file.parent.resolve() == path.resolve()
    same_source = from_itself or existing.source.sha256 == source.sha256
    if replace(existing.spec, name=source.spec.name) == source.spec and same_source:
        return existing
    if overwrite and not from_itself:
        return empty
    named = "" if existing.spec.class_names == source.spec.class_names else " and other class names"
    raise InputError(
        f"{path}: holds artifacts of {existing.spec.name} made from {existing.source.file} at "
        f"{existing.spec.width}x{existing.spec.height} with the {existing.spec.head} head{named}; "
        "choose another folder with `output`, or `overwrite`"
    )
