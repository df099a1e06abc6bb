"""A network camera that is watched: it dies and comes back."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from tests.detect.streaming import rtsp
from tests.serve.conftest import running
from tests.serve.test_app import events, until
from ultraface_deploy.serve.source import open_live


@pytest.mark.slow
def test_an_rtsp_stream_that_dies_and_comes_back() -> None:
    with ExitStack() as stack:
        with rtsp() as (url, port):
            server = stack.enter_context(running(open_live(url), url))

            def state() -> str:
                return str(server.json("/v1/status")["source"]["state"])

            until(lambda: state() == "running", 60)
            assert any(data["faces"] for name, data in events(server, 8) if name == "faces")
        until(lambda: state() == "waiting", 60)
        assert server.ask("/v1/health").status == 503
        with rtsp(port):
            until(lambda: state() == "running", 60)
            assert server.json("/v1/health") == {"status": "ok"}
