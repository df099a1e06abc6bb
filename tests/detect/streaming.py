"""An RTSP stream of GStreamer's server, where the system has that."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ultraface_deploy.safe.images import DEMO_PHOTO

_SYSTEM_PYTHON = Path("/usr/bin/python3")


@contextmanager
def rtsp(port: int = 0) -> Iterator[tuple[str, int]]:
    """Stream the photograph that ships, with one face; gives the address and the port."""
    if not _SYSTEM_PYTHON.exists():
        pytest.skip("the system has no Python of its own, for GStreamer's bindings")
    script = Path(__file__).with_name("rtsp_server.py")
    server = subprocess.Popen(
        [str(_SYSTEM_PYTHON), str(script), str(DEMO_PHOTO), str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert server.stdout is not None
        said = server.stdout.readline().strip()
        if not said.isdecimal():
            pytest.skip("needs GStreamer's RTSP server: gir1.2-gst-rtsp-server-1.0, python3-gi")
        yield f"rtsp://127.0.0.1:{said}/faces", int(said)
    finally:
        server.kill()
        server.communicate()
