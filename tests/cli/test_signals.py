"""A process that is told to end, at the worst moments."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

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


# Told to end before each line in turn of what makes temporary files, once and twice.
EVERY_LINE = """
import contextlib, os, subprocess, sys, threading, time
from pathlib import Path
from tests.strikes import Strikes
from ultraface_deploy.artifacts import turns
from ultraface_deploy.cli import signals
from ultraface_deploy.safe import child, files

folder, number = Path(sys.argv[1]), int(sys.argv[2])
watched = {turns.__file__, files.__file__, contextlib.__file__}

def work():
    if sys.argv[4] == "a process":
        child.run_program(["sleep", "0.01"], what="a step", cwd=folder)
        return
    with turns.scratch_in(folder, "a.json") as scratch:
        (scratch / "made").touch()
        files.write_text(folder / "a.json", "{}")

meant = lambda code: code.co_filename in watched
if sys.argv[4] == "a process":
    codes = {child._run.__code__, subprocess.Popen.__init__.__code__, *files.UNDISTURBED}
    meant = codes.__contains__
signals.arrange()
strikes = Strikes(number, sys.argv[3] == "twice", meant)
lines, came = 0, True
while came:
    lines += 1
    strikes.begin(lines)
    try:
        work()
        if came := strikes.came():
            time.sleep(30)
            sys.exit(f"the signal before line {lines} was lost")
    except (signals.Interrupted, signals.Terminated) as told:
        came = strikes.came()
        for later in threading.enumerate():
            if isinstance(later, threading.Timer):
                later.join()
        signals.let_go(told)
    if Path(f"/proc/self/task/{os.getpid()}/children").read_text():
        sys.exit(f"told before line {lines}: a process is left")
    there = {path.name for path in folder.iterdir()}
    if not there <= {".lock", "a.json"}:
        sys.exit(f"told before line {lines}: {there}")
print(lines)
"""


@pytest.mark.parametrize(("number", "times"), [(signal.SIGTERM, "once"), (signal.SIGINT, "twice")])
@pytest.mark.parametrize("made", ["a folder", "a process"])
def test_nothing_stays_whenever_it_comes(
    number: signal.Signals, times: str, made: str, tmp_path: Path
) -> None:
    result = subprocess.run(
        [sys.executable, "-c", EVERY_LINE, str(tmp_path), str(int(number)), times, made],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert int(result.stdout) > 20


LAST_WORDS = """
import os, sys, time
from ultraface_deploy.cli import signals

class Held:
    def __del__(self):
        os.kill(os.getpid(), int(sys.argv[1]))

signals.arrange()
try:
    Held()
    time.sleep(30)
except signals.Terminated:
    print("terminated")
"""


def test_it_is_not_lost_in_a_destructor() -> None:
    result = subprocess.run(
        [sys.executable, "-c", LAST_WORDS, str(int(signal.SIGTERM))],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (result.stdout, result.stderr) == ("terminated\n", "")
