"""Ctrl-C at a terminal: exit code 130, one line, and the terminal as it was."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT, hear_ctrl_c
from tests.faults.kill import VICTIMS
from ultraface_deploy.artifacts.folder import ArtifactFolder
from ultraface_deploy.safe.images import DEMO_PHOTO

_HIDE, _SHOW = b"\x1b[?25l", b"\x1b[?25h"


def command(name: str, folder: ArtifactFolder, scratch: Path) -> tuple[str, ...]:
    if name in VICTIMS and name != "detect":
        return tuple(VICTIMS[name](scratch).command)
    if name == "bench":
        return "ultraface_deploy", "bench", str(folder.path), "--backend", "onnxruntime"
    pictures = scratch / "pictures"
    pictures.mkdir()
    for number in range(3000):
        (pictures / f"{number}.jpg").symlink_to(DEMO_PHOTO)
    return "ultraface_deploy", "detect", str(pictures), "--model", str(folder.path)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["convert", "detect", "bench", "eval", "train"])
def test_interrupted_at_a_terminal(name: str, folder: ArtifactFolder, tmp_path: Path) -> None:
    line = [sys.executable, "-m", *command(name, folder, tmp_path)]
    terminal, ours = pty.openpty()
    before = termios.tcgetattr(ours)
    process = subprocess.Popen(
        line,
        cwd=ROOT,
        env=os.environ | {"TERM": "xterm", "ULTRAFACE_DEPLOY_CACHE": str(tmp_path / "cache")},
        stdin=ours,
        stdout=ours,
        stderr=ours,
        start_new_session=True,
        preexec_fn=take_terminal,
    )
    said = read_until(terminal, process, b"")
    os.write(terminal, b"\x03")
    said += read_until(terminal, process, None)
    assert process.wait(60) == 130, said.decode()
    assert termios.tcgetattr(ours) == before
    assert said.rfind(_SHOW) >= said.rfind(_HIDE)
    assert b"error: interrupted" in said
    assert b"Traceback" not in said
    os.close(ours)
    os.close(terminal)


def take_terminal() -> None:
    """Before a command starts: its Ctrl-C comes from this terminal, and is heard."""
    hear_ctrl_c()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def read_until(terminal: int, process: subprocess.Popen[bytes], wanted: bytes | None) -> bytes:
    """Read until there is something, or with None until the process has ended."""
    said, deadline = b"", time.monotonic() + 240
    while time.monotonic() < deadline:
        if select.select([terminal], [], [], 0.2)[0]:
            said += os.read(terminal, 1 << 16)
            if wanted is not None:
                return said
        elif process.poll() is not None:
            return said
    raise AssertionError(f"nothing happened for minutes: {said.decode()}")
