"""An RTSP stream of GStreamer's server, where the system has that."""

from __future__ import annotations

from itertools import islice

from tests.detect.streaming import rtsp
from ultraface_deploy.detect.detector import Detector
from ultraface_deploy.detect.opening import open_source


def test_faces_of_an_rtsp_stream() -> None:
    with rtsp() as (address, _), Detector.open() as detector:
        frames = list(islice(open_source(address), 3))
        assert [len(detector.detect(frame.image)) for frame in frames] == [1, 1, 1]
