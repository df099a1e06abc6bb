"""Many clients at once, and damaged pictures by the thousand: `make serve-load`.

The server runs in a process of its own, the clients in this one: viewers of the picture, listeners
to the faces, readers that do not read, senders of pictures, and halves of requests. Said is what
each kind got, how many pictures a second were looked at before and meanwhile, and what the server's
memory did.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import psutil

from tests.conftest import ROOT
from tests.fuzz.mutation import mutated
from ultraface_deploy.safe.images import DEMO_PHOTO, read_image

FPS = 10


def write_clip(path: Path) -> bool:
    """Write three seconds of a face that moves to the right, 640x480; False where it cannot be."""
    photo = cv2.resize(read_image(DEMO_PHOTO), (480, 480))
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), FPS, (640, 480))
    if not writer.isOpened():
        return False
    for step in range(3 * FPS):
        frame = np.full((480, 640, 3), 90, np.uint8)
        frame[:, 5 * step : 5 * step + 480] = photo
        writer.write(frame)
    writer.release()
    return True


# ---- The server ----


@dataclass(frozen=True)
class Process:
    """A server in a process of its own."""

    port: int
    process: psutil.Process

    @property
    def memory_mb(self) -> float:
        """Resident memory."""
        return float(self.process.memory_info().rss) / 1e6

    def pictures(self) -> float:
        """How many pictures of the source were looked at."""
        found = re.search(r"^ultraface_pictures_total (\S+)", self.get("/metrics").decode(), re.M)
        assert found is not None
        return float(found[1])

    def get(self, path: str) -> bytes:
        """Return what is at a path."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request("GET", path)
        with connection.getresponse() as answer:
            assert answer.status == 200, (path, answer.status)
            return answer.read()

    def rate(self, seconds: float) -> float:
        """Return how many pictures a second are looked at."""
        before, begin = self.pictures(), time.monotonic()
        time.sleep(seconds)
        return (self.pictures() - before) / (time.monotonic() - begin)


@contextmanager
def own_process(source: Path) -> Iterator[Process]:
    """Run `serve`; that it does not end cleanly is an error."""
    command = [sys.executable, "-m", "ultraface_deploy", "serve", "--port", "0", "--source", source]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        try:
            found = re.match(r"http://127.0.0.1:(\d+)/", child.stdout.readline())
            assert found is not None
            server = Process(int(found[1]), psutil.Process(child.pid))
            while not server.pictures():
                time.sleep(0.1)
            yield server
            child.send_signal(signal.SIGINT)
            code = child.wait(30)
        finally:
            child.kill()
    assert code == 0, code


# ---- The clients ----


@dataclass
class Got:
    """What the clients of one kind got: `served` of them something; answers by status."""

    clients: int
    parts: int = 0
    served: int = 0
    answers: Counter[int] = field(default_factory=Counter)


Client = Callable[[int, Got], Awaitable[None]]


async def _connect(port: int, text: str, receive: int | None = None) -> socket.socket:
    """Connect and send the head of a request."""
    made = socket.socket()
    made.setblocking(False)
    if receive is not None:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(made, ("127.0.0.1", port))
    await loop.sock_sendall(made, f"{text}\r\nHost: localhost\r\n\r\n".encode())
    return made


def _reads(path: str, mark: bytes) -> Client:
    """Return a client that reads a stream and counts the parts that begin with a mark."""

    async def read(port: int, got: Got) -> None:
        loop, own = asyncio.get_running_loop(), 0
        with await _connect(port, f"GET {path} HTTP/1.1") as connection:
            rest = b""
            while content := await loop.sock_recv(connection, 1 << 16):
                content = rest + content
                found = content.count(mark)
                rest = b"" if found else content[-len(mark) :]
                got.parts += found
                got.served += bool(found and not own)
                own += found

    return read


async def _does_not_read(port: int, got: Got) -> None:
    with await _connect(port, "GET /v1/video HTTP/1.1", receive=4096):
        got.served += 1
        await asyncio.sleep(3600)


