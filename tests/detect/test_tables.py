"""Rows of pictures as JSON Lines and Parquet: the same, also of what cannot be read."""

from __future__ import annotations

import csv
import json
import os
import pty
import subprocess
import sys
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.conftest import ROOT, Cli, noise
from ultraface_deploy.detect.frames import Frame, Stopped, Unread
from ultraface_deploy.detect.rows import row_of, row_of_unread
from ultraface_deploy.detect.tables import open_tables
from ultraface_deploy.errors import InputError
from ultraface_deploy.pipeline import Faces
from ultraface_deploy.safe.images import DEMO_PHOTO

parquet = pytest.importorskip("pyarrow.parquet", reason="needs the extra parquet")

ODD = os.fsdecode(b"caf\xc3\xa9\xff\n\x1b[1m\\.jpg")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """One with a face, one cut off, one that is none, one of an odd name."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    content = DEMO_PHOTO.read_bytes()
    (folder / "a.jpg").write_bytes(content)
    (folder / "b.jpg").write_bytes(content[: len(content) * 3 // 4])
    (folder / "c.jpg").write_bytes(b"no picture")
    (folder / ODD).write_bytes(cv2.imencode(".jpg", np.zeros((48, 64, 3), np.uint8))[1].tobytes())
    return folder


def test_every_picture_is_a_row(cli: Cli, pictures: Path, tmp_path: Path) -> None:
    names = ("f.jsonl", "f.parquet", "f.json", "f.csv")
    lines, table, document, faces = (tmp_path / name for name in names)
    done = cli(
        *("detect", pictures, "--jsonl", lines, "--parquet", table),
        *("--json", document, "--csv", faces),
    )
    assert done.code == 1
    rows = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [row["file"] for row in rows] == [
        str(pictures / name) for name in ("a.jpg", "b.jpg", "c.jpg", ODD)
    ]
    assert [len(row["faces"] or []) for row in rows] == [1, 1, 0, 0]
    assert [row["error"] is None for row in rows] == [True, True, False, True]
    assert rows[2]["faces"] is None and rows[2]["width"] is None
    assert "not an image" in rows[2]["error"]
    assert "cut off" in rows[1]["damage"] and rows[0]["damage"] is None
    # The document of before has the same faces, of what could be read.
    keys = ("file", "frame", "time", "width", "height", "faces")
    assert json.loads(document.read_text())["results"] == [
        {key: row[key] for key in keys} for row in rows if row["error"] is None
    ]
    columns = parquet.read_table(table).to_pylist()
    assert [row["file"] for row in columns[:3]] == [row["file"] for row in rows[:3]]
    with faces.open(newline="") as file:
        assert columns[0]["file"] == list(csv.reader(file))[1][0]
    assert [as_in_json(row) for row in columns] == [row["faces"] for row in rows]
    assert [row["error"] for row in columns] == [row["error"] for row in rows]
    # Two backslashes are one, and `xff` after one a byte that is no text: the name can be had back.
    text = columns[3]["file"].encode("latin-1", "backslashreplace").decode("unicode_escape")
    assert Path(text).name.encode("latin-1", "surrogateescape") == b"caf\xe9\xff\n\x1b[1m\\.jpg"


def as_in_json(row: dict[str, Any]) -> list[dict[str, Any]] | None:
    if row["faces"] is None:
        return None
    return [
        {"box": [face[key] for key in ("x1", "y1", "x2", "y2")]}
        | {key: face[key] for key in ("score", "label")}
        for face in row["faces"]
    ]


def test_a_video_that_breaks_off_says_where() -> None:
    row = row_of_unread(Stopped("a.mp4", "a.mp4: stopped after 5 of 9 pictures", 5))
    assert (row["file"], row["frame"], row["faces"]) == ("a.mp4", 5, None)
    assert row["error"] == "a.mp4: stopped after 5 of 9 pictures"
    assert row_of_unread(Unread("a.gif", InputError("a.gif: damaged"), True, 3))["frame"] == 3


def test_landmarks_are_kept(tmp_path: Path) -> None:
    faces = Faces(
        np.array([[1, 2, 3, 4]], np.float32),
        np.array([0.5], np.float32),
        np.array([1]),
        np.arange(10, dtype=np.float32).reshape(1, 5, 2),
    )
    with open_tables({"parquet": str(tmp_path / "f.parquet")}) as tables:
        tables.add(row_of(Frame("a.jpg", noise(8, 8)), faces))
    (row,) = parquet.read_table(tmp_path / "f.parquet").to_pylist()
    assert row["faces"][0]["landmarks"] == list(range(10))


def test_standard_output(cli: Cli, tmp_path: Path) -> None:
    lines = cli("detect", DEMO_PHOTO, "--jsonl", "-")
    assert [len(json.loads(line)["faces"]) for line in lines.out.splitlines()] == [1]
    both = cli("detect", DEMO_PHOTO, "--jsonl", "-", "--parquet", "-")
    assert both.code == 2 and "can go to standard output" in both.error


@pytest.mark.parametrize("terminal", [True, False])
def test_parquet_goes_into_a_pipe_but_not_onto_a_terminal(terminal: bool, tmp_path: Path) -> None:
    words = ["ultraface_deploy", "detect", str(DEMO_PHOTO), "--parquet", "-"]
    ours, theirs = pty.openpty() if terminal else os.pipe()
    # A network that is not there: it is refused before one is looked for.
    words += ["--model", "gone.onnx"] if terminal else []
    process = subprocess.Popen(
        [sys.executable, "-m", *words], cwd=ROOT, stdout=theirs, stderr=subprocess.PIPE, text=True
    )
    os.close(theirs)
    written = b""
    # Linux says of a terminal that nobody holds any more that it is an error.
    with suppress(OSError):
        while piece := os.read(ours, 1 << 16):
            written += piece
    os.close(ours)
    _, said = process.communicate()
    if terminal:
        assert process.returncode == 2 and not written
        assert said.splitlines() == [
            "error: --parquet -: Parquet is binary, and standard output is a terminal; give a "
            "file, or send it on with > or |"
        ]
    else:
        assert process.returncode == 0, said
        (row,) = parquet.read_table(BytesIO(written)).to_pylist()
        assert row["file"] == str(DEMO_PHOTO) and len(row["faces"]) == 1


def test_nothing_is_left_of_a_table_that_fails(tmp_path: Path) -> None:
    targets = {kind: str(tmp_path / kind) for kind in ("parquet", "jsonl", "csv")}
    with pytest.raises(KeyError), open_tables(targets) as tables:
        tables.add(row_of(Frame("a.jpg", noise(8, 8)), Faces()))
        raise KeyError
    assert not list(tmp_path.iterdir())


def test_a_missing_package_is_said_before_a_network_is_loaded(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    done = cli("detect", DEMO_PHOTO, "--model", "gone.onnx", "--parquet", tmp_path / "f.parquet")
    assert done.code == 3
    assert "pip install 'ultraface-deploy[parquet]'" in done.error
