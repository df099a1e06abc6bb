"""What was found as JSON and CSV, one picture at a time."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any, Protocol

from ultraface_deploy.detect.frames import Frame, Stopped, Unread
from ultraface_deploy.detect.parquet import parquet_table
from ultraface_deploy.detect.rows import Row, row_of, row_of_unread
from ultraface_deploy.detect.sink import Sink
from ultraface_deploy.pipeline import Faces
from ultraface_deploy.pipeline.faces import POINT_NAMES
from ultraface_deploy.safe.files import replacing
from ultraface_deploy.safe.text import file_cell

_KEYS = ("file", "frame", "time", "width", "height", "faces")
_POINTS = [f"{axis}_{name}" for name in POINT_NAMES for axis in "xy"]


class Table(Protocol):
    """A file of rows; what cannot be read stands in those that have a place for it."""

    def made(self, row: Row) -> Any:
        """Make what `add` needs of a row, in any thread and order."""

    def add(self, made: Any) -> None:
        """Take what `made` made; in the rows' order."""


class Tables(Sink):
    """Hands the row of each picture to the tables."""

    def __init__(self, tables: list[Table]) -> None:
        self._tables = tables

    def prepare(self, frame: Frame, faces: Faces) -> list[Any]:
        """Return what each table takes."""
        row = row_of(frame, faces)
        return [table.made(row) for table in self._tables]

    def write(self, frame: Frame, prepared: list[Any]) -> None:
        """Hand it to the tables."""
        for table, made in zip(self._tables, prepared, strict=True):
            table.add(made)

    def miss(self, unread: Unread | Stopped) -> None:
        """Hand a row with the reason to the tables."""
        self.add(row_of_unread(unread))

    def add(self, row: Row) -> None:
        """Hand a row to the tables."""
        for table in self._tables:
            table.add(table.made(row))


class _Csv:
    """One line per face."""

    def __init__(self, file: IO[str], timed: bool) -> None:
        self._writer = csv.writer(file)
        self._timed = timed
        self._begun = False

    def begin(self, landmarks: bool = False, names: bool = False) -> None:
        """Write the heading, once."""
        if not self._begun:
            self._begun = True
            points = _POINTS if landmarks else []
            self._writer.writerow(
                ["file", "frame", "x1", "y1", "x2", "y2", "score", "label"]
                + ["name"] * names
                + points
                + ["time"] * self._timed
            )

    def made(self, row: Row) -> list[tuple[bool, bool, list[Any]]]:
        return [self._line(row, face) for face in row["faces"] or []]

    def _line(self, row: Row, face: Mapping[str, Any]) -> tuple[bool, bool, list[Any]]:
        """Return whether there are landmarks, whether there is a name, and the line."""
        points = [value for point in face.get("landmarks", []) for value in point]
        named = [face["name"]] if "name" in face else []
        line = [*_named(row), *(f"{value:.2f}" for value in face["box"])]
        line += [f"{face['score']:.5f}", face["label"], *named]
        line += [f"{value:.2f}" for value in points]
        return bool(points), bool(named), line + [_cell(row["time"])] * self._timed

    def add(self, made: list[tuple[bool, bool, list[Any]]]) -> None:
        for landmarks, names, line in made:
            self.begin(landmarks, names)
            self._writer.writerow(line)


class _Count:
    """How many faces each picture has, also where there is none."""

    def __init__(self, file: IO[str], timed: bool) -> None:
        self._writer = csv.writer(file)
        self._timed = timed
        self._writer.writerow(["file", "frame", "count"] + ["time"] * timed)

    def made(self, row: Row) -> list[Any] | None:
        if row["faces"] is None:
            return None
        return [*_named(row), len(row["faces"])] + [_cell(row["time"])] * self._timed

    def add(self, made: list[Any] | None) -> None:
        if made is not None:
            self._writer.writerow(made)


class _Json:
    """One JSON document piece by piece, so that memory does not grow with the frames."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self._separator = "\n"

    def made(self, row: Row) -> str | None:
        if row["faces"] is None:
            return None
        return json.dumps({key: row[key] for key in _KEYS})

    def add(self, made: str | None) -> None:
        if made is not None:
            self._file.write(self._separator + made)
            self._separator = ",\n"


class _Lines:
    """One JSON object a line: every picture, also what cannot be read."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def made(self, row: Row) -> str:
        return json.dumps(row) + "\n"

    def add(self, made: str) -> None:
        self._file.write(made)


@contextmanager
def open_tables(targets: Mapping[str, str], timed: bool = False) -> Iterator[Tables]:
    """Open the files that were asked for; each appears whole at the end.

    Args:
        targets: by kind (json, jsonl, csv, count, parquet) the file, `-` for standard output.
        timed: whether CSV has a column for the time, the last one.
    """
    kinds: dict[str, Callable[[str], AbstractContextManager[Table]]] = {
        "jsonl": _lines_table,
        "parquet": parquet_table,
        "json": _json_table,
        "csv": partial(_csv_table, timed),
        "count": partial(_count_table, timed),
    }
    with ExitStack() as stack:
        tables = [
            stack.enter_context(kinds[kind](target)) for kind, target in targets.items() if target
        ]
        yield Tables(tables)


@contextmanager
def _json_table(target: str) -> Iterator[Table]:
    with _text_target(target) as file:
        file.write('{"schema": 1, "results": [')
        yield _Json(file)
        file.write("\n]}\n")


@contextmanager
def _csv_table(timed: bool, target: str) -> Iterator[Table]:
    with _text_target(target) as file:
        table = _Csv(file, timed)
        yield table
        # Also where there is no face.
        table.begin()


@contextmanager
def _count_table(timed: bool, target: str) -> Iterator[Table]:
    with _text_target(target) as file:
        yield _Count(file, timed)


@contextmanager
def _lines_table(target: str) -> Iterator[Table]:
    with _text_target(target) as file:
        yield _Lines(file)


@contextmanager
def _text_target(target: str) -> Iterator[IO[str]]:
    if target == "-":
        yield sys.stdout
        return
    with (
        replacing(Path(target)) as temporary,
        temporary.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file,
    ):
        yield file


def _named(row: Row) -> tuple[str, Any]:
    return file_cell(row["file"]), _cell(row["frame"])


def _cell(value: Any) -> Any:
    return "" if value is None else value
