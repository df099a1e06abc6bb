"""What one detector does with one part of the pictures, whatever engine hands it out.

The rows of a part become one Parquet file, which appears whole or not at all. A part that is done
twice writes the same file: after any number of deaths there is one row per picture.
"""

# Tested by tests/integrations/test_shards.py.

from __future__ import annotations

import json
import time
from collections.abc import Generator, Mapping
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

from ultraface_deploy.detect.detector import Detector
from ultraface_deploy.detect.frames import Frame, Pending, Read, Stopped, Unread
from ultraface_deploy.detect.parquet import arrow_table, flat
from ultraface_deploy.detect.rows import row_of, row_of_unread
from ultraface_deploy.detect.run import run
from ultraface_deploy.detect.sink import Sink
from ultraface_deploy.detect.sources import FrameSource
from ultraface_deploy.errors import InputError, MissingDependency
from ultraface_deploy.integrations.shards import Shard, file_system, packed_pictures, place, shown
from ultraface_deploy.pipeline import Faces
from ultraface_deploy.safe.animations import is_animated
from ultraface_deploy.safe.files import write_bytes
from ultraface_deploy.safe.images import decode_picture
from ultraface_deploy.safe.limits import Limit
from ultraface_deploy.safe.text import file_cell

SETTINGS = "_settings.json"
"""What a run was begun with, beside its files; readers of Parquet pass over such a name."""
_ENOUGH = 2
# A store that does not answer may do so in a moment.
_TRIES, _PAUSE_S = 3, 1.0


class ShardSource(FrameSource):
    """The pictures of a part. With `patient` a store that fails is an error, else it is a row."""

    def __init__(self, shard: Shard, patient: bool) -> None:
        super().__init__("images")
        self._shard, self._patient = shard, patient

    def pending(self) -> Generator[Pending, None, None]:
        """Yield what is to be read, in order."""
        shard = self._shard
        if shard.kind == "pictures":
            for path in shard.paths:
                if shard.root is not None:
                    yield partial(self._fetched, path)
                elif is_animated(Path(path)):
                    yield from self._animation(Path(path))
                else:
                    yield partial(self._picture, Path(path))
            return
        try:
            for name, content in packed_pictures(shard):
                yield partial(self._decoded, name, content)
        except InputError as error:
            yield partial(_same, Unread(shard.name, error, alone=False))
        except OSError as error:
            yield partial(self._failed, shard.name, error)

    def _fetched(self, path: str) -> Read:
        name = shown(self._shard.root, path)
        try:
            with file_system(self._shard.root).open_input_stream(path) as file:
                content = file.read()
        except OSError as error:
            return self._failed(name, error)
        return self._decoded(name, content)

    def _failed(self, name: str, error: OSError) -> Read:
        if self._patient and not isinstance(error, FileNotFoundError):
            raise error
        reason = str(error).splitlines()[0]
        return Unread(name, InputError(f"{name}: cannot be read ({reason})"), alone=False)

    def _decoded(self, name: str, content: bytes) -> Read:
        try:
            Limit.PICTURE.check(Path(name), len(content))
            image, damage, reduction = decode_picture(content, name, self.least)
        except (InputError, MissingDependency) as error:
            return Unread(name, error, alone=False)
        return Frame(name, image, None, self, damage, reduction)


def _same(read: Read) -> Read:
    return read


class _Rows(Sink):
    def __init__(self) -> None:
        self.flat: list[dict[str, Any]] = []

    def prepare(self, frame: Frame, faces: Faces) -> dict[str, Any]:
        return flat(row_of(frame, faces))

    def write(self, frame: Frame, prepared: dict[str, Any]) -> None:
        self.flat.append(prepared)

    def miss(self, unread: Unread | Stopped) -> None:
        self.flat.append(flat(row_of_unread(unread)))


