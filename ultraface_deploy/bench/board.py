"""What runs first on a board, under whatever Python 3 it has: unpack, check, run, leave no trace.

Sent as the text of `python3 -c`. It reads one line of JSON and a tar archive from standard input,
and then waits for its end: when the connection is lost, input ends, and so does the benchmark.
Its answer is one line of JSON on standard output. Only the standard library is used, and nothing
that Python 3.6 does not know, so that an old one can say that it is too old.
"""

# Tested by tests/bench/test_remote.py.

import contextlib
import fcntl
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from pathlib import Path
from typing import Iterator  # noqa: UP035 - of collections.abc it says nothing in 3.6

OLDEST = (3, 10)

ALIVE_S = 15
REMOVAL_S = 10


class Refused(Exception):  # noqa: N818 - reads as what it is
    """The board cannot do it; the text says why."""


def main() -> None:
    """Serve one request."""
    on_end(leave)
    threading.Thread(target=show_life, daemon=True).start()
    request = json.loads(sys.stdin.buffer.readline().decode())
    try:
        if sys.version_info < OLDEST:
            raise Refused(f"has Python {sys.version.split()[0]}; 3.10 or newer is needed")
        answer = {"report": in_a_folder(request)}
    except Refused as error:
        answer = {"error": str(error)}
    except OSError as error:
        answer = {"error": f"{error.filename or 'disk'}: {error.strerror}"}
    print(json.dumps(answer))


def in_a_folder(request: dict) -> object:  # type: ignore[type-arg]  # dict[...] is newer than 3.6
    """Return the report of a benchmark in a folder of its own, which is gone afterwards."""
    # Not between making the folder and knowing its name.
    on_end(signal.SIG_IGN)
    folder = Path(tempfile.mkdtemp(prefix="ultraface-bench-"))
    try:
        try:
            on_end(leave)
            unpack(request["bytes"], folder)
            return run(find_python(request), folder)
        finally:
            on_end(signal.SIG_IGN)
    finally:
        # Also where a signal came before it was ignored.
        remove(folder)


def leave(number: int, frame: object) -> None:
    """End the program, with what has to be done at its end; a second signal must not cut it off."""
    on_end(signal.SIG_IGN)
    sys.exit(1)


def on_end(action: object) -> None:
    """Set what happens when the session ends or somebody asks this program to."""
    for number in (signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, action)  # type: ignore[arg-type]


def remove(folder: Path) -> None:
    """Remove a folder, also while those who were just killed still write into it."""
    deadline = time.monotonic() + REMOVAL_S
    while folder.exists() and time.monotonic() < deadline:
        shutil.rmtree(str(folder), ignore_errors=True)
        time.sleep(0.01)


def show_life() -> None:
    """Tell the other side now and then that somebody is here."""
    try:
        while True:
            # Not through sys.stderr: its lock, held here, would break the interpreter's own end.
            os.write(2, b"@alive\n")
            time.sleep(ALIVE_S)
    except OSError:
        pass  # nobody listens any more


def unpack(size: int, folder: Path) -> None:
    """Write the archive's files."""
    # As much again for what is made on the way.
    if shutil.disk_usage(str(folder)).free < 4 * size:
        raise Refused(f"has no room for {4 * size / 1e6:.0f} MB in {folder.parent}")
    archive = sys.stdin.buffer.read(size)
    if len(archive) < size:
        sys.exit(1)
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(str(folder))


def find_python(request: dict) -> str:  # type: ignore[type-arg]  # dict[...] is newer than 3.6
    """Return an interpreter with the packages; make a virtual environment when asked to."""
    environment = Path.home() / ".cache/ultraface-deploy/bench-venv"
    inside = str(environment / "bin/python")
    for python in (inside, sys.executable):
        if Path(python).exists() and not lacking(python, request["modules"]):
            return python
    if not request["bootstrap"]:
        names = ", ".join(lacking(sys.executable, request["modules"]))
        raise Refused(
            f"its Python lacks {names}; `bootstrap` makes a virtual environment there with them"
        )
    with alone(environment.parent):
        # Somebody else may have made it meanwhile.
        if not Path(inside).exists() or lacking(inside, request["modules"]):
            make(environment, inside, request["modules"])
    return inside


@contextlib.contextmanager
def alone(folder: Path) -> "Iterator[None]":
    """Wait until nobody else makes an environment in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".bench-venv.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def make(environment: Path, inside: str, modules: "dict[str, str]") -> None:
    """Make a virtual environment with the packages."""
    print(f"@note making a virtual environment in {environment}", file=sys.stderr, flush=True)
    existed = environment.exists()
    packages = sorted(set(modules.values()))
    for command in (
        [sys.executable, "-m", "venv", str(environment)],
        [inside, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages],
    ):
        if subprocess.call(command, stdin=subprocess.DEVNULL, stdout=sys.stderr) != 0:
            if not existed:
                shutil.rmtree(str(environment), ignore_errors=True)
            raise Refused(f"cannot make a virtual environment: {' '.join(command[1:4])} failed")


def lacking(python: str, modules: "dict[str, str]") -> "list[str]":
    """Return the modules that an interpreter has not got."""
    code = "import sys, importlib.util as u; sys.exit(u.find_spec(sys.argv[1]) is None)"
    return [
        name
        for name in modules
        if subprocess.call([python, "-c", code, name], stdin=subprocess.DEVNULL) != 0
    ]


def run(python: str, folder: Path) -> object:
    """Run the benchmark and return its report; end it when the connection is lost."""
    result = folder / "report.json"
    # What a killed benchmark leaves behind goes with the folder.
    own = {"PYTHONPATH": str(folder), "TMPDIR": str(folder)}
    child = subprocess.Popen(
        [python, "-m", "ultraface_deploy.bench.on_board", "job.json", str(result)],
        cwd=str(folder),
        env=dict(os.environ, **own),
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        start_new_session=True,
    )
    threading.Thread(target=end_with_input, args=(child,), daemon=True).start()
    try:
        code = child.wait()
    finally:
        end(child)
        child.wait()
    if code != 0 or not result.exists():
        raise Refused(f"the benchmark ended with code {code}")
    return json.loads(result.read_text())


def end_with_input(child: subprocess.Popen) -> None:  # type: ignore[type-arg]
    """Wait until the other side is gone."""
    # Not through sys.stdin: its lock, held here, would break the interpreter's own end.
    while os.read(0, 4096):
        pass
    if child.poll() is None:
        end(child)


def end(child: subprocess.Popen) -> None:  # type: ignore[type-arg]
    """Kill a process with all that it started in its session."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
