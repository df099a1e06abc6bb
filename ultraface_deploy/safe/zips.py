"""The directory of a zip file, read so that no two readers see different ones."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

from ultraface_deploy.safe.limits import Limit

# PKWARE, "APPNOTE.TXT", 4.3.14 to 4.3.16: the ends of a directory, the longer one from zip64.
_END, _END_BYTES = b"PK\x05\x06", 22
_LOCATOR, _LOCATOR_BYTES = b"PK\x06\x07", 20
_END64, _END64_BYTES = b"PK\x06\x06", 56
_MOST_RECORDS = 100_000
"""Of a directory: each costs a reader some objects."""


def records_of(path: Path, limit: Limit) -> dict[str, int]:
    """Return the names and the unpacked sizes of a zip file's records, before any is unpacked.

    One reader finds the directory just before the record that ends the file, another where that
    record says; in a file made for it the two see different sizes. Such a file is refused, and so
    is one with something behind its end, or with a name twice.

    Raises:
        ValueError: no zip file, damaged or ambiguous.
        InputError: unpacked larger than the limit.
    """
    try:
        _require_one_directory(path)
        with zipfile.ZipFile(path) as archive:
            records = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, struct.error) as error:
        raise ValueError(f"no sound zip file: {error}") from error
    limit.check(path, sum(record.file_size for record in records))
    # Readers differ in whether A is a.
    sizes = {record.filename.lower(): record.file_size for record in records}
    if len(sizes) < len(records):
        raise ValueError("no sound zip file: a name is there twice")
    return sizes


def _require_one_directory(path: Path) -> None:
    """Require that the directory ends where its end begins, as it does in every file written whole.

    Raises:
        ValueError: it does not.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - _END_BYTES - _LOCATOR_BYTES - _END64_BYTES))
        tail = file.read()
    end = len(tail) - _END_BYTES
    if end < 0 or not tail.startswith(_END, end):
        raise ValueError("it does not end with its directory")
    short = struct.unpack("<4H2LH", tail[end + 4 :])
    count, length, start = short[3:6]
    locator = end - _LOCATOR_BYTES
    if locator >= 0 and tail.startswith(_LOCATOR, locator):
        begin = locator - _END64_BYTES
        if begin < 0 or not tail.startswith(_END64, begin):
            raise ValueError("its zip64 record is not where it belongs")
        (at,) = struct.unpack("<Q", tail[locator + 8 : locator + 16])
        if at != size - len(tail) + begin:
            raise ValueError("its zip64 record is not where it says")
        wide = struct.unpack("<4Q", tail[begin + 24 : locator])[1:]
        for value, most, stated in zip(
            short[3:6], (0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF), wide, strict=True
        ):
            if value not in (most, stated):
                raise ValueError("its two ends differ")
        count, length, start = wide
        end = begin
    if start + length != size - len(tail) + end:
        raise ValueError("its directory is not where it says")
    if count > _MOST_RECORDS:
        raise ValueError(f"{count} records")
