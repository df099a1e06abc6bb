"""One picture of a source, or why there is none."""

# Tested by tests/detect/test_sources.py.

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ultraface_deploy.errors import InputError, MissingDependency
from ultraface_deploy.safe.images import Image
from ultraface_deploy.safe.reduced import Reduction

if TYPE_CHECKING:
    from ultraface_deploy.detect.sources import FrameSource


@dataclass(frozen=True)
class Frame:
    """One picture and where it is from; `index` counts from 0 within a video."""

    name: str
    image: Image
    index: int | None = None
    source: FrameSource | None = None
    """What it was read from; of `several` one of the parts."""
    damage: str | None = None
    """What is wrong with a picture that could be read only in part."""
    reduction: Reduction | None = None
    """How the image lies in the picture, where it was decoded smaller."""
    time: float | None = None
    """When its video or animation shows it, in seconds from the first picture; of a camera or a
    stream when it came."""
    lasts: float | None = None
    """For how many seconds an animation shows it."""
    pixel: float = 1.0
    """How many times as wide as high its pixels are shown."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the whole picture."""
        if self.reduction is not None:
            return self.reduction.width, self.reduction.height
        return self.image.shape[1], self.image.shape[0]


@dataclass(frozen=True)
class Unread:
    """A picture that cannot be read, and why; `alone` if its source has no other."""

    name: str
    error: InputError | MissingDependency
    alone: bool
    index: int | None = None
    known: bool = False
    """Whether an earlier run has written so already."""

    @property
    def reason(self) -> str:
        """What is wrong with it."""
        return str(self.error)


@dataclass(frozen=True)
class Stopped:
    """A video, camera or stream that ended before its time, before picture `index`, and why."""

    name: str
    reason: str
    index: int
    known: bool = False
    """Whether an earlier run has written so already."""


Read = Frame | Unread | Stopped
Pending = Callable[[], Read]
"""A picture that is still to be read and decoded, by any thread."""
