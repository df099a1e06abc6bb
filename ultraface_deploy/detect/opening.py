"""What a user's text means: an image, a folder, a glob, a video, a camera, a stream."""

# Tested by tests/detect/test_sources.py.

from __future__ import annotations

import glob
import re
from collections.abc import Sequence
from pathlib import Path

from ultraface_deploy.detect import picamera
from ultraface_deploy.detect.live import shown_url
from ultraface_deploy.detect.sources import RECONNECT_SECONDS, FrameSource
from ultraface_deploy.errors import InputError
from ultraface_deploy.safe.animations import is_animated, read_animation
from ultraface_deploy.safe.files import native_name, require_file
from ultraface_deploy.safe.images import IMAGE_SUFFIXES, list_images
from ultraface_deploy.safe.opencv import cv2

VIDEO_SUFFIXES = frozenset(
    {".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".flv", ".wmv", ".ts"}
    | {".mts", ".m2ts", ".3gp", ".3g2", ".ogv", ".vob", ".asf", ".mjpg", ".mjpeg", ".mxf"}
)
STREAM_SCHEMES = ("rtsp", "rtsps", "rtmp", "http", "https", "udp", "tcp")
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_CAMERA_DEVICE = re.compile(r"/dev/video(\d{1,3})")
_ANIMATION_FPS = 50.0


def open_sources(sources: Sequence[str], patience: float = RECONNECT_SECONDS) -> FrameSource:
    """Recognise several sources, whose frames come one source after the other.

    Args:
        sources: what the user typed, at least one.
        patience: see `open_source`.

    Raises:
        InputError: one of them is no source.
    """
    parts: list[FrameSource] = []
    for part in (open_source(source, patience) for source in sources):
        if parts and parts[-1].kind == part.kind == "images":
            parts[-1] = _pictures(parts[-1].paths + part.paths)
        else:
            parts.append(part)
    if len(parts) == 1:
        return parts[0]
    counts = [part.count for part in parts if part.count is not None]
    count = sum(counts) if len(counts) == len(parts) else None
    return FrameSource("several", count=count, parts=parts)


def open_source(source: str, patience: float = RECONNECT_SECONDS) -> FrameSource:
    """Recognise a source.

    Digits and `/dev/videoN` are a camera, `picamera2` a Raspberry Pi's camera module; what begins
    like a URL is a stream, which is connected to only because it was typed; then a folder, a video
    file, an image, a glob.

    Args:
        source: what the user typed.
        patience: seconds without a picture after which a stream is given up.

    Raises:
        InputError: there is nothing of that name, or it cannot be opened.
    """
    device = _CAMERA_DEVICE.fullmatch(source)
    if (source.isascii() and source.isdecimal()) or device:
        number = int(device[1] if device else source)
        return FrameSource("camera", camera=number).learn()
    path = Path(source)
    if (module := re.fullmatch(picamera.SOURCE, source)) and not path.exists():
        return FrameSource("camera", camera=int(module[1] or 0), picamera=True).learn()
    if (url := _URL.match(source)) and not path.exists():
        if url[1].lower() not in STREAM_SCHEMES:
            raise InputError(
                f"{shown_url(source)}: streams are read from {', '.join(STREAM_SCHEMES)}; "
                "give such an address"
            )
        return FrameSource("stream", url=source, patience=patience)
    if path.is_dir():
        return _pictures(list_images(path))
    if glob.has_magic(source) and not path.exists():
        # The pattern is the user's own text, which Path.glob cannot take when it is absolute.
        matches = sorted(Path(match) for match in glob.glob(source, recursive=True))  # noqa: PTH207
        found = [match for match in matches if match.suffix.lower() in IMAGE_SUFFIXES]
        if not found:
            raise InputError(f"{source}: matches no image")
        return _pictures(found)
    require_file(path, "image or video")
    if _is_video(path):
        return FrameSource("video", [path]).learn()
    if is_animated(path):
        seconds = [shown for _, shown in read_animation(path)]
        # A video of it repeats what is shown longer.
        fps = min(1 / min(seconds), _ANIMATION_FPS)
        return FrameSource("animation", [path], fps=fps, count=len(seconds))
    return _pictures([path])


def _pictures(paths: list[Path]) -> FrameSource:
    return FrameSource("images", paths, count=len(paths))


def _is_video(path: Path) -> bool:
    """By the suffix, or where it says nothing, by whether OpenCV knows the file as a picture."""
    suffix = path.suffix.lower()
    if suffix in VIDEO_SUFFIXES or suffix in IMAGE_SUFFIXES:
        return suffix in VIDEO_SUFFIXES
    with native_name(path) as native:
        return not cv2.haveImageReader(native)
