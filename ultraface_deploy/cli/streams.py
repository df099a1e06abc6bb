"""Which stream carries what: results, our notes, and what native code prints by itself."""

from __future__ import annotations

import os
import sys


def arrange(show_native: bool) -> None:
    """Keep standard output for results and standard error for our own notes.

    Native code (MNN, OpenCV, libjpeg) writes to file descriptors 1 and 2 by itself. Both are
    pointed elsewhere: to the terminal with `-v`, else nowhere; ours are copies made before.
    """
    out, err = sys.__stdout__, sys.__stderr__
    if out is not None and sys.stdout is out:
        out.flush()
        sys.stdout = os.fdopen(os.dup(1), "w", encoding=out.encoding)
        os.dup2(2, 1)
    if not show_native and err is not None and sys.stderr is err:
        err.flush()
        sys.stderr = os.fdopen(
            os.dup(2), "w", encoding=err.encoding, errors="backslashreplace", buffering=1
        )
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        os.close(nowhere)