async def _half(port: int, got: Got) -> None:
    loop = asyncio.get_running_loop()
    while True:
        with await _connect(port, "POST /v1/detect HTTP/1.1\r\nContent-Length: 9") as connection:
            with suppress(ConnectionError):
                while await loop.sock_recv(connection, 1 << 16):
                    pass
            got.parts += 1
            got.served += got.served < got.clients


async def _sends(port: int, got: Got) -> None:
    photo, own = DEMO_PHOTO.read_bytes(), 0
    while True:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = f"POST /v1/detect HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(photo)}\r\n"
        writer.write(f"{head}Connection: close\r\n\r\n".encode() + photo)
        answer = b""
        with suppress(ConnectionError):
            answer = await reader.read(1 << 20)
        writer.close()
        # A request that is refused may be cut off while it is still sent.
        status = int(answer.split()[1]) if answer else 503
        got.answers[status] += 1
        got.parts += status == 200
        got.served += status == 200 and not own
        own += status == 200
        if status == 503:
            await asyncio.sleep(1)


KINDS: dict[str, tuple[float, Client]] = {
    "watch": (0.4, _reads("/v1/video", b"X-Picture:")),
    "listen": (0.3, _reads("/v1/events", b"event: faces")),
    "do not read": (0.15, _does_not_read),
    "send": (0.1, _sends),
    "send half": (0.05, _half),
}


async def crowd(port: int, clients: int, seconds: float) -> dict[str, Got]:
    """Let so many clients of all kinds do what they do, for so long."""
    got = {name: Got(round(share * clients)) for name, (share, _) in KINDS.items()}
    tasks = [
        asyncio.create_task(client(port, got[name]))
        for name, (_, client) in KINDS.items()
        for _ in range(got[name].clients)
    ]
    done, running = await asyncio.wait(tasks, timeout=seconds)
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    for task in done:
        task.result()  # a client that ended by itself was let down
    assert not done
    return got


def send_damaged(port: int, count: int, seed: str = "") -> Counter[int]:
    """Send damaged pictures; return how often each status was the answer."""
    image = cv2.resize(read_image(DEMO_PHOTO), (96, 96))
    kinds = [cv2.imencode(suffix, image)[1].tobytes() for suffix in (".jpg", ".png", ".webp")]
    answers: Counter[int] = Counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for number in range(count):
        body, status = mutated(kinds[number % len(kinds)], f"{seed}{number}"), 503
        while status == 503:  # what the crowd sent last is still being looked at
            connection.request("POST", "/v1/detect", body)
            with connection.getresponse() as answer:
                status, found = answer.status, json.loads(answer.read())
            time.sleep(0.5 if status == 503 else 0)
        assert ("faces" in found) == (status == 200), (number, found)
        answers[status] += 1
    return answers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--bodies", type=int, default=10_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        clip = Path(name) / "clip.avi"
        if not write_clip(clip):
            sys.exit("this OpenCV writes no video")
        with own_process(clip) as server:
            print(f"alone: {server.rate(10):.2f} pictures a second, {server.memory_mb:.0f} MB")
            before = server.pictures(), time.monotonic()
            got = asyncio.run(crowd(server.port, given.clients, given.seconds))
            rate = (server.pictures() - before[0]) / (time.monotonic() - before[1])
            print(f"with {given.clients} clients for {given.seconds:g} s: {rate:.2f} a second")
            for kind, each in got.items():
                answers = f", answers {dict(each.answers)}" if each.answers else ""
                print(f"  {each.clients} {kind}: {each.served} served, {each.parts} parts{answers}")
            print(f"afterwards: {server.rate(10):.2f} a second, {server.memory_mb:.0f} MB")
            answers = send_damaged(server.port, given.bodies)
            print(f"{given.bodies} damaged pictures: {dict(answers)}, {server.memory_mb:.0f} MB")
            assert set(answers) <= {200, 400}, answers
            assert server.get("/v1/health")


if __name__ == "__main__":
    main()
