"""A Raspberry Pi's camera module through picamera2, which comes with Pi OS and not from PyPI."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from ultraface_deploy.errors import InputError, MissingDependency

SOURCE = r"picamera2(?::(\d))?"
"""How it is asked for on the command line; the number tells several modules apart."""


class PiCamera:
    """Looks like `cv2.VideoCapture`, as far as pictures are read here.

    Raises:
        MissingDependency: picamera2 is not installed; says how to install it.
        InputError: there is no such camera, or another program has it.
    """

    def __init__(self, number: int = 0) -> None:
        if find_spec("picamera2") is None:
            raise MissingDependency(
                "the source picamera2 needs Pi OS's package: sudo apt install python3-picamera2, "
                "in a virtual environment made with --system-site-packages"
            )
        from picamera2 import Picamera2

        try:
            self._camera = Picamera2(number)
            # Its RGB888 names the bytes from the last to the first: the array is BGR.
            main = {"format": "RGB888", "size": (640, 480)}
            self._camera.configure(self._camera.create_video_configuration(main=main))
            self._camera.start()
        except (RuntimeError, IndexError) as error:
            raise InputError(
                f"picamera2:{number}: cannot be opened ({error}); "
                "connect it, and close what else uses it"
            ) from error

    def isOpened(self) -> bool:  # noqa: N802 - OpenCV's name
        """Whether pictures can be read."""
        return True

    def read(self) -> tuple[bool, Any]:
        """Return the newest picture, (480, 640, 3) uint8 BGR."""
        return True, self._camera.capture_array("main")

    def release(self) -> None:
        """Give the camera back."""
        self._camera.stop()
        self._camera.close()
