"""The server as a program sees it, over a real socket."""

from __future__ import annotations

import gzip
import json
import re
import socket
import struct
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import jsonschema
import numpy as np
import pytest

from tests.serve.conftest import Server, running
from ultraface_deploy.detect.detector import Detector
from ultraface_deploy.safe.images import DEMO_PHOTO, read_image
from ultraface_deploy.serve import app, detecting
from ultraface_deploy.serve.looking import face_records
from ultraface_deploy.serve.openapi import document
from ultraface_deploy.serve.source import open_live

PHOTO = DEMO_PHOTO.read_bytes()
TOKEN = "a-token-of-24-characters"


@pytest.fixture(scope="module")
def alone() -> Iterator[Server]:
    """A server without a source that needs a token, takes 1 MiB and two pictures at once."""
    with running(token=TOKEN, most_mb=1, at_once=2) as started:
        yield started


def with_token(**more: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {TOKEN}", **more}


# ---- Pictures that are sent ----


def test_the_same_faces_as_detect(server: Server) -> None:
    found = server.json("/v1/detect", method="POST", body=PHOTO)
    with Detector.open() as detector:
        wanted = detector.detect(read_image(DEMO_PHOTO))
    assert found["faces"] == face_records(wanted)
    assert (found["width"], found["height"]) == (512, 512)
    assert found["damage"] is None
    assert set(found["milliseconds"]) == {"decode", "preprocess", "network", "postprocess"}


def test_a_threshold_of_ones_own(server: Server) -> None:
    count = [
        len(server.json(f"/v1/detect?threshold={each}", method="POST", body=PHOTO)["faces"])
        for each in (0.001, 0.5, 1)
    ]
    assert count[0] > count[1] > count[2] == 0
    for wrong in ("2", "-1", "nan", "x", ""):
        answer = server.ask(f"/v1/detect?threshold={wrong}", method="POST", body=PHOTO)
        assert answer.status == 400
        assert "threshold" in json.loads(answer.read())["error"]


@pytest.mark.parametrize("suffix", [".png", ".webp", ".bmp"])
def test_other_kinds_of_pictures(server: Server, suffix: str) -> None:
    body = cv2.imencode(suffix, read_image(DEMO_PHOTO))[1].tobytes()
    assert len(server.json("/v1/detect", method="POST", body=body)["faces"]) == 1


def test_a_picture_that_is_cut_off_says_so(server: Server) -> None:
    found = server.json("/v1/detect", method="POST", body=PHOTO[: len(PHOTO) // 2])
    assert "cut off" in found["damage"]


@pytest.mark.parametrize(
    ("body", "headers", "status", "problem"),
    [
        (b"", {}, 400, "nothing was sent; send the picture"),
        (b"no picture", {}, 400, "the picture: not an image"),
        (b"x" * (1 << 20) + b"x", {}, 413, "the picture has more than 1 MiB"),
        (PHOTO, {"Content-Type": "multipart/form-data; boundary=x"}, 415, "--data-binary"),
        (gzip.compress(PHOTO), {"Content-Encoding": "gzip"}, 415, "Content-Encoding gzip: send"),
    ],
)
def test_what_is_refused(
    alone: Server, body: bytes, headers: dict[str, str], status: int, problem: str
) -> None:
    answer = alone.ask("/v1/detect", "POST", body, with_token(**headers))
    assert answer.status == status
    assert problem in json.loads(answer.read())["error"]


def test_which_content_coding_is_taken(alone: Server) -> None:
    body = gzip.compress(PHOTO)
    answer = alone.ask("/v1/detect", "POST", body, with_token(**{"Content-Encoding": "gzip"}))
    coding = answer.headers["Accept-Encoding"]
    taken = alone.ask("/v1/detect", "POST", PHOTO, with_token(**{"Content-Encoding": coding}))
    assert taken.status == 200


def test_a_body_of_unknown_length_is_bounded_too(alone: Server) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(64):
            yield b"x" * (1 << 15)

    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", alone.port, timeout=30)
    try:
        connection.request("POST", "/v1/detect", chunks(), with_token())
        assert connection.getresponse().status == 413
    except (BrokenPipeError, ConnectionResetError):
        pass  # it was closed while we were still sending


def test_a_picture_of_too_many_pixels(alone: Server) -> None:
    """The claim of a PNG's header, before anything is decoded."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        crc = zlib.crc32(kind + data).to_bytes(4, "big")
        return len(data).to_bytes(4, "big") + kind + data + crc

    header = struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(100))
    body = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels)
    answer = alone.ask("/v1/detect", "POST", body + chunk(b"IEND", b""), with_token())
    assert answer.status == 400
    assert "pixels" in json.loads(answer.read())["error"]


def half(server: Server, content: bytes, of: int) -> socket.socket:
    """Send a part of a picture of so many bytes."""
    made = socket_to(server)
    head = f"POST /v1/detect HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
    made.sendall(f"{head}Content-Length: {of}\r\n\r\n".encode() + content)
    return made


def test_too_many_at_once(alone: Server) -> None:
    """Two wait, a third is told to come again."""
    detecting = alone.parts.detecting
    go = threading.Event()
    detecting._thread.submit(go.wait)
    try:
        waiting = [half(alone, PHOTO, len(PHOTO)) for _ in range(2)]
        until(lambda: detecting._free == 0)
        answer = alone.ask("/v1/detect", "POST", PHOTO, with_token())
        assert answer.status == 503
        assert int(answer.headers["Retry-After"]) >= 1
    finally:
        go.set()
    for each in waiting:
        assert each.recv(4096).startswith(b"HTTP/1.1 200 ")
        each.close()
    until(lambda: detecting._free == 2)
    assert detecting._room == 2 << 20


def test_halves_of_pictures_keep_nobody_out(alone: Server) -> None:
    """Only what has arrived takes room, and all of it is let go with the connection."""
    detecting = alone.parts.detecting
    halves = [half(alone, b"x", 1000) for _ in range(20)]
    until(lambda: detecting._room == (2 << 20) - 20)
    assert alone.ask("/v1/detect", "POST", PHOTO, with_token()).status == 200
    most = 1 << 20
    halves += [half(alone, b"x" * (most - 1000), most) for _ in range(2)]
    until(lambda: detecting._room < 2000)
    answer = alone.ask("/v1/detect", "POST", PHOTO, with_token())
    assert answer.status == 503
    assert answer.headers["Retry-After"]
    for each in halves:
        each.close()
    until(lambda: detecting._room == 2 << 20)


def test_a_body_that_stops_arriving_is_given_up(
    alone: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detecting, "_CHUNK_S", 0.2)
    with half(alone, b"half", 1000) as connection:
        assert connection.recv(4096).startswith(b"HTTP/1.1 408 ")
    until(lambda: alone.parts.detecting._room == 2 << 20)


# ---- The source ----


def events(server: Server, count: int, path: str = "/v1/events") -> list[tuple[str, Any]]:
    """Read so many events."""
    answer = server.ask(path)
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    found: list[tuple[str, Any]] = []
    name = ""
    while len(found) < count:
        line = answer.readline().decode().rstrip("\n")
        if line.startswith("event: "):
            name = line[7:]
        if line.startswith("data: "):
            found.append((name, json.loads(line[6:])))
    answer.close()
    return found


def parts(server: Server, count: int) -> list[tuple[int, bytes]]:
    """Read so many pictures."""
    answer = server.ask("/v1/video")
    found = []
    for _ in range(count):
        assert answer.readline() == b"--picture\r\n"
        head = {}
        while line := answer.readline().strip():
            name, _, value = line.decode().partition(": ")
            head[name] = value
        found.append((int(head["X-Picture"]), answer.read(int(head["Content-Length"]))))
        assert answer.readline() == b"\r\n"
    answer.close()
    return found


def test_faces_of_the_source(server: Server) -> None:
    found = events(server, 12)
    faces = [data for name, data in found if name == "faces"]
    numbers = [data["picture"] for data in faces]
    assert numbers == sorted(set(numbers))
    assert all(len(data["faces"]) in (1, 2) for data in faces)
    assert all(abs(data["unix_time"] - time.time()) < 60 for data in faces)
    assert all((data["width"], data["height"]) == (640, 480) for data in faces)
    status = [data for name, data in found if name == "status"]
    assert status
    assert status[-1]["board"]["own_memory_mb"] > 10


def test_the_picture_and_its_faces_have_one_number(server: Server) -> None:
    """What is found in a picture of the stream is what the events said of that number."""
    told: dict[int, Any] = {}

    def listen() -> None:
        told.update({data["picture"]: data for name, data in events(server, 30) if name == "faces"})

    listener = threading.Thread(target=listen)
    listener.start()
    shown = parts(server, 12)
    listener.join()
    both = [(number, jpeg) for number, jpeg in shown if number in told]
    assert len(both) > 3
    with Detector.open() as detector:
        for number, jpeg in both:
            image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
            found = detector.detect(image)
            # A JPEG of quality 80 in between.
            np.testing.assert_allclose(found.boxes[0], told[number]["faces"][0]["box"], atol=8)


def test_a_lower_threshold_tells_more(server: Server) -> None:
    def most(path: str) -> int:
        return max(len(d["faces"]) for n, d in events(server, 8, path) if n == "faces")

    assert most("/v1/events?threshold=1") == 0
    assert most("/v1/events?threshold=0.3") >= most("/v1/events")


def test_one_picture(server: Server) -> None:
    answer = server.ask("/v1/picture.jpg")
    assert answer.headers["Content-Type"] == "image/jpeg"
    assert int(answer.headers["X-Picture"]) > 0
    image = cv2.imdecode(np.frombuffer(answer.read(), np.uint8), cv2.IMREAD_COLOR)
    assert image.shape == (480, 640, 3)


def test_how_it_is(server: Server) -> None:
    events(server, 2)
    assert server.json("/v1/health") == {"status": "ok"}
    status = server.json("/v1/status")
    assert status["model"]["name"] == "slim-320"
    assert status["source"]["state"] == "running"
    assert status["pictures_per_second"] > 0
    assert {"read", "wait", "network"} <= set(status["milliseconds"])
    history = server.json("/v1/history")
    assert history["counts"][-1]["most"] in (1, 2)
    text = server.ask("/metrics").read().decode()
    assert re.search(r"^ultraface_pictures_total [1-9]", text, re.M)
    assert "ultraface_source_up 1.0" in text


def test_nobody_looks_and_nothing_is_encoded(server: Server) -> None:
    assert server.parts.live is not None
    until(lambda: server.parts.live.watching.number == 0)
    # One was perhaps begun while somebody looked.
    for _ in range(3):
        before = server.parts.live.pictures.value
        events(server, 6)
        if server.parts.live.pictures.value is before:
            break
    assert server.parts.live.pictures.value is before
    parts(server, 1)
    assert server.parts.live.pictures.value is not before


def test_head_does_not_stream(server: Server) -> None:
    for path in ("/v1/video", "/v1/events"):
        assert server.ask(path, "HEAD").status == 200


def test_too_many_viewers(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    from ultraface_deploy.serve import streams

    monkeypatch.setattr(streams, "MOST_VIEWERS", 0)
    answer = server.ask("/v1/video")
    assert answer.status == 503
    assert answer.headers["Retry-After"] == "10"


def test_too_many_requests(monkeypatch: pytest.MonkeyPatch, clip: Path) -> None:
    monkeypatch.setattr(app, "MOST_REQUESTS", 2)
    with running(open_live(str(clip)), str(clip)) as small:
        streams = [small.ask("/v1/events") for _ in range(2)]
        answer = small.ask("/v1/status")
        assert answer.status == 503
        assert answer.headers["Retry-After"] == "1"
        for each in streams:
            each.close()
        until(lambda: small.ask("/v1/status").status == 200)


def test_without_a_source(alone: Server) -> None:
    assert alone.json("/v1/status", headers=with_token())["source"] is None
    assert alone.json("/v1/health") == {"status": "ok"}
    for path in ("/v1/video", "/v1/events", "/v1/history", "/v1/picture.jpg"):
        answer = alone.ask(path, headers=with_token())
        assert answer.status == 404
        assert "without a source" in json.loads(answer.read())["error"]
    assert b"For programs" in alone.ask("/", headers=with_token()).read()


# ---- What it says of itself ----


def test_every_address_is_described(server: Server) -> None:
    described = set(document()["paths"])
    routes = {
        route.path
        for route in app.build_app(server.parts).routes
        if route.path.startswith(("/v1", "/metrics"))  # type: ignore[attr-defined]
    }
    assert routes - {"/v1/openapi.json"} == described
    assert server.json("/v1/openapi.json") == document()


def test_answers_are_as_described(server: Server) -> None:
    schemas = document()["components"]["schemas"]
    found = {"$ref": "#/components/schemas/Found", "components": {"schemas": schemas}}
    jsonschema.validate(server.json("/v1/detect", method="POST", body=PHOTO), found)
    problem = {"$ref": "#/components/schemas/Problem", "components": {"schemas": schemas}}
    jsonschema.validate(server.json("/v1/detect", method="POST", body=b"x"), problem)
    history = document()["paths"]["/v1/history"]["get"]["responses"]["200"]["content"]
    jsonschema.validate(server.json("/v1/history"), history["application/json"]["schema"])


def test_what_is_not_there(server: Server) -> None:
    for path in ("/none", "/static/../app.py", "/static/%2e%2e/app.py", "/v1/"):
        assert server.ask(path).status == 404
    assert server.ask("/v1/detect").status == 405


def test_the_pages_name_nothing_elsewhere() -> None:
    for page in Path(app.STATIC).iterdir():
        text = page.read_text().replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://|//\w+\.\w", text), page


def socket_to(server: Server) -> socket.socket:
    made = socket.create_connection(("127.0.0.1", server.port))
    made.settimeout(20)
    return made


def until(condition: Any, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)
