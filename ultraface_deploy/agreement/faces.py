"""Whether two networks find the same faces: the one definition that every judge here uses."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ultraface_deploy.agreement.precision import Tolerance
from ultraface_deploy.pipeline import Faces, iou_matrix

MATCH_IOU = 0.5


@dataclass
class SameFaces:
    """Counts over images: of `wanted` faces `found` were found, of `had` faces `right` are there.

    Faces are matched one to one, so that a face found twice is right once. Recall and precision
    are 1 where there is nothing to find; so is the mean IoU of the matched faces.
    """

    wanted: int = 0
    found: int = 0
    had: int = 0
    right: int = 0
    ious: list[float] = field(default_factory=list)

    def add(
        self,
        wanted: Faces,
        had: Faces,
        wanted_loose: Faces | None = None,
        had_loose: Faces | None = None,
    ) -> None:
        """Compare the faces of one image.

        Args:
            wanted: what the reference finds.
            had: what the candidate finds.
            wanted_loose: what the reference nearly finds besides; a face of `had` may be one.
            had_loose: what the candidate nearly finds besides; may stand for one of `wanted`.
        """
        ious = match_faces(wanted, had if had_loose is None else had_loose)
        right = ious if wanted_loose is None else match_faces(had, wanted_loose)
        self.wanted, self.found = self.wanted + len(wanted), self.found + len(ious)
        self.had, self.right = self.had + len(had), self.right + len(right)
        self.ious += ious

    @property
    def recall(self) -> float:
        """Share of the wanted faces that were found."""
        return self.found / self.wanted if self.wanted else 1.0

    @property
    def precision(self) -> float:
        """Share of the candidate's faces that are the reference's."""
        return self.right / self.had if self.had else 1.0

    @property
    def f1(self) -> float:
        """Harmonic mean of recall and precision."""
        return f1_score(self.recall, self.precision)

    @property
    def mean_iou(self) -> float:
        """Mean overlap of the matched faces."""
        return float(np.mean(self.ious)) if self.ious else 1.0

    def objections(self, tolerance: Tolerance) -> list[str]:
        """Say what is beyond a tolerance."""
        problems = []
        if self.f1 < tolerance.f1:
            problems.append(
                f"faces agree with F1 {self.f1:.3f} (recall {self.recall:.3f}, precision "
                f"{self.precision:.3f}), wanted {tolerance.f1:g}"
            )
        if self.mean_iou < tolerance.mean_iou:
            problems.append(f"mean IoU {self.mean_iou:.3f}, wanted {tolerance.mean_iou:g}")
        return problems


def match_faces(wanted: Faces, had: Faces) -> list[float]:
    """Match faces of one class one to one; return the IoU of each pair of at least 0.5.

    The best-scored of `had` chooses first, as in the VOC protocol.
    """
    overlaps = iou_matrix(had.boxes, wanted.boxes)
    overlaps[had.labels[:, None] != wanted.labels[None, :]] = 0.0
    ious = []
    for row in overlaps:
        best = int(np.argmax(row)) if len(row) else -1
        if best >= 0 and row[best] >= MATCH_IOU:
            ious.append(float(row[best]))
            overlaps[:, best] = 0.0
    return ious


def f1_score(recall: float, precision: float) -> float:
    """Return the harmonic mean of recall and precision, 0 where both are."""
    total = recall + precision
    return 2 * recall * precision / total if total else 0.0
