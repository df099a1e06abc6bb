"""What `detect` prints of what it found: a line a picture, of a whole video one line."""

# Tested by tests/cli/test_detect.py.

from __future__ import annotations

from dataclasses import dataclass

from ultraface_deploy.cli.console import line
from ultraface_deploy.detect.frames import Frame
from ultraface_deploy.safe.text import counted


@dataclass
class _Video:
    """What was seen of a video so far."""

    name: str
    faces: int
    least: int
    most: int
    last: int
    frames: int = 1

    def add(self, faces: int) -> None:
        self.frames += 1
        self.faces += faces
        self.least, self.most = min(self.least, faces), max(self.most, faces)
        self.last = faces

    def __str__(self) -> str:
        each = f"{self.least}" if self.least == self.most else f"{self.least} to {self.most}"
        return (
            f"{self.name}: {counted(self.faces, 'face')} in {counted(self.frames, 'picture')}, "
            f"{each} in each"
        )


class Found:
    """Counts faces picture by picture and says so.

    A picture has its own line. A video has one at its end; a camera or stream, which may have no
    end, also one whenever the number of faces changes.
    """

    def __init__(self) -> None:
        self._video: _Video | None = None
        self._pictures = self._faces = self._lines = 0

    def add(self, frame: Frame, faces: int) -> None:
        """Take the number of faces in the next picture."""
        self._pictures += 1
        self._faces += faces
        begins = frame.index in (None, 0) or self._video is None or self._video.name != frame.name
        if begins:
            self._end_video()
        if frame.index is None:
            self._say(f"{frame.name}: {counted(faces, 'face')}")
            return
        changed = self._video is None or self._video.last != faces
        if self._video is None:
            self._video = _Video(frame.name, faces, faces, faces, faces)
        else:
            self._video.add(faces)
        if changed and frame.source is not None and frame.source.kind in ("camera", "stream"):
            line(f"{frame.name} #{frame.index}: {counted(faces, 'face')}")

    def end(self) -> None:
        """Say what is left to say: of the last video, and of all pictures together."""
        self._end_video()
        if self._lines > 1:
            line(f"{counted(self._faces, 'face')} in {counted(self._pictures, 'picture')}")

    def _end_video(self) -> None:
        if self._video is not None:
            self._say(str(self._video))
            self._video = None

    def _say(self, text: str) -> None:
        self._lines += 1
        line(text)