def look(detector: Detector, shard: Shard, output: str, full_decode: bool) -> dict[str, Any]:
    """Find the faces in a part, unless its file is there, and write the file.

    Args:
        detector: of this worker.
        shard: the part.
        output: the folder, a path or an address.
        full_decode: decode large JPEGs with all their pixels.

    Returns:
        `shard` its index, and how many `pictures`, `unreadable` ones and `faces` it has.
    """
    system, folder = place(output)
    target = f"{folder}/{shard.output}"
    if (told := _done(system, target)) is not None:
        return {"shard": shard.index, **told}
    rows = _rows_at_last(detector, shard, full_decode)
    counts = {
        "pictures": len(rows),
        "unreadable": sum(row["error"] is not None for row in rows),
        "faces": sum(len(row["faces"] or []) for row in rows),
    }
    _put(system, target, _encoded(rows, shard, counts))
    return {"shard": shard.index, **counts}


def _rows_at_last(detector: Detector, shard: Shard, full_decode: bool) -> list[dict[str, Any]]:
    for _ in range(_TRIES - 1):
        try:
            return _rows(detector, shard, full_decode, patient=True)
        except OSError:
            time.sleep(_PAUSE_S)
    return _rows(detector, shard, full_decode, patient=False)


def _rows(
    detector: Detector, shard: Shard, full_decode: bool, patient: bool
) -> list[dict[str, Any]]:
    source, rows = ShardSource(shard, patient), _Rows()
    if not (full_decode or detector.view.parts_only):
        source.enough(_ENOUGH * detector.spec.width, _ENOUGH * detector.spec.height)
    for _ in run(detector, source, [rows]):
        pass
    return rows.flat


def _encoded(rows: list[dict[str, Any]], shard: Shard, counts: dict[str, int]) -> bytes:
    """Return a Parquet file with the column `shard`, and the counts in what it says of itself."""
    import pyarrow
    from pyarrow import parquet

    column = pyarrow.array([file_cell(shard.name)] * len(rows), pyarrow.string())
    told = {name: str(value) for name, value in counts.items()}
    table = arrow_table(rows).append_column("shard", column).replace_schema_metadata(told)
    buffer = BytesIO()
    parquet.write_table(table, buffer)
    return buffer.getvalue()


def _done(system: Any, target: str) -> dict[str, int] | None:
    """Return the counts of a file that is there; None where there is none."""
    from pyarrow import fs, parquet

    if system.get_file_info(target).type != fs.FileType.File:
        return None
    with system.open_input_file(target) as file:
        told = parquet.read_schema(file).metadata
    return {name: int(told[name.encode()]) for name in ("pictures", "unreadable", "faces")}


def _put(system: Any, target: str, content: bytes) -> None:
    """Write a file whole: in a store it appears when it is closed."""
    from pyarrow import fs

    if isinstance(system, fs.LocalFileSystem):
        write_bytes(Path(target), content)
        return
    with system.open_output_stream(target) as file:
        file.write(content)


def read_settings(output: str) -> dict[str, Any] | None:
    """Return what a run into a folder was begun with; None where the folder is empty.

    Raises:
        InputError: it holds other files, or what a run has written is damaged.
    """
    from pyarrow import fs

    system, folder = place(output)
    try:
        there = system.get_file_info(fs.FileSelector(folder, allow_not_found=True))
        if SETTINGS not in (info.base_name for info in there):
            if there:
                raise InputError(f"`output` {output}: holds other files; give an empty folder")
            return None
        with system.open_input_stream(f"{folder}/{SETTINGS}") as file:
            settings = json.loads(file.read())
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"`output` {output}: cannot be read ({reason}); choose another") from error
    return settings if isinstance(settings, dict) else {}


def write_settings(output: str, settings: Mapping[str, Any]) -> None:
    """Make a folder for a run that is begun with these settings.

    Raises:
        InputError: it cannot be made.
    """
    system, folder = place(output)
    try:
        system.create_dir(folder, recursive=True)
        _put(system, f"{folder}/{SETTINGS}", json.dumps(settings, indent=1).encode())
    except OSError as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"`output` {output}: cannot be written ({reason}); choose another"
        ) from error


def clean(output: str) -> None:
    """Remove what workers that were killed have left of a file; the run is over."""
    from pyarrow import fs

    system, folder = place(output)
    for info in system.get_file_info(fs.FileSelector(folder)):
        if info.base_name.startswith(".part-") and ".tmp" in info.base_name:
            system.delete_file(info.path)
