"""A running server, its source a video with a face that moves."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.serve.load import write_clip
from ultraface_deploy.detect.detector import Detector

for package in ("starlette", "uvicorn", "prometheus_client"):
    pytest.importorskip(package, reason="part of the extra serve")


@dataclass(frozen=True)
class Server:
    """Where a server runs in this process."""

    port: int
    parts: Any

    def ask(
        self,
        path: str,
        method: str = "GET",
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> http.client.HTTPResponse:
        """Return an answer, whose body is still to be read."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request(method, path, body, headers or {})
        return connection.getresponse()

    def json(self, path: str, **options: Any) -> Any:
        """Return an answer's JSON."""
        return json.loads(self.ask(path, **options).read())


@contextmanager
def running(
    source: Any = None, name: str = "", token: str | None = None, port: int = 0, **options: Any
) -> Iterator[Server]:
    """Run a server in a thread of this process."""
    from ultraface_deploy.serve.app import Parts
    from ultraface_deploy.serve.live import Watched
    from ultraface_deploy.serve.server import bind, make_server

    watched = None if source is None else Watched(source, name)
    with Detector.open() as one, Detector.open() as two:
        parts = Parts.of(one, two, watched, token=token, **options)
        server = make_server(parts)
        with bind("127.0.0.1", port) as bound:
            port = bound.getsockname()[1]
            thread = threading.Thread(target=server.run, args=([bound],))
            thread.start()
            try:
                yield Server(port, parts)
            finally:
                server.should_exit = True
                thread.join(30)
                assert not thread.is_alive(), "the server did not end"


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seconds of a face that moves to the right, 640x480."""
    path = tmp_path_factory.mktemp("clip") / "face.avi"
    if not write_clip(path):
        pytest.skip("this OpenCV writes no video")
    return path


@pytest.fixture(scope="module")
def server(clip: Path) -> Iterator[Server]:
    """A server that watches the clip, without a token."""
    from ultraface_deploy.serve.source import open_live

    with running(open_live(str(clip)), str(clip)) as started:
        yield started
