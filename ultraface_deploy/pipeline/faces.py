"""What was found in one image, and what people do with it next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import numpy.typing as npt

from ultraface_deploy.errors import InputError, MissingDependency

if TYPE_CHECKING:
    import pandas
    import supervision

    from ultraface_deploy.safe.images import Image

POINT_NAMES = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")
"""The five landmarks in their order; left and right as one looks at the image."""

_COLUMNS = ("x1", "y1", "x2", "y2", "score", "label")


@dataclass(frozen=True)
class Face:
    """One face: `box` x1 y1 x2 y2 in pixels of the image, `score` in 0..1, `label` from 1."""

    box: tuple[float, float, float, float]
    score: float
    label: int
    landmarks: tuple[tuple[float, float], ...] | None = None
    """Five points x y in pixels, where the network gives them."""
    name: str | None = None
    """Name of the class, where the model states it."""

    @property
    def width(self) -> float:
        """Width of the box in pixels."""
        return self.box[2] - self.box[0]

    @property
    def height(self) -> float:
        """Height of the box in pixels."""
        return self.box[3] - self.box[1]

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form, as `detect --json` writes it."""
        data: dict[str, Any] = {
            "box": list(self.box),
            "score": self.score,
            "label": self.label,
        }
        if self.name is not None:
            data["name"] = self.name
        if self.landmarks is not None:
            data["landmarks"] = [list(point) for point in self.landmarks]
        return data


