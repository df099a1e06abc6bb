from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.quantize.conftest import Case
from ultraface_deploy.errors import InputError
from ultraface_deploy.quantize.table import CalibrationTable


def test_comes_back_as_it_was_saved(case: Case, tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    case.table.save(path)
    back = CalibrationTable.load(path)
    assert back.model == case.table.model
    assert back.ranges == case.table.ranges
    assert back.costs == case.table.costs
    for name, values in case.table.absmax.items():
        np.testing.assert_array_equal(back.absmax[name], values)
        np.testing.assert_array_equal(back.mean[name], case.table.mean[name])
    back.save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == path.read_bytes()


def test_is_small_and_readable(case: Case, tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    case.table.save(path)
    assert path.stat().st_size < 100_000
    lines = path.read_text().splitlines()
    assert any(line.strip().startswith('"base_net.1.0": {"scores"') for line in lines)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data.update(schema=99), "schema 99"),
        (lambda data: data.pop("channels"), "damaged"),
        (lambda data: data.pop("ranges"), "damaged"),
        (lambda data: data.update(model={}), "model: object missing required field name"),
        (lambda data: data["model"]["weight_norms"].update(a="x"), r"weight_norms.* got str"),
        (lambda data: data["channels"]["input"].update(absmax=["x"]), "damaged"),
        (lambda data: data["channels"]["input"].update(absmax=[1e999]), "damaged"),
        (lambda data: data["ranges"]["input"].update(mse=[1, 2]), "damaged"),
        (lambda data: data["costs"].update({"base_net.0.0": 3}), "damaged"),
    ],
)
def test_damaged_tables_are_refused(
    slim: Case, tmp_path: Path, change: object, message: str
) -> None:
    path = tmp_path / "table.json"
    slim.table.save(path)
    data = json.loads(path.read_text())
    assert callable(change)
    change(data)
    path.write_text(json.dumps(data))
    with pytest.raises(InputError, match=message):
        CalibrationTable.load(path)


def test_other_files_are_refused(tmp_path: Path) -> None:
    for content in ("", "[]", "{", "\0\1"):
        (tmp_path / "table.json").write_text(content)
        with pytest.raises(InputError):
            CalibrationTable.load(tmp_path / "table.json")


def test_a_table_serves_its_own_network_alone(slim: Case, rfb: Case) -> None:
    slim.table.require_network(slim.network)
    with pytest.raises(InputError, match="a network with other layers"):
        slim.table.require_network(rfb.network)
    name = slim.network.layers[0].name
    norms = slim.table.model["weight_norms"]
    other = {**slim.table.model, "weight_norms": {**norms, name: 1.01 * norms[name]}}
    with pytest.raises(InputError, match=rf"other weights \({name}\)"):
        replace(slim.table, model=other).require_network(slim.network)
