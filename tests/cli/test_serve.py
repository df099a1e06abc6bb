"""`serve` as typed: what is refused before anything is loaded, what is printed, how it ends."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.conftest import ROOT, Cli, hear_ctrl_c
from ultraface_deploy.cli import serve
from ultraface_deploy.safe.images import DEMO_PHOTO, read_image

needs_packages = pytest.mark.skipif(
    any(serve.find_spec(name) is None for name in serve._PACKAGES), reason="needs the extra serve"
)


@pytest.fixture
def nothing_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    from ultraface_deploy.detect import detector

    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr(detector, "open_detector", refuse)


@needs_packages
@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--source", "none.mp4"), "none.mp4: no such image or video"),
        (("--source", str(DEMO_PHOTO)), "POST them to /v1/detect"),
        (("--source", "ftp://host/x"), "ftp://host/x: streams are read from"),
        (("--precision", "fp9"), "fp9"),
        (("--input-size", "big"), "big"),
        (("--token", "short"), "--token: give at least 16"),
        (("--listen", "nowhere.invalid"), "--listen nowhere.invalid: give an address"),
        (("--device", "none"), "none"),
    ],
)
def test_what_is_wrong_is_said_at_once(
    cli: Cli, nothing_is_loaded: None, arguments: tuple[str, ...], problem: str
) -> None:
    done = cli("serve", *arguments)
    assert done.code == 2
    assert problem in done.error


@needs_packages
def test_a_port_that_is_taken(cli: Cli, nothing_is_loaded: None) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = cli("serve", "--port", taken.getsockname()[1])
    assert done.code == 2
    assert "already in use; choose another port" in done.error


@pytest.mark.parametrize("package", serve._PACKAGES)
def test_without_a_package_of_the_extra(
    cli: Cli, nothing_is_loaded: None, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    found = serve.find_spec
    monkeypatch.setattr(serve, "find_spec", lambda name: None if name == package else found(name))
    done = cli("serve", "--source", "none.mp4")
    assert done.code == 3
    assert "pip install 'ultraface-deploy[serve]'" in done.error


@contextmanager
def started(*arguments: str, **environment: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the command and yield it with the last line of its output that is an address."""
    command = [sys.executable, "-m", "ultraface_deploy", "serve", "--port", "0", *arguments]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hear_ctrl_c,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        # The note comes after the addresses.
        assert process.stderr.readline() == "Ctrl-C ends\n", process.stderr.read()
        os.set_blocking(process.stdout.fileno(), False)
        yield process, process.stdout.read().splitlines()[-1]
    finally:
        process.kill()
        process.wait()


def ask(
    address: str, path: str, body: bytes | None = None, **headers: str
) -> http.client.HTTPResponse:
    found = re.match(r"http://([\w.]+):(\d+)/", address)
    assert found, address
    connection = http.client.HTTPConnection(found[1], int(found[2]), timeout=30)
    connection.request("GET" if body is None else "POST", path, body, headers)
    return connection.getresponse()


@needs_packages
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_when_it_is_told(number: signal.Signals, shared: Path) -> None:
    """At once, also while somebody watches."""
    clip = shared / "video/short_clip.mp4"
    with started("--source", str(clip)) as (process, address):
        watching = ask(address, "/v1/video")
        assert watching.read(100)
        process.send_signal(number)
        assert process.wait(20) == 0
        assert process.stderr is not None
        assert process.stderr.read() == "ended\n"


STRUCK = """
import asyncio, os, sys
import uvicorn
from ultraface_deploy.cli import app

when, number = sys.argv[1], int(sys.argv[2])

def strike():
    os.kill(os.getpid(), number)

if when == "before it listens":
    honest = uvicorn.Server.capture_signals
    def struck(self):
        strike()
        return honest(self)
    uvicorn.Server.capture_signals = struck
else:
    honest = uvicorn.Server.startup
    async def struck(self, sockets=None):
        await honest(self, sockets)
        asyncio.get_running_loop().call_soon(strike)
    uvicorn.Server.startup = struck
app.main(["serve", "--port", "0"])
"""


@needs_packages
@pytest.mark.parametrize("when", ["before it listens", "in a call of the event loop"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_it_ends_whenever_it_is_told(number: signal.Signals, when: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", STRUCK, when, str(int(number))],
        **{"cwd": ROOT, "capture_output": True, "text": True, "timeout": 120},
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "Ctrl-C ends\nended\n")


@needs_packages
def test_the_proportions_are_kept_as_detect_keeps_them(cli: Cli, tmp_path: Path) -> None:
    """Of a picture that is sent, and of the source, which shows the same all the time."""
    wide = cv2.copyMakeBorder(read_image(DEMO_PHOTO), 0, 0, 500, 500, cv2.BORDER_REFLECT)
    photo, clip = tmp_path / "wide.png", tmp_path / "wide.avi"
    cv2.imwrite(str(photo), wide)
    writer = cv2.VideoWriter(str(clip), cv2.VideoWriter.fourcc(*"FFV1"), 10, wide.shape[1::-1])
    if not writer.isOpened():
        pytest.skip("this OpenCV writes no video")
    for _ in range(20):
        writer.write(wide)
    writer.release()

    def truth(source: Path, *options: str) -> list[list[float]]:
        done = cli("detect", source, "--limit", 1, "--json", "-", *options)
        return [face["box"] for face in json.loads(done.out)["results"][0]["faces"]]

    with started("--source", str(clip), "--keep-aspect") as (_, address):
        sent = json.loads(ask(address, "/v1/detect", body=photo.read_bytes()).read())
        events = ask(address, "/v1/events")
        watched = None
        while watched is None:
            line = events.readline()
            assert line
            if line.startswith(b"data: ") and "faces" in (data := json.loads(line[6:])):
                watched = data if "picture" in data else None
        status = json.loads(ask(address, "/v1/status").read())
    assert status["model"]["keep_aspect"] is True
    assert status["source"]["name"] == "wide.avi"
    for found, source in ((sent, photo), (watched, clip)):
        boxes = [face["box"] for face in found["faces"]]
        wanted = truth(source, "--keep-aspect")
        assert wanted
        np.testing.assert_allclose(boxes, wanted, atol=0.01)
        stretched = truth(source)
        assert len(stretched) != len(boxes) or not np.allclose(boxes, stretched, atol=0.5)


@needs_packages
def test_to_others_with_a_token_alone(tmp_path: Path) -> None:
    with started("--listen", "0.0.0.0") as (_, address):
        token = re.search(r"\?token=([\w-]{32})$", address)
        assert token, address
        assert ask(address, "/v1/status").status == 401
        allowed = ask(address, "/v1/status", Authorization=f"Bearer {token[1]}")
        assert json.loads(allowed.read())["source"] is None


@needs_packages
def test_ones_own_token() -> None:
    own = "my-own-token-of-25-letters"
    with started(ULTRAFACE_DEPLOY_TOKEN=own) as (_, address):
        assert own not in address
        assert ask(address, "/v1/status").status == 401
        assert ask(address, "/v1/status", Authorization=f"Bearer {own}").status == 200
