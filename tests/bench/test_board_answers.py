"""What a board answers is as strange as any file."""

from __future__ import annotations

import sys
import time

import psutil
import pytest

from ultraface_deploy.bench import talk
from ultraface_deploy.errors import RemoteFailed


def ask(script: str, data: bytes = b"") -> None:
    talk.talk("board", [sys.executable, "-c", script], data, talk.Connections())


@pytest.mark.parametrize(
    "answer", ["[1]", "5", "null", "{}", '{"report": []}', '{"report": {}}', '{"error": [5]}']
)
def test_answers_that_are_no_result(answer: str) -> None:
    with pytest.raises(RemoteFailed, match=r"answered something else|board: \[5\]"):
        ask(f"print({answer!r})")


@pytest.mark.parametrize("line", ["@progress x", "@progress", "@progress 1 \u0661 x", "@note", "@"])
def test_progress_that_is_none(line: str) -> None:
    script = f"import sys; sys.stderr.buffer.write({(line.encode() + bytes([10]))!r}); print('[1]')"
    with pytest.raises(RemoteFailed, match="answered something else"):
        ask(script)


def test_board_that_talks_before_it_listens() -> None:
    script = "import sys; print('x' * 300_000); sys.stdin.buffer.read(300_000); print('[1]')"
    with pytest.raises(RemoteFailed, match="answered something else"):
        ask(script, bytes(300_000))


@pytest.mark.parametrize(
    ("stream", "said"), [("stdout", "answered more than 1 MiB"), ("stderr", "said more than 1 MiB")]
)
def test_board_that_does_not_stop(monkeypatch: pytest.MonkeyPatch, stream: str, said: str) -> None:
    monkeypatch.setenv("ULTRAFACE_DEPLOY_MAX_TEXT_MB", "1")
    with pytest.raises(RemoteFailed, match=said):
        ask(f"import sys\nwhile True: sys.{stream}.write('x' * 1000)")


@pytest.mark.parametrize(
    "script",
    [
        "time.sleep(60)",
        "sys.stdout.close(); os.close(1); time.sleep(60)",
        "os.close(1); os.close(2); os.close(0); time.sleep(60)",
        # Neither side reads what the other has to say, and a process stays behind.
        "subprocess.Popen(['sleep', '61']); print('x' * 99); time.sleep(60)",
        "subprocess.Popen(['sleep', '61'])",
    ],
)
def test_board_that_says_nothing(monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    monkeypatch.setattr(talk, "_SILENCE_S", 1.0)
    started = time.monotonic()
    with pytest.raises(RemoteFailed, match="said nothing for 1 s"):
        ask(f"import os, subprocess, sys, time; {script}", bytes(1 << 20))
    assert time.monotonic() - started < 20
    left = [child.cmdline() for child in psutil.Process().children(recursive=True)]
    assert not [words for words in left if words[:1] == ["sleep"]]


def test_board_that_only_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(talk, "_SILENCE_S", 5.0)
    monkeypatch.setattr(talk, "_STANDSTILL_S", 1.0)
    with pytest.raises(RemoteFailed, match="made no progress for 1 s"):
        ask("import sys, time\nwhile True: print('@alive', file=sys.stderr); time.sleep(0.1)")


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_streams_that_somebody_else_holds(monkeypatch: pytest.MonkeyPatch, stream: str) -> None:
    """As the process does that ssh leaves behind for further connections."""
    monkeypatch.setattr(talk, "_SILENCE_S", 1.0)
    monkeypatch.setattr(talk, "_LINGER_S", 0.2)
    other = "stderr" if stream == "stdout" else "stdout"
    hold = f"subprocess.Popen(['sleep', '30'], {other}=-3, stdin=-3, start_new_session=True)"
    started = time.monotonic()
    with pytest.raises(RemoteFailed, match=r"said nothing|answered something else"):
        ask(f"import subprocess; {hold}; print('[1]')")
    assert time.monotonic() - started < 25
