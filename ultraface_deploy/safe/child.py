"""Native steps run in a child process: they segfault, hang, or print an error and go on.

`run_in_child` calls a Python function there, `run_program` an executable. Both capture what the
step prints, bound its time, and turn every way to fail into one `ToolFailed`.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from ultraface_deploy.errors import ToolFailed, UltraFaceError
from ultraface_deploy.safe.files import undisturbed
from ultraface_deploy.safe.refusals import said_by_system

DEFAULT_TIMEOUT = 120.0

# The job arrives on standard input, so that no argument is visible in the process list and the
# child imports from where the parent does, whatever its working directory.
_BOOT = """
import json, sys
job = json.load(sys.stdin)
sys.path[:] = job["path"]
from ultraface_deploy.safe.child import _serve
_serve(job)
"""
# A program is started by an interpreter that first asks to die with us (PR_SET_PDEATHSIG), sees
# that we are not dead already, and may limit its memory.
_EXEC = """
import ctypes, os, resource, sys
ctypes.CDLL(None).prctl(1, 9)
if os.getppid() != int(sys.argv[1]):
    sys.exit(1)
if int(sys.argv[2]):
    resource.setrlimit(resource.RLIMIT_DATA, (int(sys.argv[2]),) * 2)
os.execv(sys.argv[3], sys.argv[3:])
"""


def run_in_child(
    target: str,
    arguments: Mapping[str, Any],
    *,
    what: str,
    timeout: float = DEFAULT_TIMEOUT,
    memory: int | None = None,
) -> Any:
    """Call `module:function` with keyword arguments in a child interpreter.

    Args:
        target: for example `ultraface_deploy.converters.mnn.convert:convert_in_child`.
        arguments: JSON-serialisable keyword arguments.
        what: the step's name in messages, for example `MNN converter`.
        timeout: seconds after which the child is killed.
        memory: bytes that it may allocate; None for no limit.

    Returns:
        The function's JSON-serialisable result.

    Raises:
        ToolFailed: the child crashed, hung or ended without a result.
        UltraFaceError: the function raised one; it is raised here again.
    """
    with tempfile.TemporaryDirectory(prefix="ultraface-deploy-") as folder:
        result_file = Path(folder) / "result.json"
        job = {
            "path": [str(Path(entry).absolute()) for entry in sys.path],
            "target": target,
            "arguments": dict(arguments),
            "result": str(result_file),
            "memory": memory,
            "what": what,
            "parent": os.getpid(),
        }
        output = _run([sys.executable, "-c", _BOOT], what, timeout, Path(folder), json.dumps(job))
        if not result_file.is_file():
            raise ToolFailed(f"{what} ended without a result{last_line(output)}")
        result = json.loads(result_file.read_text())
    if "error" in result:
        raise _error_class(result["error"])(result["message"])
    return result["value"]


def run_program(
    command: Sequence[str], *, what: str, cwd: Path, timeout: float = DEFAULT_TIMEOUT
) -> str:
    """Run an executable and return what it printed.

    Raises:
        ToolFailed: it crashed, hung or returned non-zero.
    """
    return _run(_dying_with_us(command, what), what, timeout, cwd, "")


def start_program(
    command: Sequence[str], *, what: str, cwd: Path, said: Path, memory: int
) -> subprocess.Popen[bytes]:
    """Start an executable that answers on its standard output what comes on its standard input.

    Args:
        command: the executable and its arguments.
        what: its name in messages.
        cwd: where it runs.
        said: file for what it writes to standard error.
        memory: bytes that it may allocate.

    Returns:
        The process, with unbuffered answers. Whoever started it ends it.

    Raises:
        ToolFailed: there is no such executable.
    """
    with said.open("wb") as words:

        def start() -> subprocess.Popen[bytes]:
            return subprocess.Popen(
                _dying_with_us(command, what, memory),
                cwd=cwd,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=words,
                bufsize=0,
                start_new_session=True,
            )

        return _starter(os.getpid()).submit(start).result()


@lru_cache(maxsize=1)
def _starter(process: int) -> ThreadPoolExecutor:
    """Return a thread that lasts as long as this process.

    A child that asked to die with us dies with the thread that started it.
    """
    return ThreadPoolExecutor(1, thread_name_prefix=f"starter-{process}")


def _dying_with_us(command: Sequence[str], what: str, memory: int = 0) -> list[str]:
    program = shutil.which(command[0])
    if program is None:
        raise ToolFailed(f"{what}: cannot run the program {command[0]}")
    words = [str(os.getpid()), str(memory), program, *command[1:]]
    return [sys.executable, "-I", "-S", "-c", _EXEC, *words]


def _run(command: Sequence[str], what: str, timeout: float, cwd: Path, stdin: str) -> str:
    with _started(command, cwd) as process:
        try:
            output, _ = process.communicate(stdin, timeout=timeout)
        except subprocess.TimeoutExpired:
            said = f"{what} did not finish within {timeout:.0f} s and was stopped"
            raise ToolFailed(said) from None
    if process.returncode < 0:
        number = -process.returncode
        # Real-time signals have no name.
        name = next((known.name for known in signal.Signals if known == number), f"signal {number}")
        raise ToolFailed(f"{what} crashed with {name}{last_line(output)}")
    if process.returncode:
        failed = f"{what} failed with exit code {process.returncode}{last_line(output)}"
        error = ToolFailed(failed)
        error.output = output
        raise error
    return output


@contextmanager
@undisturbed
def _started(command: Sequence[str], cwd: Path) -> Iterator[subprocess.Popen[str]]:
    """Yield a process in a session of its own, which ends with every process it started."""
    process = subprocess.Popen(
        command,
        cwd=cwd,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        yield process
    finally:
        # Not `poll`, which would let go of its number: what it started may outlive it.
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def last_line(output: str) -> str:
    """Return the last line that says something, as the end of a message."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return f": {lines[-1][:200]}" if lines else ""


def _serve(job: Mapping[str, Any]) -> None:
    """Do in the child what `run_in_child` asked for."""
    _die_with_parent(job["parent"])
    if job["memory"] is not None:
        resource.setrlimit(resource.RLIMIT_DATA, (job["memory"], job["memory"]))
    try:
        result = {"value": resolve_name(job["target"])(**job["arguments"])}
    except UltraFaceError as error:
        name = f"{type(error).__module__}:{type(error).__qualname__}"
        result = {"error": name, "message": str(error)}
    except OSError as error:  # a full disk, most of all
        message = said_by_system(error, job["what"])
        result = {"error": "ultraface_deploy.errors:InputError", "message": message}
    Path(job["result"]).write_text(json.dumps(result))


def _die_with_parent(parent: int) -> None:
    """Have the kernel end this process when its parent ends in any way (PR_SET_PDEATHSIG)."""
    import ctypes

    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)


def _error_class(name: str) -> type[UltraFaceError]:
    found = resolve_name(name)
    if isinstance(found, type) and issubclass(found, UltraFaceError):
        return found
    raise ToolFailed(f"a child process ended with {name}")
