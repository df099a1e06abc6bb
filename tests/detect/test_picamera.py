"""A Pi's camera module, by a stand-in for picamera2 that behaves as its manual says."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from ultraface_deploy.detect import picamera
from ultraface_deploy.detect.opening import open_source
from ultraface_deploy.errors import InputError, MissingDependency


class StandIn:
    """Picamera2 with one module: BGR arrays for the format RGB888, nothing before start()."""

    free = True

    def __init__(self, number: int = 0) -> None:
        if number > 0:
            raise IndexError("list index out of range")
        if not StandIn.free:
            raise RuntimeError("Camera __init__ sequence did not complete.")
        StandIn.free, self.started = False, False

    def create_video_configuration(self, main: dict[str, Any]) -> dict[str, Any]:
        assert main["format"] == "RGB888"
        return main

    def configure(self, configuration: dict[str, Any]) -> None:
        self.width, self.height = configuration["size"]

    def start(self) -> None:
        self.started = True

    def capture_array(self, name: str) -> np.ndarray:
        assert self.started and name == "main"
        picture = np.zeros((self.height, self.width, 3), np.uint8)
        picture[..., 0] = 255
        return picture

    def stop(self) -> None:
        self.started = False

    def close(self) -> None:
        StandIn.free = True


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> None:
    made = ModuleType("picamera2")
    made.__spec__ = ModuleSpec("picamera2", None)
    made.Picamera2 = StandIn  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "picamera2", made)
    monkeypatch.setattr(StandIn, "free", True)


@pytest.mark.parametrize("source", ["picamera2", "picamera2:0"])
def test_pictures_are_read_and_the_camera_is_given_back(module: None, source: str) -> None:
    frames = iter(open_source(source))
    first, second = next(frames), next(frames)
    assert (first.name, first.index, second.index) == ("picamera2:0", 0, 1)
    assert first.image.shape == (480, 640, 3)
    assert first.image[0, 0].tolist() == [255, 0, 0]
    frames.close()  # type: ignore[attr-defined]
    assert StandIn.free


@pytest.mark.parametrize("source", ["picamera2:1", "picamera2"])
def test_no_such_camera_or_one_in_use(module: None, source: str) -> None:
    StandIn.free = False
    with pytest.raises(InputError, match=r"picamera2:\d: cannot be opened"):
        open_source(source)


def test_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picamera, "find_spec", lambda name: None)
    with pytest.raises(MissingDependency, match="sudo apt install python3-picamera2"):
        open_source("picamera2")
