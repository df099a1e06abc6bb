"""Every way in which a native step can end, from the parent's point of view."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from ultraface_deploy.errors import (
    CheckFailed,
    InputError,
    MissingDependency,
    ToolFailed,
    UltraFaceError,
)
from ultraface_deploy.safe import child
from ultraface_deploy.safe.child import run_in_child, run_program

STEPS = """
import ctypes, os, signal, subprocess, sys, time
from ultraface_deploy import errors
from ultraface_deploy.errors import BackendError

def add(first, second):
    print("noise on standard output")
    os.system("echo native noise")
    return {"sum": first + second}

def segfault():
    print("about to read address 0", flush=True)
    ctypes.string_at(0)

def abort():
    os.write(2, b"terminate called\\nstd::length_error\\n")
    os.abort()

def hang(file):
    subprocess.Popen(["sleep", "60"])
    with open(file, "w") as out:
        out.write(str(os.getpid()))
    time.sleep(60)

def leave_another(file):
    other = subprocess.Popen(["sleep", "60"])
    with open(file, "w") as out:
        out.write(str(os.getpid()))

def orphan(file):
    with open(file, "w") as out:
        out.write("alive")

def leave():
    os.write(1, b"cannot write the model\\n")
    os._exit(0)

def leave_with(code):
    os._exit(code)

def fail(kind, message):
    raise getattr(errors, kind)(message)

def refuse():
    raise BackendError("the runtime refused")

def raise_other():
    raise ValueError("first line\\nsecond line")

def unserialisable():
    return object()

def read_stdin():
    return sys.stdin.read()
"""


@pytest.fixture
def steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module that the child imports from where the parent would."""
    (tmp_path / "native_steps.py").write_text(STEPS)
    monkeypatch.syspath_prepend(str(tmp_path))
    return "native_steps"


def call(steps: str, function: str, timeout: float = 60, **arguments: Any) -> Any:
    return run_in_child(f"{steps}:{function}", arguments, what="the step", timeout=timeout)


def test_result_comes_back_and_noise_does_not(
    steps: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert call(steps, "add", first=2, second=3) == {"sum": 5}
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("function", "name"), [("segfault", "SIGSEGV"), ("abort", "SIGABRT")])
def test_crash(steps: str, function: str, name: str) -> None:
    with pytest.raises(ToolFailed, match=f"the step crashed with {name}") as failed:
        call(steps, function)
    assert "\n" not in str(failed.value)
    assert failed.value.exit_code == 1


def test_last_words_are_told(steps: str) -> None:
    with pytest.raises(ToolFailed, match="std::length_error"):
        call(steps, "abort")


def test_hang_is_ended_with_all_it_started(steps: str, tmp_path: Path) -> None:
    assert_ended_after(steps, "hang", tmp_path / "pid")


def test_what_a_step_leaves_behind_is_ended(steps: str, tmp_path: Path) -> None:
    assert_ended_after(steps, "leave_another", tmp_path / "pid")


def assert_ended_after(steps: str, function: str, file: Path) -> None:
    with pytest.raises(ToolFailed, match="did not finish within 5 s"):
        call(steps, function, timeout=5, file=str(file))
    group = int(file.read_text())
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        # An orphan that nobody has reaped yet is dead all the same.
        if all(state in "ZX" for state in states_of_group(group)):
            return
        time.sleep(0.05)
    pytest.fail("a process of the step is still alive")


def states_of_group(group: int) -> list[str]:
    states = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group:
            states.append(fields[0])
    return states


def test_a_child_whose_parent_is_dead_does_nothing(steps: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    dead = subprocess.Popen(["true"])
    dead.wait()
    job = {
        "path": sys.path,
        "target": f"{steps}:orphan",
        "arguments": {"file": str(file)},
        "result": str(tmp_path / "result"),
        "memory": None,
        "what": "the step",
        "parent": dead.pid,
    }
    subprocess.run([sys.executable, "-c", child._BOOT], input=json.dumps(job), text=True)
    assert not file.exists()


def test_a_program_outlives_the_thread_that_started_it(tmp_path: Path) -> None:
    started = []

    def start() -> None:
        program = child.start_program(
            ["cat"], what="cat", cwd=tmp_path, said=tmp_path / "said", memory=0
        )
        started.append(program)
        assert echo(program) == b"a"

    thread = Thread(target=start)
    thread.start()
    thread.join()
    (program,) = started
    assert echo(program) == b"a"
    program.kill()
    program.communicate()


def echo(program: subprocess.Popen[bytes]) -> bytes:
    assert program.stdin and program.stdout
    program.stdin.write(b"a")
    return program.stdout.read(1)


def test_exit_code_0_without_a_result_is_a_failure(steps: str) -> None:
    with pytest.raises(ToolFailed, match="ended without a result: cannot write the model"):
        call(steps, "leave")


def test_exit_code(steps: str) -> None:
    with pytest.raises(ToolFailed, match="failed with exit code 7"):
        call(steps, "leave_with", code=7)


@pytest.mark.parametrize("kind", [InputError, CheckFailed, MissingDependency])
def test_our_own_errors_come_back_as_they_are(steps: str, kind: type[UltraFaceError]) -> None:
    with pytest.raises(kind, match="what is wrong") as raised:
        call(steps, "fail", kind=kind.__name__, message="what is wrong")
    assert type(raised.value) is kind


def test_errors_from_elsewhere_keep_their_message(steps: str) -> None:
    with pytest.raises(UltraFaceError, match="the runtime refused"):
        call(steps, "refuse")


@pytest.mark.parametrize("function", ["raise_other", "unserialisable"])
def test_other_exceptions_are_one_line(steps: str, function: str) -> None:
    with pytest.raises(ToolFailed, match="the step failed with exit code 1") as failed:
        call(steps, function)
    assert "\n" not in str(failed.value)


def test_no_such_function(steps: str) -> None:
    with pytest.raises(ToolFailed, match="nothing_there"):
        call(steps, "nothing_there")


def test_child_reads_nothing_from_the_terminal(steps: str) -> None:
    assert call(steps, "read_stdin") == ""


def test_program_output_and_folder(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import os; print(os.getcwd())"]
    assert run_program(command, what="program", cwd=tmp_path).strip() == str(tmp_path.resolve())


def test_program_that_fails(tmp_path: Path) -> None:
    script = f"import os; os.kill(os.getpid(), {int(signal.SIGILL)})"
    with pytest.raises(ToolFailed, match="SIGILL"):
        run_program([sys.executable, "-c", script], what="program", cwd=tmp_path)
    with pytest.raises(ToolFailed, match="exit code 3: last words"):
        run_program(["sh", "-c", "echo last words; exit 3"], what="program", cwd=tmp_path)


def test_undecodable_output_does_no_harm(tmp_path: Path) -> None:
    output = run_program(["printf", r"\377\376abc"], what="program", cwd=tmp_path)
    assert output.endswith("abc")


def test_signals_unknown_to_python(tmp_path: Path) -> None:
    script = f"import os; os.kill(os.getpid(), {signal.SIGRTMIN + 3})"
    with pytest.raises(ToolFailed, match="program"):
        run_program([sys.executable, "-c", script], what="program", cwd=tmp_path)


def test_program_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises((UltraFaceError, OSError), match="no-such-program"):
        run_program(["no-such-program"], what="program", cwd=tmp_path)
