"""What was found as Parquet, one row per picture."""

# Tested by tests/detect/test_tables.py.

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ultraface_deploy.detect.rows import Row
from ultraface_deploy.errors import InputError, MissingDependency
from ultraface_deploy.safe.files import replacing
from ultraface_deploy.safe.text import file_cell, printable

if TYPE_CHECKING:
    import pyarrow

# Rows of a row group: what is held before it is written, and what a reader reads at once.
_ROWS = 8192


def require(target: str = "") -> None:
    """Refuse where the package that writes Parquet is missing, or a terminal would show its bytes.

    Args:
        target: where it is to be written, `-` for standard output.

    Raises:
        MissingDependency: says what installs it.
        InputError: standard output is a terminal.
    """
    if target == "-" and sys.stdout.isatty():
        raise InputError(
            "`parquet` -: Parquet is binary, and standard output is a terminal; give a file, or "
            "send it on with > or |"
        )
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise MissingDependency.package("pyarrow", "parquet", "Parquet") from error


@cache
def schema() -> pyarrow.Schema:
    """Return the columns: those of a row, the names in the form that CSV has too."""
    import pyarrow as pa

    numbers = {name: pa.float64() for name in ("x1", "y1", "x2", "y2", "score")}
    of_class = {"label": pa.int32(), "name": pa.string()}
    face = pa.struct({**numbers, **of_class, "landmarks": pa.list_(pa.float64())})
    return pa.schema(
        {
            "file": pa.string(),
            "frame": pa.int64(),
            "time": pa.float64(),
            "width": pa.int32(),
            "height": pa.int32(),
            "faces": pa.list_(face),
            "error": pa.string(),
            "damage": pa.string(),
        }
    )


def flat(row: Row) -> dict[str, Any]:
    """Return a row as Parquet takes it: text without lone surrogates, faces with plain columns."""
    faces = row["faces"]
    if faces is not None:
        faces = [_flat_face(face) for face in faces]
    told = {key: row[key] and printable(row[key]) for key in ("error", "damage")}
    return {**row, **told, "file": file_cell(row["file"]), "faces": faces}


def _flat_face(face: dict[str, Any]) -> dict[str, Any]:
    points = face.get("landmarks")
    return {
        **dict(zip(("x1", "y1", "x2", "y2"), face["box"], strict=True)),
        "score": face["score"],
        "label": face["label"],
        "name": face.get("name"),
        "landmarks": None if points is None else [value for point in points for value in point],
    }


def arrow_table(flats: Sequence[dict[str, Any]]) -> pyarrow.Table:
    """Return rows that `flat` made as an Arrow table."""
    import pyarrow

    return pyarrow.Table.from_pylist(list(flats), schema())


class _Parquet:
    def __init__(self, writer: Any) -> None:
        self._writer = writer
        self._waiting: list[dict[str, Any]] = []

    def made(self, row: Row) -> dict[str, Any]:
        return flat(row)

    def add(self, made: dict[str, Any]) -> None:
        self._waiting.append(made)
        if len(self._waiting) >= _ROWS:
            self.flush()

    def flush(self) -> None:
        if self._waiting:
            self._writer.write_table(arrow_table(self._waiting))
            self._waiting.clear()


@contextmanager
def parquet_table(target: str) -> Iterator[_Parquet]:
    """Open a Parquet file that appears whole at the end, or standard output for `-`."""
    require(target)
    from pyarrow import parquet

    with _binary_target(target) as file, parquet.ParquetWriter(file, schema()) as writer:
        table = _Parquet(writer)
        yield table
        table.flush()


@contextmanager
def _binary_target(target: str) -> Iterator[IO[bytes]]:
    if target == "-":
        yield sys.stdout.buffer
        return
    # Our own file object: pyarrow takes no name that is not UTF-8.
    with replacing(Path(target)) as temporary, temporary.open("wb") as file:
        yield file
