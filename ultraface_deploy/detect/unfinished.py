"""A run that can be killed and goes on: its rows in a hidden file beside the result.

The first line says with which settings it was begun; each further line is the row of a picture,
appended when the picture is done. A line that was cut off counts as not written.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ultraface_deploy import __version__
from ultraface_deploy.detect.detector import Detector
from ultraface_deploy.detect.frames import Frame, Stopped, Unread
from ultraface_deploy.detect.rows import Row, row_of, row_of_unread
from ultraface_deploy.detect.sink import Sink
from ultraface_deploy.detect.sources import FrameSource
from ultraface_deploy.detect.tables import open_tables
from ultraface_deploy.errors import InputError
from ultraface_deploy.pipeline import Faces
from ultraface_deploy.safe.files import PARSE_ERRORS, sha256_of, unfinished_name
from ultraface_deploy.safe.refusals import unwritable
from ultraface_deploy.safe.text import counted

_SCHEMA = 1
_COLUMNS: Mapping[str, Any] = {
    "file": str,
    **dict.fromkeys(("frame", "width", "height"), int | None),
    "time": float | None,
    "faces": list | None,
    **dict.fromkeys(("error", "damage"), str | None),
}
# After a power failure at most so much is done again.
_SYNC_S = 1.0


class Unfinished(Sink):
    """The rows of a run that is not finished; `descriptor` is open for reading and appending."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path, self._descriptor = path, descriptor
        self._synced = time.monotonic()

    def prepare(self, frame: Frame, faces: Faces) -> bytes:
        """Return the line of a picture."""
        return _line(row_of(frame, faces))

    def write(self, frame: Frame, prepared: bytes) -> None:
        """Append the line; from now on the picture is done, whatever happens to the process."""
        self._append(prepared)

    def miss(self, unread: Unread | Stopped) -> None:
        """Append a line with the reason."""
        self._append(_line(row_of_unread(unread)))

    def rows(self) -> Iterator[Row]:
        """Go through all rows that are written."""
        with self._lines() as lines:
            next(lines)
            for line in lines:
                yield json.loads(line)

    def begin(self, settings: Mapping[str, Any], frames: FrameSource) -> int:
        """Write the first line, or go on after what is there.

        Returns:
            The number of rows that are there, which the source leaves out.

        Raises:
            InputError: they were made with other settings.
        """
        with self._lines() as lines:
            beginning = next(lines, b"")
            if (first := _parsed(beginning)) is None:
                os.ftruncate(self._descriptor, 0)
                self._append(_line({"unfinished": _SCHEMA, "settings": settings}))
                return 0
            before = first.get("settings")
            if first.get("unfinished") != _SCHEMA or not isinstance(before, dict):
                raise InputError(f"{self._path}: is not of this version; remove it to begin anew")
            require_same(self._path, before, settings)
            written, end = self._go_on(lines, frames)
        os.ftruncate(self._descriptor, len(beginning) + end)
        return written.total()

    def _go_on(self, lines: Iterator[bytes], frames: FrameSource) -> tuple[Counter[str], int]:
        """Count the rows by name, and the bytes of those that are whole.

        The source leaves them out, and remembers what could not be read as if it had read it.
        """
        written: Counter[str] = Counter()
        end = pictures = 0
        for line in lines:
            if (row := _parsed(line)) is None or not _is_row(row):
                break
            end += len(line)
            written[row["file"]] += 1
            pictures += row["error"] is None
            # What breaks off within a video or an animation is met again.
            if row["error"] is not None and row["frame"] is None:
                frames.unreadable.append(row["error"])
            if row["damage"] is not None:
                frames.damaged.append(row["damage"])
        frames.go_on(written, pictures)
        return written, end

    @contextmanager
    def _lines(self) -> Iterator[Iterator[bytes]]:
        with os.fdopen(os.dup(self._descriptor), "rb") as file:
            file.seek(0)
            yield iter(file)

    def _append(self, line: bytes) -> None:
        try:
            if os.write(self._descriptor, line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if time.monotonic() - self._synced > _SYNC_S:
                os.fsync(self._descriptor)
                self._synced = time.monotonic()
        except OSError as error:
            raise InputError(f"{self._path}: {unwritable(error)}") from error


@contextmanager
def unfinished(
    targets: Mapping[str, str],
    settings: Mapping[str, Any],
    frames: FrameSource,
    report: Callable[[str], None] = lambda message: None,
) -> Iterator[Unfinished]:
    """Begin a run or go on with one; at the end its rows become the files that were asked for.

    Where the run breaks off, the rows stay.

    Args:
        targets: see `open_tables`; files.
        settings: what the results depend on.
        frames: the source, which then leaves out what is done.
        report: hears of what is gone on with.

    Raises:
        InputError: the run was begun with other settings, or another process is at it.
    """
    path = _place(list(targets.values()))
    with _locked(path) as descriptor:
        rows = Unfinished(path, descriptor)
        if done := rows.begin(settings, frames):
            report(f"going on after {counted(done, 'picture')}; what is done stays")
        try:
            yield rows
        except BaseException:
            report(f"{path} holds what is done; the same command goes on")
            raise
        with open_tables(targets, frames.timed) as tables:
            for row in rows.rows():
                tables.add(row)
        path.unlink(missing_ok=True)


def settings_of(detector: Detector, sources: Sequence[str], full_decode: bool) -> dict[str, Any]:
    """Return what the rows of a run depend on."""
    return {
        "version": __version__,
        "source": [
            source if Path(source).is_absolute() or "://" in source else f"{source} in {Path.cwd()}"
            for source in sources
        ],
        "model": [sha256_of(file) for file in detector.files],
        "network": repr(detector.spec),
        "backend": detector.backend.name,
        "precision": detector.precision,
        "threshold": detector.options.threshold(detector.spec),
        "NMS": f"{detector.options.nms} {detector.options.iou_threshold:g}",
        "view": repr(detector.view),
        "decoding": "full" if full_decode else "reduced",
    }


def _place(targets: Sequence[str]) -> Path:
    """Return where the rows stand: beside the first of the results, or where they stand already."""
    paths = [Path(target).with_name(unfinished_name(target)) for target in targets]
    return next((path for path in paths if path.exists()), paths[0])


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o666)
        except OSError as error:
            raise InputError(f"{path}: {unwritable(error)}") from error
        try:
            _lock(path, descriptor)
            # Else another process has ended its run, and the file, since we opened it.
            if os.fstat(descriptor).st_nlink:
                yield descriptor
                return
        finally:
            os.close(descriptor)


