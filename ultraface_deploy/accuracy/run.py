"""An evaluation from start to end: find the images, detect, score."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ultraface_deploy.accuracy import statistics
from ultraface_deploy.accuracy.as_reference import agreement
from ultraface_deploy.accuracy.classes import by_class, tally_by_score
from ultraface_deploy.accuracy.coco_metrics import coco_metrics, require_coco
from ultraface_deploy.accuracy.result import Evaluation, Result
from ultraface_deploy.accuracy.settings import EvalSettings
from ultraface_deploy.accuracy.store import prediction_folders
from ultraface_deploy.accuracy.subject import Subject
from ultraface_deploy.accuracy.workers import Job, Spread, detect_images
from ultraface_deploy.backends import get_backend
from ultraface_deploy.errors import InputError
from ultraface_deploy.wider import (
    Detections,
    Matches,
    Tally,
    TruthImage,
    match_images,
    read_ground_truth,
    read_predictions,
    tally_matches,
)
from ultraface_deploy.wider.coco_results import read_coco_results
from ultraface_deploy.wider.ground_truth import SETS
from ultraface_deploy.wider.matching import IOU_THRESHOLD
from ultraface_deploy.wider.predictions import predictions_path

# Turns predictions of the usable images into counts and details; the flag asks for COCO's AP.
Judge = Callable[
    [Mapping[str, Detections], Sequence[TruthImage], bool], tuple[Tally, dict[str, Any]]
]
# Breakdowns are over the faces of the hard set, which has nearly all.
_BREAKDOWN = SETS.index("hard")


@dataclass(frozen=True)
class Options:
    """How to run; nothing in it changes a figure.

    `processes`: how many to use, None for one per core. `allow_missing`: go on without images or
    predictions that the ground truth lists. `save`: keep the predictions in this folder.
    `coco`: COCO-style AP too. `spread`: what runs the detectors, None for processes of this
    machine. `on_start` is told how many images there are, `on_image` called after each.
    """

    processes: int | None = None
    allow_missing: bool = False
    save: Path | None = None
    coco: bool = False
    spread: Spread | None = None
    on_start: Callable[[int], Any] = lambda count: None
    on_image: Callable[[], Any] = lambda: None


def evaluate_wider(
    subjects: Sequence[Subject],
    data: Path,
    ground_truth: Path,
    settings: EvalSettings | None = None,
    options: Options | None = None,
) -> Evaluation:
    """Evaluate on the WIDER FACE validation set.

    Args:
        subjects: what `find_subjects` found.
        data: the folder with `WIDER_val/images`, or that one itself.
        ground_truth: the folder with the official `.mat` files.
        settings: thresholds and resize policy.
        options: processes, missing images and so on.

    Raises:
        InputError: ground truth or images are missing or damaged.
        MissingDependency: scipy, a runtime, or for `coco` faster-coco-eval is not installed.
        BackendError: a runtime cannot run its artifact.
    """
    settings, options = settings or EvalSettings(), options or Options()
    if options.coco:
        require_coco()
    truth = read_ground_truth(ground_truth)
    folder = image_folder(data)
    images = {image.name: folder / f"{image.name}.jpg" for image in truth}
    images = _present(images, options.allow_missing, folder, "images")
    results = _measure(subjects, images, truth, settings, options, _by_wider_rules)
    return Evaluation(_protocol(ground_truth, len(truth)) | settings.to_dict(), results)


def score_predictions(
    predictions: Path, ground_truth: Path, options: Options | None = None
) -> Evaluation:
    """Score predictions in the official text format or COCO's, whoever made them.

    Args:
        predictions: the folder with a folder per event, or a JSON file of COCO results.
        ground_truth: the folder with the official `.mat` files.
        options: only `allow_missing` and `coco` count.

    Raises:
        InputError: ground truth or predictions are missing or damaged.
        MissingDependency: scipy, or for `coco` faster-coco-eval is not installed.
    """
    options = options or Options()
    truth = read_ground_truth(ground_truth)
    if predictions.is_file():
        usable = list(truth)
        found = read_coco_results(predictions, [image.name for image in truth])
    else:
        files = {image.name: predictions_path(predictions, image.name) for image in truth}
        files = _present(files, options.allow_missing, predictions, "predictions")
        usable = [image for image in truth if image.name in files]
        found = read_predictions(predictions, files)
    subject = {
        "model": predictions.name,
        "artifact": predictions.name,
        "backend": None,
        "precision": None,
        "input": None,
    }
    tally, details = _by_wider_rules(found, usable, options.coco)
    result = Result(subject, tally, len(truth) - len(usable), {}, details)
    return Evaluation(_protocol(ground_truth, len(truth)), [result])


def evaluate_folder(
    subjects: Sequence[Subject],
    images: Mapping[str, Path],
    truth: Sequence[TruthImage],
    false_positives: float,
    settings: EvalSettings | None = None,
    options: Options | None = None,
) -> Evaluation:
    """Evaluate on data of one's own: AP by the rules of Pascal VOC 2010, and the operating point.

    Unlike under the WIDER FACE protocol, IoU has no extra pixel, scores are not normalised, every
    score is a threshold, and false alarms in images without faces count. Of a network with several
    classes AP is that of finding a face of any; `classes` in the details has each by itself.

    Args:
        subjects: what `find_subjects` found.
        images: paths by name.
        truth: the faces, `kept` with one row; see `own_data.read_truth`.
        false_positives: wanted false alarms an image, for the operating point.
        settings: thresholds and resize policy.
        options: processes, missing images and so on.
    """
    settings, options = settings or EvalSettings(), options or Options()
    if options.coco:
        require_coco()
    present = _present(images, options.allow_missing, Path("the label file"), "images")

    def judge(
        found: Mapping[str, Detections], usable: Sequence[TruthImage], coco: bool
    ) -> tuple[Tally, dict[str, Any]]:
        matches = match_images(found, usable, pixel=0)
        details = _details(matches, 0, found, usable, coco)
        point = statistics.point_for_false_positives(matches, 0, false_positives)
        details["operating_point"] = None if point is None else asdict(point)
        return tally_by_score(matches), details

    protocol = {
        "name": "Pascal VOC 2010",
        "iou_threshold": IOU_THRESHOLD,
        "false_positives_per_image": false_positives,
    }
    results = _measure(subjects, present, truth, settings, options, judge)
    return Evaluation(protocol | settings.to_dict(), results)


def _measure(
    subjects: Sequence[Subject],
    images: Mapping[str, Path],
    truth: Sequence[TruthImage],
    settings: EvalSettings,
    options: Options,
    judge: Judge,
) -> list[Result]:
    """Detect in the images and judge what each subject found."""
    results = []
    with prediction_folders(subjects, images, settings, options.save) as folders:
        unreadable = _detect(folders, images, settings, options)
        usable = [each for each in truth if each.name in images and each.name not in unreadable]
        names = [image.name for image in usable]
        reference, folder = min(folders, key=lambda pair: _rank_as_reference(pair[0]))
        expected = read_predictions(folder, names)
        for subject, folder in folders:
            found = expected if subject is reference else read_predictions(folder, names)
            tally, details = judge(found, usable, options.coco)
            if reference.precision == "fp32":
                details["agreement"] = agreement(expected, found, reference.label)
            if subject.spec.num_classes > 2 and usable[0].labels is not None:
                details["classes"] = by_class(subject.spec, folder, usable)
            missing = len(truth) - len(images)
            results.append(Result(subject.describe(), tally, missing, unreadable, details))
    return results


def _rank_as_reference(subject: Subject) -> tuple[bool, bool]:
    """The original network first, then any other FP32 artifact."""
    return subject.precision != "fp32", not get_backend(subject.backend).runs_original


def _by_wider_rules(
    found: Mapping[str, Detections], usable: Sequence[TruthImage], coco: bool
) -> tuple[Tally, dict[str, Any]]:
    matches = match_images(found, usable)
    return tally_matches(matches), _details(matches, _BREAKDOWN, found, usable, coco)


def _details(
    matches: Matches,
    subset: int,
    found: Mapping[str, Detections],
    usable: Sequence[TruthImage],
    coco: bool,
) -> dict[str, Any]:
    details: dict[str, Any] = {
        "predictions": len(matches.scores),
        "invalid_predictions": matches.invalid,
    }
    if coco:
        details["coco"] = coco_metrics(found, usable, subset)
    return details | statistics.describe(matches, subset)


def _protocol(ground_truth: Path, listed: int) -> dict[str, Any]:
    return {
        "name": "WIDER FACE",
        "ground_truth": str(ground_truth),
        "images_listed": listed,
        "iou_threshold": IOU_THRESHOLD,
    }


def image_folder(data: Path) -> Path:
    """Return the folder of WIDER FACE's validation images.

    Raises:
        InputError: there is none.
    """
    for folder in (data / "WIDER_val" / "images", data / "images", data):
        if folder.is_dir():
            return folder
    raise InputError(f"{data}: no such folder; give the one that holds WIDER_val/images")


def _present(
    paths: Mapping[str, Path], allow_missing: bool, where: Path, what: str
) -> dict[str, Path]:
    """Return the files that are there.

    Raises:
        InputError: some are not and may not be missing, or none is there at all.
    """
    present = {name: path for name, path in paths.items() if path.is_file()}
    absent = next((path for name, path in paths.items() if name not in present), None)
    if absent is not None and not (allow_missing and present):
        raise InputError(
            f"{where}: {len(paths) - len(present)} of {len(paths)} {what} are missing, the first "
            f"is {absent}; "
            + (
                "copy them there, or leave them out with `allow_missing`"
                if present
                else f"give the folder of these {what}"
            )
        )
    return present


def _detect(
    folders: Sequence[tuple[Subject, Path]],
    images: Mapping[str, Path],
    settings: EvalSettings,
    options: Options,
) -> dict[str, str]:
    """Run the detectors; return why images could not be read."""
    options.on_start(len(images))
    processes = options.processes or len(os.sched_getaffinity(0))
    unreadable = detect_images(
        Job(tuple(folders), settings), images, processes, options.on_image, options.spread
    )
    if len(unreadable) == len(images):
        raise InputError(f"no image can be read; the first: {next(iter(unreadable.values()))}")
    return unreadable
