"""Results come back from their files, and other files are refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.accuracy.made import result, written
from ultraface_deploy.accuracy import read_results
from ultraface_deploy.accuracy.result import pack, unpack
from ultraface_deploy.errors import InputError
from ultraface_deploy.wider import SETS


def test_results_come_back_from_their_file(tmp_path: Path) -> None:
    before = result(0.2)
    _, (after,) = read_results(written(tmp_path / "a.json", before))
    assert after.ap() == before.ap()
    assert after.tally.names == before.tally.names


@pytest.mark.parametrize("text", ["", "{}", '{"schema": 1, "protocol": {}, "results": [{}]}', "[]"])
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(InputError, match=r"a\.json"):
        read_results(tmp_path / "a.json")


def test_damaged_counts_are_refused(tmp_path: Path) -> None:
    data = json.loads(written(tmp_path / "a.json", result(0.2)).read_text())
    data["results"][0]["counts"] = data["results"][0]["counts"][: -len("counts") * 40]
    (tmp_path / "a.json").write_text(json.dumps(data))
    with pytest.raises(InputError, match="damaged"):
        read_results(tmp_path / "a.json")


@pytest.mark.parametrize(
    "change",
    [
        {"model": None},
        {"input": {"width": 320}},
        {"bytes": "many"},
        {"missing": -1},
        {"operating_points": [{"score": "0.5", "recall": 1, "precision": 1}]},
        {"agreement": {"f1": None}},
        {"counts": ""},
    ],
)
def test_records_of_other_types_are_refused(tmp_path: Path, change: dict[str, object]) -> None:
    data = json.loads(written(tmp_path / "a.json", result(0.2)).read_text())
    data["results"][0].update(change)
    (tmp_path / "a.json").write_text(json.dumps(data))
    with pytest.raises(InputError, match="damaged"):
        read_results(tmp_path / "a.json")


def test_counts_with_more_bins_than_anybody_counts() -> None:
    """Otherwise a curve would allocate what the file claims."""
    with pytest.raises(ValueError, match="do not fit"):
        unpack(pack(replace(result(0.2).tally, bins=10**12)))


def test_counts_are_packed_without_loss() -> None:
    tally = result(0.3).tally
    again = unpack(pack(tally))
    for name in SETS:
        np.testing.assert_array_equal(again.curve(name).precision, tally.curve(name).precision)
