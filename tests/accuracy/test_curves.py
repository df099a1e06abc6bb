"""Curves as numbers and as a picture."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from tests.accuracy.made import result
from ultraface_deploy.accuracy.curves import check_picture, draw, write_csv
from ultraface_deploy.errors import InputError
from ultraface_deploy.wider import SETS


def test_the_numbers_are_those_of_the_curves() -> None:
    made = result(0.2)
    rows = list(csv.DictReader(io.StringIO(write_csv([made]))))
    assert {row["set"] for row in rows} == set(SETS)
    hard = [row for row in rows if row["set"] == "hard"]
    curve = made.tally.curve("hard")
    assert [float(row["recall"]) for row in hard] == pytest.approx(curve.recall, abs=1e-6)
    assert [float(row["precision"]) for row in hard] == pytest.approx(curve.precision, abs=1e-6)
    assert (hard[0]["artifact"], hard[0]["backend"], hard[0]["precision_format"]) == (
        "onnx", "b", "fp32",
    )  # fmt: skip


@pytest.mark.parametrize(("suffix", "start"), [(".png", b"\x89PNG"), (".svg", b"<?xml")])
def test_a_picture_of_the_kind_that_its_name_says(
    tmp_path: Path, suffix: str, start: bytes
) -> None:
    pytest.importorskip("matplotlib")
    draw([result(0.1), result(0.4, artifact="mnn")], tmp_path / f"curves{suffix}")
    content = (tmp_path / f"curves{suffix}").read_bytes()
    assert content.startswith(start)


def test_a_picture_that_cannot_be_drawn_is_refused_first(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"must be one of \.png"):
        check_picture(tmp_path / "curves.gif")
