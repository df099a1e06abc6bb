"""Peers in one table: AP in both geometries, cost in turns, and the commands that write it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.conftest import WriteGroundTruth
from ultraface_deploy.accuracy.peers import NamedPeer
from ultraface_deploy.bench.peers import (
    PeerReport,
    kept_size,
    macs_of,
    measure_accuracy,
    measure_cost,
    peer_table,
)
from ultraface_deploy.errors import CheckFailed
from ultraface_deploy.models import FOLDER
from ultraface_deploy.pipeline import Faces
from ultraface_deploy.wider import read_ground_truth

SETS = ("easy", "medium", "hard")


class Fake:
    """Finds the one face of a picture, but only where proportions are kept."""

    runtime, file, grid = "none", None, 1

    def __init__(self, always: bool) -> None:
        self.always, self.asked = always, list[tuple[int, int]]()

    def detect(self, bgr: np.ndarray, width: int, height: int) -> Faces:
        self.asked.append((width, height))
        kept = abs(bgr.shape[1] / bgr.shape[0] - width / height) < 0.05
        boxes = np.float32([[10, 20, 50, 70]] if kept or self.always else [[100, 100, 120, 120]])
        return Faces(boxes, np.float32([0.9]), np.ones(1, np.int64))


@pytest.fixture
def wider(write_truth: WriteGroundTruth, tmp_path: Path) -> tuple[dict[str, Path], Path]:
    """Two pictures of 200x400 with a face each."""
    pytest.importorskip("scipy", reason="the ground truth is in MATLAB files")
    names = ["0--A/0_A_1", "0--A/0_A_2"]
    truth = write_truth(tmp_path / "truth", {name: [((10, 20, 40, 50), SETS)] for name in names})
    images = {}
    for name in names:
        images[name] = tmp_path / f"WIDER_val/images/{name}.jpg"
        images[name].parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(images[name]), np.zeros((400, 200, 3), np.uint8))
    return images, truth


def test_both_geometries_are_measured(wider: tuple[dict[str, Path], Path]) -> None:
    images, folder = wider
    truth, picky = read_ground_truth(folder), Fake(always=False)
    peers = [NamedPeer("picky", picky), NamedPeer("sure", Fake(always=True))]
    first, second = measure_accuracy(peers, images, truth, (320, 240))
    assert first.stretched == (0, 0, 0) and min(first.kept) > 0.99
    assert min(second.stretched) > 0.99 and second.images == 2
    assert picky.asked == [(320, 240), (160, 320)] * 2


def test_a_detector_that_finds_nothing_is_not_timed(tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    cv2.imwrite(str(picture), np.zeros((40, 40, 3), np.uint8))

    class Blind(Fake):
        def detect(self, bgr: np.ndarray, width: int, height: int) -> Faces:
            return Faces(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, int))

    sure = NamedPeer("sure", Fake(always=True))
    first, second = measure_cost([sure, NamedPeer("twin", Fake(True))], [picture], (40, 40), 10)
    assert first.relative == 1 and second.macs is None and second.bytes is None
    with pytest.raises(CheckFailed, match="blind"):
        measure_cost([sure, NamedPeer("blind", Blind(True))], [picture], (40, 40), 10)


def test_macs_are_counted_for_the_padded_input(shared: Path) -> None:
    pytest.importorskip("onnx", reason="counts on the graph")

    class Peer(Fake):
        def __init__(self, file: Path, grid: int) -> None:
            self.file, self.grid = file, grid

    assert macs_of(Peer(FOLDER / "slim-320.onnx", 1), (320, 240)) == 81_410_560
    small, large = (
        macs_of(Peer(shared / "peers/yunet_n_dynamic.onnx", 32), (320, height))
        for height in (240, 256)
    )
    assert small == large == 108_478_720


def test_kept_size() -> None:
    assert kept_size(np.zeros((600, 1000, 3), np.uint8), 320) == (320, 192)
    assert kept_size(np.zeros((1000, 600, 3), np.uint8), 320) == (192, 320)


def test_the_commands_make_one_table(
    cli: Callable[..., Any], wider: tuple[dict[str, Path], Path], tmp_path: Path
) -> None:
    _, folder = wider
    timed, scored = tmp_path / "bench.json", tmp_path / "eval.json"
    full = cli("bench", "peers", "slim-320", "--rounds", 10, "--json", "/dev/full")
    assert full.code == 2 and "| slim-320 |" in full.out
    done = cli("bench", "peers", "slim-320", "--rounds", 10, "--json", timed)
    assert done.code == 0, done.err
    assert "| slim-320 |" in done.out
    assert json.loads(timed.read_text())["cost"][0]["relative"] == 1
    done = cli(
        *("eval", "peers", "slim-320", "--data", tmp_path, "--ground-truth", folder),
        *("--json", scored, "--beside", timed, "--markdown", "-"),
    )
    assert done.code == 0, done.err
    assert "| slim-320 | 0.000 / 0.000 / 0.000 |" in done.out and "81.4 M" in done.out
    readme = tmp_path / "README.md"
    readme.write_text("a\n<!-- peers:begin -->\nold\n<!-- peers:end -->\nb\n")
    options = ("--rounds", 10, "--beside", scored, "--into", readme)
    done = cli("bench", "peers", "slim-320", *options)
    assert done.code == 0, done.err
    first, *_, last = readme.read_text().splitlines()
    assert (first, last) == ("a", "b") and "old" not in readme.read_text()
    assert "| slim-320 | 0.000 / 0.000 / 0.000 |" in readme.read_text()
    refused = cli("bench", "peers", "slim-320", "--beside", tmp_path / "none.json", "--rounds", 10)
    assert refused.code == 2
    (tmp_path / "other.md").write_text("no markers")
    refused = cli("bench", "peers", "slim-320", "--into", tmp_path / "other.md", "--rounds", 10**9)
    assert refused.code == 2 and "peers:begin" in refused.err


def test_quoted_figures_are_marked_and_of_the_same_size() -> None:
    text = peer_table(PeerReport(1, "640x480", 1), None)
    assert "| libfacedetection v2 * | 0.773 / 0.718 / 0.485 | - | - | - | 3340 kB |" in text
    assert "| RetinaFace-mobilenet-0.25 * | - | 0.879 / 0.807 / 0.481 | - | - | 1680 kB |" in text
    assert text.endswith("on all 3226 validation images.\n") and "\n\n\\* quoted" in text
    assert "*" not in peer_table(PeerReport(1, "128x96", 1), None)


def test_table_of_one_side() -> None:
    assert peer_table(None, None).count("\n") == 2
    assert PeerReport(1, "320x240", 1).to_dict()["accuracy"] == ()
