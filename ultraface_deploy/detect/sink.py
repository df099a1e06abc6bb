"""What every place where results go can do."""

# Tested by tests/detect/test_sinks.py.

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from ultraface_deploy.detect.frames import Frame, Stopped, Unread
from ultraface_deploy.pipeline import Faces


class Sink(ABC):
    """Somewhere the result for a frame goes."""

    @abstractmethod
    def prepare(self, frame: Frame, faces: Faces) -> Any:
        """Make what `write` needs, in any thread and order: painting, encoding, formatting."""

    @abstractmethod
    def write(self, frame: Frame, prepared: Any) -> None:
        """Take what `prepare` made of one frame; in the frames' order."""

    def miss(self, unread: Unread | Stopped) -> None:  # noqa: B027 - most have no place for it
        """Take what could not be read, at its place in the order."""


class StopRequested(Exception):  # noqa: N818 - no error
    """The person at the screen wants no more frames."""
