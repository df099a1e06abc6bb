"""The gate: an INT8 artifact is accepted when its detections agree with FP32's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ultraface_deploy.agreement.faces import SameFaces
from ultraface_deploy.agreement.precision import Tolerance
from ultraface_deploy.errors import InputError, UltraFaceError
from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.pipeline import Faces, PostprocessOptions, postprocess
from ultraface_deploy.pipeline.view import network_input
from ultraface_deploy.quantize.network import Executor, Floats
from ultraface_deploy.quantize.sensitivity import undecided
from ultraface_deploy.safe.images import Image
from ultraface_deploy.safe.text import counted
from ultraface_deploy.wider import TruthImage, score

MAX_AP_DROP = 0.005
_AP_OPTIONS = PostprocessOptions(score_threshold=0.02, candidates=800, top_k=400)
Outputs = Mapping[str, Floats]


@dataclass(frozen=True)
class Runner:
    """Runs INT8 artifacts, and how far they may be off there.

    `run` takes an artifact's files and a .npy file of inputs (M, 1, 3, H, W), and returns `scores`
    (M, N, C) and `boxes` (M, N, 4). It raises `UltraFaceError` for what does not run. `objection`
    says what the last check before publishing will have against files that the gate accepts.
    """

    run: Callable[[Sequence[Path], Path], Outputs]
    tolerance: Tolerance
    objection: Callable[[Sequence[Path]], str | None] = lambda files: None


@dataclass(frozen=True)
class Verdict:
    """How the detections of an INT8 artifact agree with those of FP32 at score 0.5, IoU 0.5.

    `score_error` is the RMS difference of the scores where FP32 is undecided: with a few hundred
    faces F1 moves by its own noise, and this ranks candidates that F1 cannot tell apart.
    `ap_drop` is the largest of the three sets, None without labels; `reason` says why the gate
    stays shut, None where it opens.
    """

    f1: float
    recall: float
    precision: float
    mean_iou: float
    score_error: float
    detections: int
    ap_drop: float | None = None
    reason: str | None = None

    @property
    def passed(self) -> bool:
        """Whether the artifact is accepted."""
        return self.reason is None


class Gate:
    """The FP32 network's answers on validation images, against which artifacts are held."""

    def __init__(
        self,
        executor: Executor,
        spec: ModelSpec,
        images: Iterable[Image],
        scratch: Path,
        labels: Sequence[TruthImage] | None = None,
        keep_aspect: bool = False,
    ) -> None:
        """Run the FP32 network.

        Args:
            executor: runs the network in FP32.
            spec: what it is.
            images: validation images, none of which was calibrated on.
            scratch: a folder for the network inputs, which other processes read.
            labels: their ground truth in the same order, for AP.
            keep_aspect: pad the images to the input's aspect ratio instead of stretching them.

        Raises:
            InputError: there are no images, or FP32 finds no face in them.
        """
        self.spec, self._labels = spec, labels
        self._extents: list[tuple[float, float]] = []
        tensors = []
        for image in images:
            tensor, extent = network_input(image, spec, keep_aspect)
            self._extents.append(extent)
            tensors.append(tensor)
        if not tensors:
            raise InputError("no validation images; give `validation` DIR")
        self._inputs = scratch / "inputs.npy"
        np.save(self._inputs, np.stack(tensors))
        scores, boxes = zip(*executor.outputs(tensors), strict=True)
        self._reference = {"scores": np.concatenate(scores), "boxes": np.concatenate(boxes)}
        self._faces = self._detect(self._reference, PostprocessOptions())
        if not any(len(faces) for faces in self._faces):
            raise InputError(
                f"the FP32 network finds no face in {counted(len(tensors), 'validation image')}, "
                "which proves nothing; give photographs with faces with `validation` DIR"
            )
        self._ap = self._average_precision(self._reference)

    @property
    def images(self) -> int:
        """How many images are looked at."""
        return len(self._extents)

    def judge(self, runner: Runner, files: Sequence[Path]) -> Verdict:
        """Run an INT8 artifact and compare its detections.

        A runtime that refuses it, crashes or hangs is a verdict, not an error.
        """
        try:
            outputs = runner.run(files, self._inputs)
        except UltraFaceError as error:
            return Verdict(0.0, 0.0, 0.0, 0.0, 1.0, 0, reason=str(error))
        faces = self._detect(outputs, PostprocessOptions())
        same = SameFaces()
        for wanted, had in zip(self._faces, faces, strict=True):
            same.add(wanted, had)
        where = undecided(self._reference["scores"])
        difference = (outputs["scores"] - self._reference["scores"])[where]
        verdict = Verdict(
            f1=same.f1,
            recall=same.recall,
            precision=same.precision,
            mean_iou=same.mean_iou,
            score_error=float(np.sqrt(np.square(difference).mean())) if where.any() else 0.0,
            detections=same.had,
            ap_drop=self._ap_drop(outputs),
        )
        problems = same.objections(runner.tolerance)
        if verdict.ap_drop is not None and verdict.ap_drop > MAX_AP_DROP:
            problems.append(f"AP drops by {verdict.ap_drop:.4f}, allowed {MAX_AP_DROP}")
        return replace(verdict, reason="; ".join(problems) or None)

    def _detect(self, outputs: Outputs, options: PostprocessOptions) -> list[Faces]:
        return [
            postprocess(scores[None], boxes[None], self.spec, extent, options)
            for scores, boxes, extent in zip(
                outputs["scores"], outputs["boxes"], self._extents, strict=True
            )
        ]

    def _average_precision(self, outputs: Outputs) -> dict[str, float]:
        if self._labels is None:
            return {}
        found = self._detect(outputs, _AP_OPTIONS)
        predictions = {
            truth.name: (faces.boxes.astype(np.float64), faces.scores.astype(np.float64))
            for truth, faces in zip(self._labels, found, strict=True)
        }
        return {name: curve.ap for name, curve in score(predictions, self._labels).items()}

    def _ap_drop(self, outputs: Outputs) -> float | None:
        after = self._average_precision(outputs)
        return max((self._ap[name] - after[name] for name in after), default=None)
