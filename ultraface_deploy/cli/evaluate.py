"""`eval`: accuracy of artifacts, and the commands that stand beside `eval run`."""

# Tested by tests/accuracy/test_run.py.

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer
from typer.core import TyperGroup

from ultraface_deploy.cli.console import (
    note,
    note_some,
    progress,
    results,
    write_json,
    write_output,
)
from ultraface_deploy.cli.engine import Address, Engine, spread_of
from ultraface_deploy.cli.eval_results import compare, table
from ultraface_deploy.cli.options import (
    Backends,
    ClassNames,
    ColorOrder,
    Device,
    FolderOrFile,
    IgnoreOutputs,
    InputSize,
    JsonTarget,
    Mean,
    Precisions,
    Std,
    choose_device,
    chosen_backends,
)
from ultraface_deploy.cli.peers import eval_peers
from ultraface_deploy.safe.text import counted

if TYPE_CHECKING:
    from ultraface_deploy.accuracy import Evaluation, Subject
    from ultraface_deploy.family.known import Known

# Typer reads annotations at run time, and Python 3.10 is still there.
OptionalPath = Optional[Path]  # noqa: UP045
OptionalText = Optional[str]  # noqa: UP045


class _RunByDefault(TyperGroup):
    """`eval DIR` is short for `eval run DIR`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or args[0] not in self.commands:
            args = ["run", *args]
        return super().parse_args(ctx, args)


def register(app: typer.Typer) -> None:
    """Add the command."""
    group = typer.Typer(cls=_RunByDefault, rich_markup_mode=None)
    group.command("run")(run)
    group.command("compare")(compare)
    group.command("table")(table)
    group.command("peers")(eval_peers)
    app.add_typer(group, name="eval", help="Measure accuracy on WIDER FACE or on your pictures.")


def run(
    folder: FolderOrFile = None,
    data: Annotated[
        OptionalPath, typer.Option("--data", help="WIDER FACE: holds WIDER_val/images.")
    ] = None,
    ground_truth: Annotated[
        OptionalPath, typer.Option("--ground-truth", help="Folder of the official .mat files.")
    ] = None,
    predictions: Annotated[
        OptionalPath,
        typer.Option(
            "--predictions",
            help="Score these instead: the official text files, or COCO results as JSON.",
        ),
    ] = None,
    pictures: Annotated[
        OptionalPath, typer.Option("--folder", help="Your own pictures; needs --labels.")
    ] = None,
    labels: Annotated[
        OptionalPath,
        typer.Option(
            "--labels",
            help="Labels of --folder: COCO .json, WIDER or RetinaFace .txt, folder of VOC .xml or "
            "YOLO .txt.",
        ),
    ] = None,
    class_names: ClassNames = None,
    false_positives: Annotated[
        float,
        typer.Option(
            "--false-positives", min=0.0, help="With --folder: accepted false alarms per image."
        ),
    ] = 0.1,
    backend: Backends = None,
    precision: Precisions = None,
    input_size: InputSize = None,
    mean: Mean = None,
    std: Std = None,
    color: ColorOrder = None,
    ignore_outputs: IgnoreOutputs = False,
    device: Device = None,
    threshold: Annotated[
        float, typer.Option("--threshold", min=0.0, max=1.0, help="Minimum score of a prediction.")
    ] = 0.02,
    candidates: Annotated[
        int, typer.Option("--candidates", min=1, help="Boxes that enter NMS.")
    ] = 800,
    top_k: Annotated[int, typer.Option("--top-k", min=1, help="Faces kept per image.")] = 400,
    nms: Annotated[str, typer.Option("--nms", help="hard, soft or blend.")] = "hard",
    nms_iou: Annotated[
        float, typer.Option("--nms-iou", min=0.0, max=1.0, help="IoU above which NMS suppresses.")
    ] = 0.3,
    keep_aspect: Annotated[
        bool, typer.Option("--keep-aspect", help="Fit the image into the input and pad it.")
    ] = False,
    scale: Annotated[
        OptionalText,
        typer.Option(
            "--scale",
            metavar="original|N",
            help="Run at the image's own size, or with its longest side of N pixels.",
        ),
    ] = None,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Go on without images that are not there.")
    ] = False,
    jobs: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option("--jobs", min=1, max=256, help="Processes; default: one per core."),
    ] = None,
    coco: Annotated[bool, typer.Option("--coco", help="Compute COCO-style AP too.")] = False,
    save: Annotated[
        OptionalPath,
        typer.Option("--save-predictions", help="Keep predictions here, in the official format."),
    ] = None,
    plot: Annotated[
        OptionalPath, typer.Option("--plot", help="Draw precision-recall curves: .png, .svg, .pdf.")
    ] = None,
    curves: Annotated[
        OptionalText, typer.Option("--curves", metavar="FILE", help="Write the curves as CSV.")
    ] = None,
    engine: Engine = None,
    address: Address = None,
    json: JsonTarget = None,
) -> None:
    """Measure accuracy on WIDER FACE, or on your own pictures with --folder and --labels.

    A killed run continues where it was when the same command is given again. See also
    `eval compare --help` (two results side by side) and `eval table --help` (for a README).
    """
    from ultraface_deploy.accuracy import (
        EvalSettings,
        Options,
        evaluate_folder,
        evaluate_wider,
        score_predictions,
    )
    from ultraface_deploy.accuracy.coco_metrics import require_coco
    from ultraface_deploy.accuracy.curves import check_picture, draw, write_csv
    from ultraface_deploy.accuracy.own_data import read_truth
    from ultraface_deploy.family.known import parse_known
    from ultraface_deploy.pipeline.nms import parse_nms
    from ultraface_deploy.train.data.classes import Classes
    from ultraface_deploy.wider.ground_truth import require_ground_truth

    choose_device(device)
    known = parse_known(mean, std, color, ignore_outputs)
    settings = EvalSettings(
        threshold, candidates, top_k, parse_nms(nms), nms_iou, keep_aspect, _scale(scale)
    )
    if plot is not None:
        check_picture(plot)
    if coco:
        require_coco()
    if folder is None and ground_truth is not None:
        # Before the default model is converted for nothing.
        require_ground_truth(ground_truth)
    with progress() as display:
        task = display.add_task("detecting", total=None)
        options = Options(
            processes=jobs,
            allow_missing=allow_missing,
            save=save,
            coco=coco,
            spread=spread_of(engine, address),
            on_start=lambda count: display.update(task, total=count),
            on_image=lambda: display.advance(task),
        )
        if predictions is not None:
            answers = _required(ground_truth, "--ground-truth")
            evaluation = score_predictions(predictions, answers, options)
        elif pictures is not None or labels is not None:
            own = _required(pictures, "--folder"), _required(labels, "--labels")
            images, truth = read_truth(*own, note, Classes.parse(class_names))
            subjects = _subjects(folder, backend or [], precision or [], input_size, known)
            evaluation = evaluate_folder(
                subjects, images, truth, false_positives, settings, options
            )
        else:
            wider = _required(data, "--data"), _required(ground_truth, "--ground-truth")
            subjects = _subjects(folder, backend or [], precision or [], input_size, known)
            evaluation = evaluate_wider(subjects, *wider, settings, options)
    # First: a full disk must not cost what took hours.
    _print(evaluation, quiet="-" in (json, curves))
    if json is not None:
        write_json(evaluation.to_dict(), json)
    if curves is not None:
        write_output(write_csv(evaluation.results), curves)
    if plot is not None:
        draw(evaluation.results, plot)
    _require_whole(evaluation)


def _required(path: Path | None, option: str) -> Path:
    from ultraface_deploy.errors import InputError

    if path is None:
        raise InputError(
            f"{option} is missing; give --data and --ground-truth for WIDER FACE, "
            "--folder and --labels for your own pictures, "
            "or --predictions and --ground-truth for files"
        )
    return path


def _scale(text: str | None) -> int | str | None:
    from ultraface_deploy.errors import InputError

    if text is None or text == "original":
        return text
    if not text.isdecimal() or len(text) > 5:
        raise InputError(f"--scale {text}: give `original` or the longest side in pixels")
    return int(text)


def _subjects(
    folder: Path | None,
    backends: list[str],
    precisions: list[str],
    input_size: str | None,
    known: Known,
) -> list[Subject]:
    from ultraface_deploy.accuracy import find_subjects
    from ultraface_deploy.agreement.precision import parse_precision
    from ultraface_deploy.artifacts.choose import installed
    from ultraface_deploy.artifacts.ensure import ensure
    from ultraface_deploy.artifacts.plan import step_for
    from ultraface_deploy.backends import get_backend
    from ultraface_deploy.family.spec import parse_input_size

    size = None if input_size is None else parse_input_size(input_size)
    everything = "all" in precisions
    kinds = [] if everything else [parse_precision(text) for text in precisions]
    if folder is None:
        named = [get_backend(name) for name in chosen_backends(backends) or ()]
        runtimes = [] if "all" in backends else named or [installed("onnx")]
        steps = [step_for(each, kind) for each in runtimes for kind in kinds or ["fp32"]]
        folder = ensure(None, steps, size, note).path
    return find_subjects(folder, backends, None if everything else kinds, size, known)


def _print(evaluation: Evaluation, quiet: bool) -> None:
    from ultraface_deploy.accuracy.text import tables

    if not quiet:
        for table in tables(evaluation):
            results.print(table)
    for line in evaluation.remarks():
        note(line)


def _require_whole(evaluation: Evaluation) -> None:
    """Say what was left out.

    Raises:
        CheckFailed: an image.
    """
    from ultraface_deploy.errors import CheckFailed

    unreadable = evaluation.results[0].unreadable
    if unreadable:
        note_some("left out", list(unreadable.values()))
        raise CheckFailed(f"{counted(len(unreadable), 'image')} could not be read, and left out")
