"""What was found as JSON and CSV, one picture at a time."""

# Tested by tests/detect/test_sinks.py.

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from ultraface_deploy.detect.sources import Frame
from ultraface_deploy.pipeline import Faces
from ultraface_deploy.pipeline.faces import POINT_NAMES
from ultraface_deploy.safe.files import replacing
from ultraface_deploy.safe.text import file_cell

_POINTS = [f"{axis}_{name}" for name in POINT_NAMES for axis in "xy"]


class CsvSink:
    """Writes one line per face."""

    def __init__(self, file: IO[str]) -> None:
        self._writer = csv.writer(file)
        self._begun = False

    def begin(self, landmarks: bool) -> None:
        """Write the heading, once."""
        if not self._begun:
            self._begun = True
            points = _POINTS if landmarks else []
            self._writer.writerow(
                ["file", "frame", "x1", "y1", "x2", "y2", "score", "label", *points]
            )

    def prepare(self, frame: Frame, faces: Faces) -> tuple[bool, list[list[Any]]]:
        """Return whether there are landmarks, and the rows of one picture."""
        rows = []
        for face in _records(faces):
            points = [value for point in face.get("landmarks", []) for value in point]
            rows.append(
                [file_cell(frame.name), "" if frame.index is None else frame.index]
                + [f"{value:.2f}" for value in face["box"]]
                + [f"{face['score']:.5f}", face["label"]]
                + [f"{value:.2f}" for value in points]
            )
        return faces.landmarks is not None, rows

    def write(self, frame: Frame, prepared: tuple[bool, list[list[Any]]]) -> None:
        """Take the rows of one picture."""
        self.begin(prepared[0])
        self._writer.writerows(prepared[1])


class CountSink:
    """Writes how many faces each picture has, also where there is none."""

    def __init__(self, file: IO[str]) -> None:
        self._writer = csv.writer(file)
        self._writer.writerow(["file", "frame", "count"])

    def prepare(self, frame: Frame, faces: Faces) -> list[Any]:
        """Return the row of one picture."""
        return [file_cell(frame.name), "" if frame.index is None else frame.index, len(faces)]

    def write(self, frame: Frame, prepared: list[Any]) -> None:
        """Take the row of one picture."""
        self._writer.writerow(prepared)


class JsonSink:
    """Writes one JSON document piece by piece, so that memory does not grow with the frames."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self._separator = "\n"

    def prepare(self, frame: Frame, faces: Faces) -> str:
        """Return the object of one picture."""
        width, height = frame.size
        record = {
            "file": frame.name,
            "frame": frame.index,
            "width": width,
            "height": height,
            "faces": _records(faces),
        }
        return json.dumps(record)

    def write(self, frame: Frame, prepared: str) -> None:
        """Take the object of one picture."""
        self._file.write(self._separator + prepared)
        self._separator = ",\n"


@contextmanager
def json_sink(target: str) -> Iterator[JsonSink]:
    """Open a JSON document, `-` for standard output; a file appears whole at the end."""
    with text_target(target) as file:
        file.write('{"schema": 1, "results": [')
        yield JsonSink(file)
        file.write("\n]}\n")


@contextmanager
def csv_sink(target: str) -> Iterator[CsvSink]:
    """Open a CSV file as `json_sink` does; its heading is written also where there is no face."""
    with text_target(target) as file:
        sink = CsvSink(file)
        yield sink
        sink.begin(landmarks=False)


@contextmanager
def text_target(target: str) -> Iterator[IO[str]]:
    """Open a text file that appears whole at the end, or standard output for `-`."""
    if target == "-":
        yield sys.stdout
        return
    with (
        replacing(Path(target)) as temporary,
        temporary.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file,
    ):
        yield file


def _records(faces: Faces) -> list[dict[str, Any]]:
    records = []
    for face in faces:
        record: dict[str, Any] = {
            "box": [round(value, 3) for value in face.box],
            "score": round(face.score, 6),
            "label": face.label,
        }
        if face.landmarks is not None:
            record["landmarks"] = [[round(value, 3) for value in point] for point in face.landmarks]
        records.append(record)
    return records
