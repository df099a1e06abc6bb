"""Steps that go wrong, to be run in a child process in place of a real one."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any


def segfault(**arguments: Any) -> None:
    """Die as native code does that reads where it must not."""
    os.kill(os.getpid(), signal.SIGSEGV)


def abort(**arguments: Any) -> None:
    """Die as C++ does of an exception that nobody catches."""
    os.write(2, b"terminate called after throwing an instance of 'std::length_error'\n")
    os.abort()


def hang(**arguments: Any) -> None:
    """Never come back."""
    time.sleep(600)


def write_nothing(**arguments: Any) -> None:
    """Report success without a file."""


def eat_memory(**arguments: Any) -> None:
    """Ask for four gigabytes, and touch them."""
    bytearray(4 << 30)


def copy_other_network(source: str, output: str, other: str) -> None:
    """Write a file that is sound and runs, of a network with other weights."""
    Path(output).write_bytes(Path(other).read_bytes())


def read_checkpoint(path: str) -> None:
    from ultraface_deploy.family.tensors import load_tensors

    load_tensors(Path(path))


def read_caffe_pair(prototxt: str) -> None:
    from ultraface_deploy.converters.caffe.reader import read_net

    read_net(Path(prototxt), Path(prototxt).with_suffix(".caffemodel"))