@dataclass(frozen=True, eq=False)
class Faces:
    """What was found in one image, best first.

    `boxes` (N, 4) float32 x1 y1 x2 y2 in pixels of the image (a face at the border may reach
    beyond it), `scores` (N,) float32 in 0..1, `labels` (N,) int64 class indices from 1,
    `landmarks` (N, 5, 2) float32 x y in pixels (eyes, nose, corners of the mouth; each pair from
    left to right in the image), None where the network gives none, `class_names` what the labels
    1, 2, ... are called, empty where the model does not state it.

    `len(faces)`, `for face in faces` and `faces[0]` work as in a list; a slice, a mask or an array
    of indices gives `Faces` again. Two are equal where all their numbers and names are.
    """

    boxes: npt.NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 4), np.float32))
    scores: npt.NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))
    labels: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    landmarks: npt.NDArray[np.float32] | None = None
    class_names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.scores)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Faces):
            return NotImplemented
        if (self.landmarks is None) != (other.landmarks is None):
            return False
        return (
            np.array_equal(self.rows(), other.rows())
            and np.array_equal(self.scores, other.scores)
            and np.array_equal(self.labels, other.labels)
            and self.class_names == other.class_names
        )

    # What it holds can be changed.
    __hash__ = None  # type: ignore[assignment]

    def __iter__(self) -> Iterator[Face]:
        return (self._face(index) for index in range(len(self)))

    @overload
    def __getitem__(self, index: int) -> Face: ...
    @overload
    def __getitem__(self, index: slice | npt.NDArray[Any] | Sequence[int]) -> Faces: ...

    def __getitem__(self, index: Any) -> Face | Faces:
        if isinstance(index, int | np.integer):
            return self._face(range(len(self))[int(index)])
        points = None if self.landmarks is None else self.landmarks[index]
        kept = (self.boxes[index], self.scores[index], self.labels[index])
        return Faces(*kept, points, self.class_names)

    def __repr__(self) -> str:
        best = f", best score {self.scores.max():.3f}" if len(self) else ""
        return f"Faces({len(self)}{best})"

    def _face(self, index: int) -> Face:
        left, top, right, bottom = self.boxes[index].tolist()
        points = None
        if self.landmarks is not None:
            points = tuple((x, y) for x, y in self.landmarks[index].tolist())
        box = (left, top, right, bottom)
        label = int(self.labels[index])
        return Face(box, float(self.scores[index]), label, points, self.name_of(label))

    def name_of(self, label: int) -> str | None:
        """Return what the model calls a label from 1, None where it does not state it."""
        return self.class_names[label - 1] if 0 < label <= len(self.class_names) else None

    @property
    def names(self) -> list[str | None]:
        """The name of each face's class, None where the model does not state it."""
        return [self.name_of(label) for label in self.labels.tolist()]

    def moved(self, x: float, y: float) -> Faces:
        """Return the faces in an image in which the one they were found in begins at x, y."""
        if not (x or y):
            return self
        boxes = self.boxes + np.array([x, y, x, y], np.float32)
        points = self.landmarks
        if points is not None:
            points = points + np.array([x, y], np.float32)
        return Faces(boxes, self.scores, self.labels, points, self.class_names)

    def rows(self) -> npt.NDArray[np.float32]:
        """Return (N, 4), or (N, 14) with landmarks: the corners, then the points."""
        if self.landmarks is None:
            return self.boxes
        return np.concatenate([self.boxes, self.landmarks.reshape(len(self), 10)], axis=1)

    @classmethod
    def from_rows(
        cls,
        rows: npt.NDArray[np.floating],
        scores: npt.NDArray[np.floating],
        labels: npt.NDArray[np.int64],
        class_names: tuple[str, ...] = (),
    ) -> Faces:
        """Invert `rows`."""
        rows = rows.astype(np.float32, copy=False)
        points = None
        if rows.shape[1] > 4:
            points = rows[:, 4:].reshape(len(rows), (rows.shape[1] - 4) // 2, 2)
        return cls(rows[:, :4], scores.astype(np.float32, copy=False), labels, points, class_names)

    @classmethod
    def joined(cls, found: Sequence[Faces]) -> Faces:
        """Return the faces of several that one network found, one after the other."""
        rows = np.concatenate([faces.rows() for faces in found])
        scores = np.concatenate([faces.scores for faces in found])
        labels = np.concatenate([faces.labels for faces in found])
        return cls.from_rows(rows, scores, labels, found[0].class_names)

    def filter(
        self,
        min_score: float = 0.0,
        min_size: float = 0.0,
        inside: tuple[float, float, float, float] | None = None,
    ) -> Faces:
        """Return the faces that are sure, large and inside enough.

        Args:
            min_score: the lowest score that stays, 0..1.
            min_size: the shorter side of the box in pixels must be at least this.
            inside: (x1, y1, x2, y2) in pixels; the centre of the box must lie in it.
        """
        sides = self.boxes[:, 2:] - self.boxes[:, :2]
        kept: npt.NDArray[np.bool_] = (self.scores >= min_score) & (
            sides.min(axis=1, initial=np.inf) >= min_size
        )
        if inside is not None:
            left, top, right, bottom = inside
            if not (right > left and bottom > top):
                raise InputError(f"inside={inside}: give x1, y1, x2, y2 with x2 > x1 and y2 > y1")
            x, y = (self.boxes[:, :2] + self.boxes[:, 2:]).T / 2
            kept &= (x >= left) & (x < right) & (y >= top) & (y < bottom)
        return self[kept]

    def crop(self, image: npt.NDArray[Any], margin: float = 0.0) -> list[npt.NDArray[Any]]:
        """Cut the faces out of the image they were found in, best first.

        Args:
            image: (H, W, ...) pixels in any order of colours.
            margin: how much to add on each side, as a share of the box; 0.2 shows the hair.

        Returns:
            One copy per face, cut at the border of the image. A face wholly outside gives an
            array without pixels, so that `crops[i]` always belongs to `faces[i]`.
        """
        height, width = image.shape[:2]
        crops = []
        for left, top, right, bottom in self.boxes.astype(np.float64):
            wide, high = (right - left) * margin, (bottom - top) * margin
            x1, x2 = np.clip(np.rint((left - wide, right + wide)), 0, width).astype(int)
            y1, y2 = np.clip(np.rint((top - high, bottom + high)), 0, height).astype(int)
            crops.append(image[y1:y2, x1:x2].copy())
        return crops

    def draw(self, image: npt.NDArray[Any], labels: bool = True) -> Image:
        """Return a copy of the image (H, W, 3) uint8 BGR with a box at each face.

        Args:
            image: the image the faces were found in, as for `Detector.detect`.
            labels: write the score, and the class where it has a name, where there is room.

        Raises:
            InputError: it is not an image.
        """
        from ultraface_deploy.pipeline.drawing import draw_faces

        return draw_faces(image, self, labels)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form: a list of faces under `faces`, as `detect --json` writes it."""
        return {"faces": [face.to_dict() for face in self]}

    def to_supervision(self) -> supervision.Detections:
        """Return `supervision.Detections`; their class ids are our labels minus 1.

        Where the model states the names of its classes, they stand under `class_name` in `data`.

        Raises:
            MissingDependency: the package supervision is not installed.
        """
        try:
            import supervision
        except ImportError as error:
            raise _needs("supervision") from error
        named = {"class_name": np.array(self.names, str)} if self.class_names else {}
        return supervision.Detections(
            xyxy=self.boxes.copy(),
            confidence=self.scores.copy(),
            class_id=self.labels - 1,
            data=named,
        )

    def to_pandas(self) -> pandas.DataFrame:
        """Return a frame with the columns x1, y1, x2, y2, score, label; one row per face.

        Where the model states the names of its classes there is a column `name` too.

        Raises:
            MissingDependency: the package pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise _needs("pandas") from error
        values = (*self.boxes.T, self.scores, self.labels)
        named = {"name": self.names} if self.class_names else {}
        return pandas.DataFrame(dict(zip(_COLUMNS, values, strict=True)) | named)


def _needs(package: str) -> MissingDependency:
    return MissingDependency(f"this conversion needs the package {package}: pip install {package}")
