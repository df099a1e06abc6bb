"""A script in another environment as a backend: every way in which it can answer, or not."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ultraface_deploy.backends import tool
from ultraface_deploy.backends.tool import ToolSession
from ultraface_deploy.errors import BackendError, MissingDependency
from ultraface_deploy.family.spec import ModelSpec

SPEC = ModelSpec("net", "slim", 64, 64)
TENSOR = np.ones(SPEC.input_shape, np.float32)
ANCHORS = SPEC.num_anchors

SCRIPT = f"""
import io, os, struct, sys, time
import numpy as np
def answer(content):
    sys.stdout.buffer.write(struct.pack("<q", len(content)) + content)
    sys.stdout.buffer.flush()
def outputs(value):
    packed = io.BytesIO()
    np.savez(packed, a=np.full((1, {ANCHORS}, 2), value), b=np.full((1, {ANCHORS}, 4), -value))
    return packed.getvalue()
while len(content := sys.stdin.buffer.read({TENSOR.nbytes})) == {TENSOR.nbytes}:
    value = np.frombuffer(content, np.float32).sum()
    HOW
"""
Open = Callable[[str], ToolSession]


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Open:
    """Return a function that opens a script which answers in a certain way."""
    monkeypatch.setenv("ULTRAFACE_DEPLOY_TOOLS", str(tmp_path))
    python = tmp_path / "k210" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)

    def open_(how: str) -> ToolSession:
        script = tmp_path / 'a "script".py'
        script.write_text(SCRIPT.replace("HOW", how))
        return ToolSession(SPEC, "k210", script, [])

    return open_


def test_answers_again_and_again(opened: Open) -> None:
    session = opened("answer(outputs(value))")
    for factor in (1, 2, 3):
        found = session.run(TENSOR * np.float32(factor))
        assert found["scores"].shape == (1, ANCHORS, 2) and found["scores"].dtype == np.float32
        assert found["scores"].max() == factor * TENSOR.size
        assert found["boxes"].min() == -factor * TENSOR.size
    process = session._process
    del session
    assert process.poll() is not None


@pytest.mark.parametrize(
    ("how", "problem"),
    [
        ("sys.exit('the chip is on fire')", "nncase ended: the chip is on fire"),
        ("os._exit(0)", "nncase ended$"),
        ("answer(outputs(value)[:50]); os._exit(0)", "nonsense"),
        ("sys.stdout.buffer.write(b'half'); os._exit(0)", "nncase ended"),
        ("sys.stdout.buffer.write(struct.pack('<q', -1)); sys.stdout.flush()", "nonsense"),
        ("sys.stdout.buffer.write(struct.pack('<q', 1 << 40)); sys.stdout.flush()", "nonsense"),
        ("answer(b'no archive')", "nonsense"),
        ("x = bytearray(1 << 31)", "MemoryError"),
        ("time.sleep(60)", "did not answer within"),
    ],
)
def test_what_is_no_answer(
    opened: Open, how: str, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "sleep" in how:
        monkeypatch.setattr(tool, "_TIMEOUT_S", 0.5)
    session = opened(how)
    with pytest.raises(BackendError, match=problem):
        session.run(TENSOR)
    with pytest.raises(BackendError):
        session.run(TENSOR)


def test_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ULTRAFACE_DEPLOY_TOOLS", str(tmp_path))
    with pytest.raises(MissingDependency, match="tools install k210"):
        ToolSession(SPEC, "k210", tmp_path / "script.py", [])
