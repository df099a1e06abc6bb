"""File names that native code or a terminal would choke on, and outputs that end too early."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ultraface_deploy.safe.images import DEMO_PHOTO

COMMAND = [sys.executable, "-m", "ultraface_deploy"]


def start(words: list[object], **options: object) -> subprocess.CompletedProcess[bytes]:
    """Run the command line in a process of its own, where a crash is seen."""
    return subprocess.run(  # type: ignore[call-overload,no-any-return]
        [*COMMAND, *map(os.fsencode, map(str, words))],
        stderr=subprocess.PIPE,
        timeout=120,
        check=False,
        **options,
    )


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder with names that are not UTF-8, or that a spreadsheet or a terminal would obey."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in (b"bad\xff.jpg", b"=A1\x1b[31m\n.jpg"):
        shutil.copyfile(DEMO_PHOTO, folder / os.fsdecode(name))
    return folder


def test_names_that_are_not_utf8(pictures: Path, tmp_path: Path) -> None:
    marked, found, table = (tmp_path / name for name in ("marked", "faces.json", "faces.csv"))
    words = ["detect", pictures, "-o", marked, "--json", found, "--csv", table]
    result = start(words, stdout=subprocess.PIPE)
    assert (result.returncode, result.stderr) == (0, b"")
    assert b"\x1b" not in result.stdout and result.stdout.count(b"\n") == 3
    names = {os.fsencode(path.name) for path in pictures.iterdir()}
    assert {os.fsencode(path.name) for path in marked.iterdir()} == names
    told = json.loads(found.read_text())["results"]
    assert {os.fsencode(Path(each["file"]).name) for each in told} == names
    content = table.read_text()
    assert "\x1b" not in content and "bad\\xff.jpg" in content


def test_model_whose_name_is_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"m\xff.onnx")
    path.write_bytes(b"x")
    result = start(["detect", DEMO_PHOTO, "--model", path], stdout=subprocess.PIPE)
    assert result.returncode == 2
    assert result.stderr.count(b"\n") == 1


@pytest.mark.parametrize("words", [["models", "list"], ["detect", DEMO_PHOTO, "--json", "-"]])
def test_standard_output_that_is_full(words: list[object]) -> None:
    with Path("/dev/full").open("wb") as full:
        result = start(words, stdout=full)
    assert result.returncode == 2
    wanted = "standard output: No space left on device; make room or choose another place"
    assert result.stderr.decode() == f"error: {wanted}\n"


def test_standard_output_that_is_closed() -> None:
    result = start(["models", "list"], preexec_fn=lambda: os.close(1))
    assert result.returncode == 2
    assert result.stderr == b"error: standard output: Bad file descriptor\n"


def test_reader_that_has_read_enough() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    result = start(["models", "list"], stdout=writing)
    os.close(writing)
    assert (result.returncode, result.stderr) == (0, b"")


def test_termination_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    process = subprocess.Popen(
        [*COMMAND, "convert", "slim-320", "--to", "all", "-o", str(tmp_path / "out")],
        env=os.environ | {"TMPDIR": str(tmp_path / "tmp")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until = time.monotonic() + 60
    while not any((tmp_path / "tmp").glob("ultraface-*")) and time.monotonic() < until:
        if process.poll() is not None:
            pytest.skip("it ended without a temporary folder; what converts is not installed")
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == -signal.SIGTERM
    assert not list((tmp_path / "tmp").iterdir())
