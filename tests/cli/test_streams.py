"""What native code prints reaches the user only when asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest

NATIVE = """
import os, sys
from ultraface_deploy.cli import streams
streams.arrange(show_native={show})
os.write(1, b"native out;"), os.write(2, b"native err;")
print("result"), print("note", file=sys.stderr)
"""


@pytest.mark.parametrize("show", [False, True])
def test_native_chatter(show: bool) -> None:
    done = subprocess.run(
        [sys.executable, "-c", NATIVE.format(show=show)], capture_output=True, text=True, check=True
    )
    assert done.stdout == "result\n"
    assert done.stderr == ("native out;native err;note\n" if show else "note\n")
