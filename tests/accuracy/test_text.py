"""Tables for people say what the results say."""

from __future__ import annotations

from rich.console import Console

from tests.accuracy.made import result
from ultraface_deploy.accuracy import Evaluation, compare_results
from ultraface_deploy.accuracy.text import pairing_table, tables


def printed(*found: object) -> str:
    console = Console(width=200, record=True)
    for each in found:
        console.print(each)
    return console.export_text()


def test_ap_and_agreement() -> None:
    made = result(0.2)
    heights = {"low": 0.0, "high": None, "faces": 180, "recall": {"0.5": 0.8}}
    details = {
        "operating_points": [
            {"score": 0.5, "recall": 0.8, "precision": 0.9, "false_positives_per_image": 0.25}
        ],
        "by_height": [heights],
        "expected_calibration_error": 0.0625,
        "agreement": {"reference": "torch", "recall": 1.0, "precision": 0.5, "f1": 2 / 3},
    }
    made.details.update(details)  # type: ignore[attr-defined]
    text = printed(*tables(Evaluation({"name": "WIDER FACE"}, [made])))
    for ap in made.ap().values():
        assert f"{ap:.4f}" in text
    for shown in ("0.667", "320x240", "0+", "180", "0.2500", "0.0625"):
        assert shown in text


def test_a_change_with_its_interval() -> None:
    pairing = compare_results(result(0.1), result(0.4), samples=100)
    text = printed(pairing_table(pairing, 0.95))
    assert "95% interval" in text
    for each in pairing.changes:
        assert f"{each.change:+.4f}" in text
        assert f"{each.low:+.4f} to {each.high:+.4f}" in text
