"""Sources: pictures of every kind, animations, videos of any name, streams on loopback."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.conftest import noise, noise_video
from tests.safe.test_animations import KINDS, LEVELS, animate
from ultraface_deploy.detect.live import shown_url
from ultraface_deploy.detect.opening import open_source
from ultraface_deploy.errors import InputError, MissingDependency
from ultraface_deploy.safe.images import read_image


@pytest.mark.parametrize("suffix", KINDS)
def test_an_animation_is_a_video(tmp_path: Path, suffix: str) -> None:
    path = animate(tmp_path / f"a{suffix}")
    source = open_source(str(path))
    assert (source.kind, source.count) == ("animation", 4)
    assert source.fps == pytest.approx(5)
    found = list(source)
    assert [frame.index for frame in found] == [0, 1, 2, 3]
    assert [frame.image.mean() for frame in found] == pytest.approx(LEVELS, abs=8)


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_a_single_picture_of_such_a_kind_is_a_picture(tmp_path: Path, suffix: str) -> None:
    if not cv2.haveImageWriter(f"a{suffix}"):
        pytest.skip(f"this OpenCV writes no {suffix}")
    assert cv2.imwrite(str(tmp_path / f"a{suffix}"), noise(64, 48))
    source = open_source(str(tmp_path / f"a{suffix}"))
    assert source.kind == "images" and [frame.index for frame in source] == [None]


def test_one_list_of_suffixes_for_files_and_folders(tmp_path: Path) -> None:
    encoded = cv2.imencode(".jpg", noise(64, 48))[1].tobytes()
    for suffix in (".jpg", ".JPG", ".jfif", ".jpe"):
        (tmp_path / f"a{suffix}").write_bytes(encoded)
    kinds = [kind for kind in (".gif", ".jp2", ".avif", ".pgm") if cv2.haveImageWriter(f"b{kind}")]
    for suffix in kinds:
        image = noise(64, 48)[..., 0] if suffix == ".pgm" else noise(64, 48)
        assert cv2.imwrite(str(tmp_path / f"b{suffix}"), image)
    folder = open_source(str(tmp_path))
    assert len(list(folder)) == folder.count == 4 + len(kinds) and not folder.unreadable
    for path in tmp_path.iterdir():
        assert len(list(open_source(str(path)))) == 1


def test_an_animation_in_a_folder_gives_all_its_pictures(tmp_path: Path) -> None:
    animate(tmp_path / "a.gif")
    cv2.imwrite(str(tmp_path / "b.png"), noise(64, 48))
    frames = list(open_source(str(tmp_path)))
    assert [frame.index for frame in frames] == [0, 1, 2, 3, None]


@pytest.mark.parametrize("progressive", [0, 1])
@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
def test_a_jpeg_that_is_cut_off_is_read_and_named(
    tmp_path: Path, progressive: int, share: float, caplog: pytest.LogCaptureFixture
) -> None:
    picture = cv2.GaussianBlur(noise(320, 240), (9, 9), 3)
    options = [cv2.IMWRITE_JPEG_PROGRESSIVE, progressive]
    encoded = cv2.imencode(".jpg", picture, options)[1].tobytes()
    path = tmp_path / "cut.jpg"
    path.write_bytes(encoded[: int(len(encoded) * share)])
    source = open_source(str(path))
    (frame,) = source
    assert frame.image.shape == (240, 320, 3) and not source.unreadable
    assert len(source.damaged) == 1 and "cut.jpg" in source.damaged[0]
    read_image(path)
    assert "cut off" in caplog.text
    path.write_bytes(encoded)
    whole = open_source(str(path))
    list(whole)
    assert not whole.damaged


def test_a_thumbnail_within_does_not_hide_that_the_picture_is_cut_off(tmp_path: Path) -> None:
    small = cv2.imencode(".jpg", noise(16, 16))[1].tobytes()
    large = cv2.imencode(".jpg", noise(320, 240))[1].tobytes()
    segment = b"\xff\xe1" + (len(small) + 2).to_bytes(2, "big") + small
    path = tmp_path / "a.jpg"
    path.write_bytes(large[:2] + segment + large[2:])
    whole = open_source(str(path))
    assert len(list(whole)) == 1 and not whole.damaged
    path.write_bytes((large[:2] + segment + large[2:])[:-5000])
    cut = open_source(str(path))
    assert len(list(cut)) == 1 and cut.damaged


def test_heic_without_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    path = tmp_path / "a.heic"
    path.write_bytes(b"\0\0\0\x18ftypheic" + bytes(64))
    with pytest.raises(MissingDependency, match="pillow-heif"):
        list(open_source(str(path)))
    cv2.imwrite(str(tmp_path / "b.png"), noise(64, 48))
    folder = open_source(str(tmp_path))
    assert len(list(folder)) == 1 and "pillow-heif" in folder.unreadable[0]


@pytest.mark.parametrize("name", ["a.flv", "a.wmv", "a.ts", "a.3gp", "a", "a.video", "a.MJPG"])
def test_videos_of_any_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.avi"
    noise_video(path, 6)
    path.rename(tmp_path / name)
    source = open_source(str(tmp_path / name))
    assert source.kind == "video" and len(list(source)) == 6


def test_a_file_that_is_neither_says_so(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("hello, no picture at all\n" * 50)
    with pytest.raises(InputError, match="is it a picture, or a video"):
        open_source(str(tmp_path / "notes"))


def test_addresses_are_shown_as_typed_and_without_the_password() -> None:
    for typed, shown in {
        "rtsp://me:secret@cam:554/a": "rtsp://***@cam:554/a",
        "rtsp://me:se@cr/e?t@cam/a": "rtsp://***@cam/a",
        "http://board:8000/v1/video?token=secret": "http://board:8000/v1/video?token=***",
        "rtsp://cam/a?channel=12&pin=1234&secret&t=a=b": "rtsp://cam/a?channel=12&pin=***&***&t=***",
        "http://host/a.mp4": "http://host/a.mp4",
        "me@home=?.mp4": "me@home=?.mp4",
    }.items():
        assert shown_url(typed) == shown
    assert open_source("rtsp://127.0.0.1:9/x").kind == "stream"
    with pytest.raises(InputError, match=r"ftp://x/y: streams are read from rtsp"):
        open_source("ftp://x/y")


class Camera(BaseHTTPRequestHandler):
    """Serves MJPEG: a few pictures, then hangs up."""

    pictures, connections, pause = 8, 0, 0.02

    def do_GET(self) -> None:
        type(self).connections += 1
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        try:
            for number in range(self.pictures):
                jpeg = cv2.imencode(".jpg", np.full((48, 64, 3), number, np.uint8))[1].tobytes()
                head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                self.wfile.write(head.encode() + jpeg + b"\r\n")
                time.sleep(self.pause)
        except OSError:
            return

    def log_message(self, *_: object) -> None:
        return


@contextmanager
def serving(pictures: int, pause: float) -> Iterator[tuple[str, type[Camera]]]:
    handler = type("Camera", (Camera,), {"pictures": pictures, "pause": pause, "connections": 0})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/a.mjpg", handler
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def serving_file(path: Path, share: float = 1.0) -> Iterator[str]:
    """Serve a file, of which the server hangs up after a share."""
    content = path.read_bytes()

    class Web(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: int(len(content) * share)])

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Web)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/{path.name}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.slow
def test_a_stream_is_connected_to_again_and_given_up_in_the_end() -> None:
    with serving(pictures=12, pause=0.01) as (url, camera):
        source = open_source(url, patience=20)
        frames = iter(source)
        seen = [next(frames) for _ in range(2)]
        # More than one connection gives: it was made again.
        while camera.connections < 2:
            seen.append(next(frames))
        # The server is gone; what is still on its way comes, then the stream is given up.
        frames.close()  # type: ignore[attr-defined]
    assert seen[0].image.shape == (48, 64, 3) and seen[0].name == url
    indices = [frame.index for frame in seen]
    assert indices == sorted(indices) and len(set(indices)) == len(indices)


@pytest.mark.slow
def test_a_slow_reader_gets_new_pictures_not_old_ones() -> None:
    with serving(pictures=400, pause=0.01) as (url, _):
        frames = iter(open_source(url, patience=5))
        next(frames)
        late = 0
        # On a busy machine the server may take its time.
        while late <= 10:
            time.sleep(1.0)
            indices = [next(frames).index or 0 for _ in range(4)]
            assert late <= 10 or indices[-1] > late
            late = indices[-1]
        frames.close()  # type: ignore[attr-defined]
    assert late is not None and late > 10


@pytest.mark.slow
def test_a_stream_that_never_answers_is_given_up() -> None:
    source = open_source("http://127.0.0.1:9/none.mjpg", patience=0.5)
    assert list(source) == []
    assert source.stopped is not None and "cannot be reached" in source.stopped


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_a_video_on_a_web_server_that_breaks_off_says_so(tmp_path: Path, share: float) -> None:
    path = tmp_path / "a.avi"
    noise_video(path, 40)
    with serving_file(path, share) as url:
        source = open_source(url, patience=5)
        frames = list(source)
    assert [frame.time for frame in frames] == pytest.approx([n / 10 for n in range(len(frames))])
    assert not source.live and source.fps == 10
    if share == 1:
        assert len(frames) == 40 and source.stopped is None
    else:
        assert 10 < len(frames) < 25
        assert source.stopped is not None
        assert source.stopped.endswith(f"/a.avi: broke off after {len(frames)} pictures")
