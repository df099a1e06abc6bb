"""A process that is told to end, at the worst moments."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

# Ends itself right after the first call of `function`: the file is there, and nobody's yet.
PROGRAM = """
import os, sys, tempfile
from ultraface_deploy.cli import signals

function, number, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3]
honest = getattr(os, function)

def struck(*words, **options):
    made = honest(*words, **options)
    if folder in os.fspath(words[0]):
        setattr(os, function, honest)
        os.kill(os.getpid(), number)
    return made

signals.arrange()
setattr(os, function, struck)
try:
    with tempfile.TemporaryDirectory():
        import time
        time.sleep(30)
except signals.Interrupted:
    print("interrupted")
except signals.Terminated:
    print("terminated")
"""


@pytest.mark.parametrize("function", ["open", "mkdir", "rmdir"])
@pytest.mark.parametrize(
    ("number", "said"),
    [
        (signal.SIGINT, "interrupted"),
        (signal.SIGTERM, "terminated"),
        (signal.SIGHUP, "terminated"),
    ],
)
def test_nothing_temporary_stays(
    function: str, number: signal.Signals, said: str, tmp_path: Path
) -> None:
    program = PROGRAM.replace("time.sleep(30)", "function == 'rmdir' or time.sleep(30)")
    result = subprocess.run(
        [sys.executable, "-c", program, function, str(int(number)), str(tmp_path)],
        env={"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (list(tmp_path.iterdir()), result.stderr) == ([], "")
    if function != "rmdir":
        assert (result.returncode, result.stdout) == (0, f"{said}\n")


WHOLE = """
import os, signal, sys
from ultraface_deploy.cli import app, signals

def told(arguments):
    os.kill(os.getpid(), int(sys.argv[1]))

app._run = told
app.main([])
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_the_process_ends_by_the_signal(number: signal.Signals) -> None:
    result = subprocess.run(
        [sys.executable, "-c", WHOLE, str(int(number))],
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (result.returncode, result.stderr) == (-number, b"")


def test_nohup_is_kept() -> None:
    program = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN);" + WHOLE
    result = subprocess.run(
        [sys.executable, "-c", program, str(int(signal.SIGHUP))],
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, b"")
