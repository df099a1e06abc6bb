"""How large a file from elsewhere may be before anything parses it.

Each limit can be raised by the environment variable that the refusal names.
"""

from __future__ import annotations

import os
from enum import Enum
from pathlib import Path

from ultraface_deploy.errors import InputError

_MB = 1 << 20

PIXELS = "OPENCV_IO_MAX_IMAGE_PIXELS"
"""OpenCV's own limit on the pixels of a picture, which it reads once, when it is imported."""
_DEFAULT_PIXELS = 100_000_000


def limit_pixels() -> None:
    """Lower OpenCV's limit from 2^30 pixels (3 GB), unless the user has set it."""
    os.environ.setdefault(PIXELS, str(_DEFAULT_PIXELS))


def too_many_pixels(name: str) -> InputError:
    """Return what refuses a picture with more pixels than that, called by its name."""
    return InputError(
        f"{name}: has more than {os.environ[PIXELS]} pixels; for a picture you trust set {PIXELS}"
    )


_WRITTEN_BY_HAND = 256 << 10


def require_short(path: Path, most: int = _WRITTEN_BY_HAND) -> None:
    """Refuse a file whose reader takes very much for each byte, where none is that long.

    Args:
        path: the file; the default is for settings (YAML, TOML), whose readers are written in
            Python and take seconds for a megabyte.
        most: bytes that it may have.

    Raises:
        InputError: it is longer.
    """
    size = path.stat().st_size if path.is_file() else 0
    if size > most:
        raise InputError(
            f"{path}: {size >> 10} KiB are more than the {most >> 10} of any such file"
        )


class Limit(Enum):
    """A limit: the environment variable that sets it, and its default in MiB."""

    MODEL = ("ULTRAFACE_DEPLOY_MAX_MODEL_MB", 1024)
    """A model file, and the memory that loading one of unknown origin may take."""
    PICTURE = ("ULTRAFACE_DEPLOY_MAX_PICTURE_MB", 256)
    """An encoded picture; how many pixels it may have is OpenCV's limit."""
    TEXT = ("ULTRAFACE_DEPLOY_MAX_TEXT_MB", 32)
    """Manifests, labels, tables, results: parsed they take about thirty times their size."""

    @property
    def bytes(self) -> int:
        """The limit that holds now.

        Raises:
            InputError: the environment variable is not a number.
        """
        variable, default = self.value
        text = os.environ.get(variable, str(default))
        if not (text.isascii() and text.isdecimal() and 0 < len(text) < 10):
            raise InputError(f"{variable}={text[:20]}: give a whole number of MiB")
        return int(text) * _MB

    def check(self, path: Path, size: int | None = None) -> None:
        """Refuse a file that is larger, or that says it unpacks to more.

        Args:
            path: the file; a missing one passes, for its reader to report.
            size: bytes that its content will take, where that is not the file's own size.

        Raises:
            InputError: says how to raise the limit.
        """
        if size is None:
            size = path.stat().st_size if path.is_file() else 0
        if size > self.bytes:
            raise InputError(
                f"{path}: {size // _MB} MiB are more than the {self.bytes // _MB} allowed; "
                f"for a file you trust set {self.value[0]}"
            )
