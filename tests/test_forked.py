"""A copy of the loaded process does what a process of its own does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.forked import forks
from ultraface_deploy.safe.images import DEMO_PHOTO


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["detect", "gone.jpg", "--model", "slim-320"], 2),
        (["detect", DEMO_PHOTO, "--model", "slim-320", "--json", "OUT"], 0),
    ],
)
def test_it_ends_as_a_process_does(tmp_path: Path, words: list[str], code: int) -> None:
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    texts = []
    for number in range(2):
        said, out = tmp_path / f"said-{number}", tmp_path / f"{number}.json"
        line = [str(out if word == "OUT" else word) for word in words]
        if number:
            done = forks().run(line, said, environment, 3 << 30)
            assert 10 < done.peak_mb < 1024 and done.seconds < 60
            assert done.code == code
        else:
            command = [sys.executable, "-m", "ultraface_deploy", *line]
            with said.open("w") as file:
                ran = subprocess.run(command, cwd=ROOT, env=environment, stderr=file, check=False)
            assert ran.returncode == code
        texts.append((said.read_text(), out.read_text() if out.is_file() else ""))
    assert texts[0] == texts[1]


def test_memory_is_limited(tmp_path: Path) -> None:
    words = ["detect", DEMO_PHOTO, "--model", "slim-320"]
    assert forks().run(words, tmp_path / "said", os.environ, 1 << 20).code != 0
