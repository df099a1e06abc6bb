"""Downloads against a server on loopback: whole, resumed, restarted, refused."""

from __future__ import annotations

import hashlib
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ultraface_deploy.errors import CheckFailed, InputError
from ultraface_deploy.models import RegistryEntry, pace
from ultraface_deploy.models import pull as pull_module
from ultraface_deploy.models.pull import cached_checkpoint, pull

CONTENT = bytes(range(256)) * 1500


@dataclass
class Server:
    """What the server does, and what it was asked for."""

    address: str = ""
    content: bytes = CONTENT
    ranges: bool = True
    stop_after: int | None = None
    announce: int | None = None
    announces: bool = True
    redirect: str | None = None
    status: int = 200
    pause: float = 0.0
    asked: list[str | None] = field(default_factory=list)


class _Handler(BaseHTTPRequestHandler):
    behaviour: Server

    def do_GET(self) -> None:
        server, asked = self.behaviour, self.headers.get("Range")
        server.asked.append(asked)
        if server.redirect is not None and self.path == "/net.pth":
            self.send_response(302)
            self.send_header("Location", server.redirect)
            self.end_headers()
            return
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and server.ranges else 0
        if start and start >= len(server.content):
            self.send_error(416)
            return
        body = server.content[start:]
        self.send_response(206 if start else server.status)
        length = len(body) if server.announce is None else server.announce
        if server.announces:
            self.send_header("Content-Length", str(length))
        self.end_headers()
        body = body if server.stop_after is None else body[: server.stop_after]
        if not server.pause:
            self.wfile.write(body)
        for at in range(0, len(body) if server.pause else 0, 10_000):
            try:
                self.wfile.write(body[at : at + 10_000])
            except OSError:
                return  # whoever asked has gone
            time.sleep(server.pause)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    behaviour = Server()
    handler = type("Handler", (_Handler,), {"behaviour": behaviour})
    listening = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    behaviour.address = f"http://127.0.0.1:{listening.server_port}"
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield behaviour
    listening.shutdown()
    thread.join()
    listening.server_close()


@pytest.fixture
def entry(server: Server) -> RegistryEntry:
    return RegistryEntry(
        *("net", "slim", 320, 240),
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        licence="MIT",
        description="a test",
        url=f"{server.address}/net.pth",
    )


def kept(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.iterdir() if path.suffix != ".lock")


def test_download(entry: RegistryEntry, own_cache: Path) -> None:
    steps: list[tuple[int, int | None]] = []
    path = pull(entry, lambda done, total: steps.append((done, total)))
    assert path == own_cache / "net.pth"
    assert path.read_bytes() == CONTENT
    assert steps[-1] == (len(CONTENT), len(CONTENT))
    assert kept(own_cache) == ["net.pth"]
    assert cached_checkpoint(entry) == path


def test_nothing_is_asked_for_twice(entry: RegistryEntry, server: Server) -> None:
    pull(entry)
    pull(entry)
    assert server.asked == [None]


def test_resumes_where_the_last_try_stopped(
    entry: RegistryEntry, server: Server, own_cache: Path
) -> None:
    server.stop_after = 100_000
    with pytest.raises(InputError, match=r"download failed .* try again"):
        pull(entry)
    part = own_cache / "net.part"
    have = part.stat().st_size
    assert 0 < have <= 100_000
    assert kept(own_cache) == ["net.part"]
    server.stop_after = None
    assert pull(entry).read_bytes() == CONTENT
    assert server.asked == [None, f"bytes={have}-"]
    assert kept(own_cache) == ["net.pth"]


def test_restarts_where_the_server_knows_no_ranges(
    entry: RegistryEntry, server: Server, own_cache: Path
) -> None:
    (own_cache / "net.part").write_bytes(CONTENT[:5000])
    server.ranges = False
    assert pull(entry).read_bytes() == CONTENT
    assert server.asked == ["bytes=5000-"]


def test_restarts_when_there_is_nothing_left_to_send(
    entry: RegistryEntry, server: Server, own_cache: Path
) -> None:
    (own_cache / "net.part").write_bytes(CONTENT + b"too much")
    assert pull(entry).read_bytes() == CONTENT
    assert server.asked == [f"bytes={len(CONTENT) + 8}-", None]


def test_part_of_another_file_is_not_kept(
    entry: RegistryEntry, server: Server, own_cache: Path
) -> None:
    (own_cache / "net.part").write_bytes(b"x" * 5000)
    with pytest.raises(CheckFailed, match="nothing was kept"):
        pull(entry)
    assert kept(own_cache) == []
    assert pull(entry).read_bytes() == CONTENT


def test_wrong_sum_keeps_nothing(entry: RegistryEntry, server: Server, own_cache: Path) -> None:
    server.content = CONTENT[:-1] + b"!"
    with pytest.raises(CheckFailed, match=r"SHA-256 is .* expected .* nothing was kept") as failed:
        pull(entry)
    assert failed.value.exit_code == 1
    assert kept(own_cache) == []


def test_wrong_sum_does_not_lose_a_good_file(
    entry: RegistryEntry, server: Server, own_cache: Path
) -> None:
    good = pull(entry)
    changed = replace(entry, sha256="0" * 64)
    with pytest.raises(CheckFailed):
        pull(changed)
    assert good.read_bytes() == CONTENT


