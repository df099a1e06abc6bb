"""A call that keeps Python's lock is told from one that lets go."""

from __future__ import annotations

import ctypes
import time

from ultraface_deploy.benchmarks.threads import KEEPS, held


def test_who_keeps_the_lock() -> None:
    pause = ctypes.c_uint(20_000)
    assert held(lambda: ctypes.PyDLL(None).usleep(pause)) > KEEPS
    assert held(lambda: ctypes.CDLL(None).usleep(pause)) < KEEPS
    assert held(lambda: time.sleep(0.02)) < KEEPS
