"""Clients that do half of what they should, and readers that do not read."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tests.serve.conftest import Server
from tests.serve.test_app import parts, socket_to, until
from ultraface_deploy.serve import guarded


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(guarded, "REQUEST_S", 0.3)
    monkeypatch.setattr(guarded, "STALLED_S", 0.5)
    yield


def ended(connection: socket.socket) -> bool:
    """Whether the other side has ended it, in whichever way."""
    try:
        while connection.recv(1 << 16):
            pass
    except ConnectionResetError:
        pass
    return True


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET / HT",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 8000,
        b"GET /v1/health HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /v1/health HTTP/1.1\r\nHost: localhost\r\n\r\nGET /v1/he",
        b"GET /v1/health HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\nhalf",
    ],
)
def test_half_a_request(server: Server, quick: None, sent: bytes) -> None:
    with socket_to(server) as connection:
        connection.sendall(sent)
        assert ended(connection)


def test_a_request_that_drips(server: Server, quick: None) -> None:
    """A byte now and then does not begin the time again."""
    with socket_to(server) as connection:
        try:
            for byte in b"GET /v1/health HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"y" * 1000:
                connection.sendall(bytes([byte]))
                connection.settimeout(0.02)
                try:
                    if connection.recv(1) == b"":
                        return
                except TimeoutError:
                    pass
        except (BrokenPipeError, ConnectionResetError):
            return
    raise AssertionError("it was waited for")


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\0" * 100 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 100_000,
    ],
)
def test_no_http(server: Server, sent: bytes) -> None:
    with socket_to(server) as connection:
        try:
            connection.sendall(sent)
            answer = connection.recv(100)
        except ConnectionResetError:
            return
    assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 431"))


def test_a_reader_that_does_not_read_is_ended_and_nobody_waits(server: Server, quick: None) -> None:
    live = server.parts.live
    stalled = socket.socket()
    stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    stalled.connect(("127.0.0.1", server.port))
    stalled.sendall(b"GET /v1/video HTTP/1.1\r\nHost: localhost\r\n\r\n")
    until(lambda: live.watching.number == 1)
    before = live._newest.seen.number
    # Others get their pictures meanwhile.
    assert len(parts(server, 5)) == 5
    assert live._newest.seen.number > before
    until(lambda: live.watching.number == 0)
    stalled.close()


def test_a_slow_reader_gets_the_newest(server: Server) -> None:
    """It misses pictures; between it and us there is room for a few only."""
    shown, numbers = server.parts.live, []
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(("127.0.0.1", server.port))
        slow.sendall(b"GET /v1/video HTTP/1.1\r\nHost: localhost\r\n\r\n")
        until(lambda: shown._newest.seen is not None)
        began = shown._newest.seen.number
        until(lambda: shown._newest.seen.number > began + 40, 120)
        before = shown._newest.seen.number
        with slow.makefile("rb") as answer:
            while not numbers or numbers[-1] < before:
                if (line := answer.readline()).startswith(b"X-Picture"):
                    numbers.append(int(line.split()[1]))
    assert before - numbers[0] > 15
    assert len([number for number in numbers if number < before]) < 15