def _lock(path: Path, descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise InputError(f"{path}: another process is writing it; wait for its end") from error


def require_same(where: Path | str, before: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    """Refuse to go on with a run that was begun with other settings.

    Raises:
        InputError: says which.
    """
    wanted = json.loads(json.dumps(settings))
    for name in wanted:
        if before.get(name) != wanted[name]:
            raise InputError(
                f"{where}: was begun with another {name} ({_short(before.get(name))}, now "
                f"{_short(wanted[name])}); give the same, or remove it to begin anew"
            )


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _line(row: Mapping[str, Any]) -> bytes:
    return json.dumps(row).encode() + b"\n"


def _parsed(line: bytes) -> Row | None:
    if line.endswith(b"\n"):
        with suppress(*PARSE_ERRORS):
            row = json.loads(line)
            json.dumps(row, allow_nan=False)
            return row if isinstance(row, dict) else None
    return None


def _is_row(row: Row) -> bool:
    """Whether a line that stands there can have been written by a run."""
    faces = row.get("faces")
    return (
        row.keys() == _COLUMNS.keys()
        and all(isinstance(row[name], kind) for name, kind in _COLUMNS.items())
        and all(_is_face(face) for face in faces or [])
    )


def _is_face(face: Any) -> bool:
    with suppress(*PARSE_ERRORS):
        numbers = [*face["box"], face["score"], face["label"]]
        points = [number for point in face.get("landmarks", []) for number in point]
        return len(numbers) == 6 and all(isinstance(each, int | float) for each in numbers + points)
    return False
