"""When a video shows a picture, and whether it gave all that its container says it holds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from ultraface_deploy.safe.files import native_name
from ultraface_deploy.safe.opencv import cv2

# Containers state how much they hold, some of them only nearly.
_COMPLETE = 0.95


def seconds_at(capture: Any) -> float:
    """Return when the picture that was read last is shown, in seconds from the first one.

    0 for all pictures where the container does not say.
    """
    return max(0.0, float(capture.get(cv2.CAP_PROP_POS_MSEC)) / 1000)


def is_whole(
    path: Path | None, capture: Any, pictures: int, count: int | None, last: float
) -> bool:
    """Whether a video that has ended gave what it holds.

    Of most containers OpenCV does not know the number of pictures and takes the length times the
    rate. Where pictures come at irregular times, or the first one late, there are fewer: then the
    time of the last one tells. An MP4 that was cut without decoding it again keeps pictures that
    are not shown; its header says how long it is shown.

    Args:
        path: the video; None for one on a web server, whose header is not read again.
        capture: what read it.
        pictures: how many it gave.
        count: how many OpenCV says it has, None where it does not say.
        last: when the last one is shown, as `seconds_at` said before the end.
    """
    if count is None or pictures >= _COMPLETE * count:
        return True
    rate = float(capture.get(cv2.CAP_PROP_FPS))
    if not (pictures and rate > 0):
        return False
    # Counted in pictures from the beginning of the file, where `last` counts from the first one.
    absolute = capture.get(cv2.CAP_PROP_PTS) if hasattr(cv2, "CAP_PROP_PTS") else 0
    if max(last * rate, float(absolute)) + 1 >= _COMPLETE * count:
        return True
    shown = None if path is None else _seconds_shown(path)
    return shown is not None and last + 1 / rate >= _COMPLETE * shown


def packet_times(path: Path) -> Iterator[float]:
    """Yield when each picture of a video is shown, as `seconds_at`, in the order they are stored.

    None is decoded: as fast as the file is read.
    """
    with native_name(path) as native:
        capture = cv2.VideoCapture(native)
    capture.set(cv2.CAP_PROP_FORMAT, -1)
    try:
        while capture.grab():
            yield seconds_at(capture)
    finally:
        capture.release()


def _seconds_shown(path: Path) -> float | None:
    """Return how long an MP4 is shown, by its movie header; None where there is none.

    Format: ISO/IEC 14496-12, boxes `moov` (8.2.1) and `mvhd` (8.2.2).
    """
    with path.open("rb") as file:
        end = path.stat().st_size
        for kind, start, stop in _boxes(file, 0, end):
            if kind == b"moov":
                for inner, at, _ in _boxes(file, start, stop):
                    if inner == b"mvhd":
                        return _length(file, at)
    return None


def _boxes(file: IO[bytes], start: int, stop: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, beginning and end of the content of each box in a part of a file."""
    while start + 8 <= stop:
        file.seek(start)
        head = file.read(16)
        size, kind, skip = int.from_bytes(head[:4], "big"), head[4:8], 8
        if size == 1:
            size, skip = int.from_bytes(head[8:16], "big"), 16
        end = start + size if size else stop
        if size and size < skip:
            return
        yield kind, start + skip, min(end, stop)
        start = end


def _length(file: IO[bytes], start: int) -> float | None:
    file.seek(start)
    content = file.read(32)
    wide = content[:1] == b"\x01"
    at, size = (20, 8) if wide else (12, 4)
    scale = int.from_bytes(content[at : at + 4], "big")
    length = int.from_bytes(content[at + 4 : at + 4 + size], "big")
    return length / scale if scale and length else None
