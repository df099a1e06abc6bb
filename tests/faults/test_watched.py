"""The watch sees what it is there for."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.faults.watched import run_watched

STRACE = shutil.which("strace")
pytestmark = pytest.mark.skipif(STRACE is None, reason="strace is not installed")
HERE = "import os, sys; out = sys.argv[1]; "


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("open(out + '/a', 'w')", None),
        ("open(out + '/../b', 'w')", "openat"),
        ("os.chdir(out); os.mkdir('../c')", "mkdir"),
        ("open(out + '/a', 'w'); os.rename(out + '/a', out + '/../a')", "rename"),
        ("open(out + '/../none', 'r') if 0 else open('/dev/null', 'w')", None),
        ("import socket; socket.socket()", "INET"),
        ("import socket; socket.socket(socket.AF_UNIX)", None),
        ("open(os.environ['TMPDIR'] + '/left', 'w')", "left"),
        ("bytearray(1100 << 20)", "MB"),
        ("raise ValueError", "Traceback"),
        ("sys.exit(7)", "exit code 7"),
        ("sys.exit(2)", "no error in the last line"),
    ],
)
def test_what_is_seen(tmp_path: Path, program: str, said: str | None) -> None:
    out = tmp_path / "out"
    out.mkdir()
    ended = run_watched(
        *([out], tmp_path / "run", STRACE),
        outputs=[out],
        program=["-c", HERE + program],
    )
    problem = ended.problem()
    assert problem is None if said is None else said in str(problem)


def test_processes_that_are_left(tmp_path: Path) -> None:
    # For a moment a new program has no environment yet, by which it is found.
    program = (
        "import subprocess; pid = subprocess.Popen(['sleep', '5']).pid\n"
        "while not open(f'/proc/{pid}/environ').read(): pass"
    )
    assert "sleep" in str(run_watched([], tmp_path, program=["-c", program]).problem())
