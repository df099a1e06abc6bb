"""What a board answers is as strange as any file."""

from __future__ import annotations

import sys

import pytest

from ultraface_deploy.bench import remote
from ultraface_deploy.errors import RemoteFailed


def ask(script: str, data: bytes = b"") -> None:
    remote._run(
        "board",
        [sys.executable, "-c", script],
        data,
        lambda host, progress: None,
        lambda message: None,
        remote._Connections(),
    )


@pytest.mark.parametrize("answer", ["[1]", "5", "null", "{}", '{"report": []}', '{"report": {}}'])
def test_answers_that_are_no_result(answer: str) -> None:
    with pytest.raises(RemoteFailed, match="answered something else"):
        ask(f"print({answer!r})")


def test_progress_that_is_none() -> None:
    with pytest.raises(RemoteFailed, match="answered something else"):
        ask("import sys; print('@progress x', file=sys.stderr); print('[1]')")


def test_board_that_talks_before_it_listens() -> None:
    script = "import sys; print('x' * 300_000); sys.stdin.buffer.read(300_000); print('[1]')"
    with pytest.raises(RemoteFailed, match="answered something else"):
        ask(script, bytes(300_000))


def test_board_that_does_not_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ULTRAFACE_DEPLOY_MAX_TEXT_MB", "1")
    with pytest.raises(RemoteFailed, match="more than 1 MiB"):
        ask("while True: print('x' * 1000)")
