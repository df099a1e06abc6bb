from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import Cli
from tests.quantize.conftest import SIZE, Case
from ultraface_deploy.errors import InputError
from ultraface_deploy.quantize.report import draw_report, report_to_dict, sensitivity_report
from ultraface_deploy.quantize.sensitivity import extra_bytes, sensitive_layers


def test_rows_are_sorted_and_shares_sum_to_one(case: Case) -> None:
    rows = sensitivity_report(case.network, case.table)
    assert [row.score_error for row in rows] == sorted(
        (row.score_error for row in rows), reverse=True
    )
    assert sum(row.multiplications for row in rows) == pytest.approx(1)
    json.dumps(report_to_dict(rows, case.table), allow_nan=False)


def test_kept_layers_stay_within_the_budget(case: Case) -> None:
    before: tuple[str, ...] = ()
    for budget in (0, 500, 2_000, 8_000, 10**9):
        kept = sensitive_layers(case.network, case.table.costs, budget)
        assert sum(extra_bytes(case.network.layer(name)) for name in kept) <= budget
        assert len(kept) >= len(before)
        before = kept
    assert len(before) == len(case.network.layers)


def test_picture(slim: Case, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the picture is drawn with it")
    rows = sensitivity_report(slim.network, slim.table)
    draw_report(rows, "slim", tmp_path / "report.png")
    assert (tmp_path / "report.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(InputError, match="the name of a picture must end in"):
        draw_report(rows, "slim", tmp_path / "report.txt")


def test_command_line(
    cli: Cli, slim: Case, checkpoints: Path, shared: Path, tmp_path: Path
) -> None:
    width, height = SIZE
    model = [checkpoints / "version-slim-320.pth", "--input-size", f"{width}x{height}"]
    table = tmp_path / "table.json"
    result = cli(
        *("quantize", "calibrate", *model, "--calibration", shared / "images"),
        *("--calibration-images", 2, "-o", table),
    )
    assert result.code == 0, result.err
    assert json.loads(table.read_text())["images"]["count"] == 2
    result = cli("quantize", "report", *model, "--calibration", table, "--json", "-")
    assert result.code == 0, result.err
    assert len(json.loads(result.out)["layers"]) == len(slim.network.layers)


def test_calibrating_needs_photographs(cli: Cli, tmp_path: Path) -> None:
    result = cli("quantize", "calibrate", "-o", tmp_path / "table.json")
    assert result.code == 2
    assert "--calibration DIR" in result.error
    result = cli("quantize", "calibrate", "--calibration", tmp_path / "absent")
    assert result.code == 2
    assert "no such file or folder" in result.error