def test_changed_file_in_the_cache(entry: RegistryEntry, own_cache: Path) -> None:
    pull(entry).write_bytes(b"changed")
    with pytest.raises(CheckFailed, match="delete and pull again"):
        cached_checkpoint(entry)
    assert pull(entry).read_bytes() == CONTENT


@pytest.mark.parametrize("status", [404, 403, 500])
def test_server_that_refuses(
    entry: RegistryEntry, server: Server, own_cache: Path, status: int
) -> None:
    server.redirect, server.status = f"{server.address}/gone", status
    server.content = b"<html>sorry</html>"
    with pytest.raises((InputError, CheckFailed)):
        pull(entry)
    assert "net.pth" not in kept(own_cache)


def test_no_server(entry: RegistryEntry, own_cache: Path) -> None:
    with pytest.raises(InputError, match=r"download failed .*refused"):
        pull(replace(entry, url="http://127.0.0.1:9/net.pth"))
    assert kept(own_cache) == []


def test_far_too_large(
    entry: RegistryEntry, server: Server, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pull_module, "_MAX_BYTES", 100_000)
    with pytest.raises(InputError, match="more than any checkpoint"):
        pull(entry)
    assert sum(path.stat().st_size for path in own_cache.iterdir()) <= 100_000


@pytest.mark.parametrize(
    "url",
    [
        *("http://example.invalid/net.pth", "ftp://127.0.0.1/net.pth", "//127.0.0.1/net.pth"),
        *("http://127.0.0.1.example.invalid/net.pth", "http://user@example.invalid/net.pth"),
    ],
)
def test_only_https_and_loopback(entry: RegistryEntry, url: str) -> None:
    with pytest.raises(InputError, match="only https"):
        pull(replace(entry, url=url))


@pytest.mark.parametrize("target", ["http://example.invalid/net.pth", "file:///etc/hostname"])
def test_redirect_to_an_address_that_would_be_refused(
    entry: RegistryEntry, server: Server, own_cache: Path, target: str
) -> None:
    server.redirect = target
    with pytest.raises(InputError, match=r"only https|not allowed") as refused:
        pull(entry)
    assert "\n" not in str(refused.value)
    assert kept(own_cache) == []


def test_redirect_within_loopback(entry: RegistryEntry, server: Server) -> None:
    server.redirect = f"{server.address}/elsewhere"
    assert pull(entry).read_bytes() == CONTENT


def test_model_that_ships(entry: RegistryEntry) -> None:
    with pytest.raises(InputError, match="ships with the package"):
        pull(replace(entry, url=None, file="net.pth"))


def test_two_at_once(entry: RegistryEntry, server: Server, own_cache: Path) -> None:
    threads = [threading.Thread(target=pull, args=(entry,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (own_cache / "net.pth").read_bytes() == CONTENT
    assert server.asked == [None]


def test_cache_that_cannot_be_written(
    entry: RegistryEntry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "blocker").write_text("a file")
    monkeypatch.setenv("ULTRAFACE_DEPLOY_CACHE", str(tmp_path / "blocker"))
    with pytest.raises(InputError, match="blocker"):
        pull(entry)


def test_a_server_that_goes_on_sending(
    entry: RegistryEntry, server: Server, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pull_module, "_MAX_BYTES", 100_000)
    server.announces = False
    with pytest.raises(InputError, match="more bytes than any checkpoint"):
        pull(entry)
    assert (own_cache / "net.part").stat().st_size <= 100_000


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "_WINDOW_S", 0.4)


BODY = b"HTTP/1.1 200 OK\r\n\r\n"


@pytest.mark.parametrize(
    ("first", "again"),
    [
        (b"", b""),
        (BODY, b"x"),
        (BODY.replace(b"\r\n\r\n", b"\r\nContent-Length: 9000\r\n\r\n"), b"x"),
        (BODY.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n"), b"0"),
        (b"HTTP/1.1 200 OK\r\nX: ", b"x"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
    ids=["silence", "slow body", "slow with length", "slow chunk", "slow header", "continue"],
)
def test_a_server_that_takes_its_time(
    entry: RegistryEntry, own_cache: Path, impatient: None, first: bytes, again: bytes
) -> None:
    """Each byte would begin the time-out of a socket anew."""

    def serve(listening: socket.socket) -> None:
        connection, _ = listening.accept()
        with connection:
            try:
                connection.sendall(first)
                while again:
                    connection.sendall(again)
                    time.sleep(0.01)
                connection.recv(1 << 16)
                connection.recv(1)
            except OSError:
                pass  # it had enough of us

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, args=(listening,))
        thread.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/net.pth"
        with pytest.raises(InputError, match=r"failed \(less than 16 KiB in 0 s\); try again"):
            pull(replace(entry, url=url))
        thread.join(10)
    assert not thread.is_alive()
    assert "net.pth" not in kept(own_cache)


def test_a_server_that_goes_on_for_ever(
    entry: RegistryEntry, impatient: None, monkeypatch: pytest.MonkeyPatch, server: Server
) -> None:
    monkeypatch.setattr(pace, "_MOST_S", 0.5)
    monkeypatch.setattr(pace, "_LEAST_BYTES", 0)
    server.pause = 0.1
    with pytest.raises(InputError, match="not done within"):
        pull(entry)
    server.pause = 0.0
    monkeypatch.setattr(pace, "_MOST_S", 60.0)
    assert pull(entry).read_bytes() == CONTENT
