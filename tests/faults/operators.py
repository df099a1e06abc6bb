"""Operators that claim too much, under the commands that load an ONNX file: `make attack`, minutes.

`pytest tests/faults/operators.py`; the default suite has a part of it.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.conftest import Convert, MakeCheckpoint
from tests.faults.bombs import ONNX_BOMBS
from tests.faults.watched import run_watched
from ultraface_deploy.safe.images import DEMO_PHOTO

COMMANDS = {
    "convert": ["convert", "BOMB", "--to", "all", "-o", "OUT"],
    "detect": ["detect", str(DEMO_PHOTO), "--model", "BOMB"],
    "verify": ["verify", "BOMB"],
    "bench run": ["bench", "run", "BOMB"],
    "bench peers": ["bench", "peers", "BOMB"],
    "yunet": ["bench", "peers", "yunet=BOMB"],
}


@pytest.mark.parametrize("kind", ONNX_BOMBS)
@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_takes_what_an_operator_claims(
    converted: Convert, make_checkpoint: MakeCheckpoint, tmp_path: Path, command: str, kind: str
) -> None:
    folder = converted(make_checkpoint(), "onnx", size=(128, 96))
    bomb, out = tmp_path / "a.onnx", tmp_path / "out"
    shutil.copy(folder.files(folder.find("onnx"))[0], bomb)
    ONNX_BOMBS[kind]([bomb])
    words = [each.replace("BOMB", str(bomb)).replace("OUT", str(out)) for each in COMMANDS[command]]
    ended = run_watched(words, tmp_path / "run", shutil.which("strace"), [out])
    assert ended.problem() is None
