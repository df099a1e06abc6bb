"""An RTSP stream of GStreamer's server, where the system has that."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from ultraface_deploy.detect.detector import Detector
from ultraface_deploy.detect.sources import open_source
from ultraface_deploy.safe.images import DEMO_PHOTO

SYSTEM_PYTHON = Path("/usr/bin/python3")


@pytest.fixture
def address() -> Iterator[str]:
    if not SYSTEM_PYTHON.exists():
        pytest.skip("the system has no Python of its own, for GStreamer's bindings")
    script = Path(__file__).with_name("rtsp_server.py")
    server = subprocess.Popen(
        [str(SYSTEM_PYTHON), str(script), str(DEMO_PHOTO)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert server.stdout is not None
        port = server.stdout.readline().strip()
        if not port.isdecimal():
            pytest.skip("needs GStreamer's RTSP server: gir1.2-gst-rtsp-server-1.0, python3-gi")
        yield f"rtsp://127.0.0.1:{port}/faces"
    finally:
        server.kill()
        server.communicate()


def test_faces_of_an_rtsp_stream(address: str) -> None:
    with Detector.open() as detector:
        frames = list(islice(open_source(address), 3))
        assert [len(detector.detect(frame.image)) for frame in frames] == [1, 1, 1]
