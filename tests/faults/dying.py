"""Runs a module that dies by SIGKILL just before its Nth change to a folder.

python -m tests.faults.dying N FOLDER MODULE [ARGUMENT...]

With N = 0 it lives, and says at the end how many changes there were. Changes that native code
makes without Python are not seen; kills at random moments hit those.
"""

from __future__ import annotations

import atexit
import os
import runpy
import signal
import sys

_CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.chmod")
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def main() -> None:
    last, folder = int(sys.argv[1]), os.path.abspath(sys.argv[2])  # noqa: PTH100 - as is
    sys.argv[:] = sys.argv[3:]
    seen = 0

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal seen
        writes = event == "open" and bool(int(str(arguments[2] or 0)) & _WRITES)
        if not (writes or event in _CHANGES) or not isinstance(arguments[0], str | os.PathLike):
            return
        if os.fspath(arguments[0]).startswith(folder):
            seen += 1
            if seen == last:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    if not last:
        # Its own copy: the command line sends descriptor 2 elsewhere.
        told = os.dup(2)
        atexit.register(lambda: os.write(told, f"\nchanges: {seen}\n".encode()))
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
