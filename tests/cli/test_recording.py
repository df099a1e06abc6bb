"""Recordings of a stream that are ended by Ctrl-C or by the system."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import pytest

from tests.conftest import ROOT
from tests.detect.test_sources import serving


def end(words: list[str], number: signal.Signals, seen: str) -> subprocess.CompletedProcess[str]:
    """Run `detect`, and send it a signal when it has printed a line and worked on for a second."""
    process = subprocess.Popen(
        [sys.executable, "-m", "ultraface_deploy", "detect", *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    lines = process.stdout.readline()
    assert seen in lines
    time.sleep(1)
    process.send_signal(number)
    out, error = process.communicate(timeout=60)
    return subprocess.CompletedProcess(words, process.returncode, lines + out, error)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, -15)])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_what_was_recorded_is_kept(
    tmp_path: Path, number: signal.Signals, code: int, workers: str
) -> None:
    video, document, rows = (tmp_path / name for name in ("a.mp4", "a.json", "a.csv"))
    with serving(pictures=250, pause=0.05) as (url, _):
        words = [url, "-o", str(video), "--json", str(document), "--count", str(rows)]
        done = end([*words, "--workers", workers], number, "0 faces")
    assert done.returncode == code, done.stderr
    assert "what was found until then is complete" in done.stderr
    results = json.loads(document.read_text())["results"]
    assert len(results) > 5 and len(rows.read_text().splitlines()) == len(results) + 1
    capture = cv2.VideoCapture(str(video))
    pictures = 0
    while capture.grab():
        pictures += 1
    assert results[-1]["time"] <= pictures / capture.get(cv2.CAP_PROP_FPS) + 0.1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "a.json", "a.mp4"]


def test_where_nothing_was_recorded_nothing_is_written(tmp_path: Path) -> None:
    words = ["http://127.0.0.1:9/none.mjpg", "--json", str(tmp_path / "a.json")]
    process = subprocess.Popen(
        [sys.executable, "-m", "ultraface_deploy", "detect", *words],
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    assert list(tmp_path.iterdir()) == []
