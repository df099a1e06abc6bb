"""Ctrl-C is how a recording of a camera or a stream ends: its files are kept then."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

from ultraface_deploy.cli.console import note
from ultraface_deploy.cli.signals import Interrupted, Terminated

if TYPE_CHECKING:
    from ultraface_deploy.detect.sources import FrameSource


class Recording:
    """Keeps the signal that ends a recording until its files are written.

    Of a video, which has an end of its own, half is no result: there the signal goes on.
    """

    def __init__(self, frames: FrameSource) -> None:
        self._frames = frames
        self._told: BaseException | None = None
        self.pictures = 0
        """How many were looked at."""

    def __enter__(self) -> Recording:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        live = any(part.live for part in self._frames.parts or [self._frames])
        if not (isinstance(error, Interrupted | Terminated) and live and self.pictures):
            return False
        self._told = error
        return True

    def end(self) -> None:
        """Let the signal go on."""
        if self._told is not None:
            note("ended from outside; what was found until then is complete")
            raise self._told
