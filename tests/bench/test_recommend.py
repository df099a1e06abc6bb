from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from tests.bench.made import measurement, report
from ultraface_deploy.bench.accuracy import Accuracies
from ultraface_deploy.bench.recommend import Limits, parse_min_ap, recommend
from ultraface_deploy.errors import CheckFailed, InputError

REPORT = report(
    measurement(3.0),
    measurement(1.0, threads=4, cores=[0, 1, 2, 3]),
    measurement(2.0, precision="int8", artifact="ncnn-int8"),
)


@pytest.fixture
def accuracies(tmp_path: Path) -> Accuracies:
    rows = [
        {
            "model": "slim-320",
            "artifact": artifact,
            "backend": "ncnn",
            "precision": precision,
            "input": {"width": 320, "height": 240},
            "easy": 0.78,
            "medium": None,
            "hard": hard,
        }
        for artifact, precision, hard in (("ncnn", "fp32", 0.45), ("ncnn-int8", "int8", 0.40))
    ]
    path = tmp_path / "eval.json"
    path.write_text(json.dumps({"schema": 1, "protocol": {}, "results": rows}))
    return Accuracies.load(path)


@pytest.mark.parametrize(
    ("limits", "precision", "threads"),
    [
        (Limits(), "fp32", 4),
        (Limits(max_cores=1), "int8", 1),
        (Limits(max_cores=1, min_ap=0.42), "fp32", 1),
        (Limits(max_ms=2.0), "fp32", 4),
        (Limits(max_cores=2, min_ap=0.7, ap_set="easy"), "int8", 1),
    ],
)
def test_the_fastest_within_the_limits(
    limits: Limits, precision: str, threads: int, accuracies: Accuracies
) -> None:
    chosen = recommend(REPORT, limits, accuracies).measurement
    assert (chosen.precision, chosen.threads) == (precision, threads)


def test_the_command_uses_the_configuration() -> None:
    words = shlex.split(recommend(REPORT, Limits(max_cores=1)).command)
    assert words[:2] == ["ultraface-deploy", "detect"]
    options = dict(zip(words[3::2], words[4::2], strict=True))
    assert options == {
        "--model": "artifacts/slim-320",
        "--backend": "ncnn",
        "--precision": "int8",
        "--threads": "1",
    }


def test_limits_that_nothing_keeps_to(accuracies: Accuracies) -> None:
    with pytest.raises(CheckFailed, match="no configuration stays within the limits"):
        recommend(REPORT, Limits(max_ms=0.5))
    with pytest.raises(CheckFailed, match="not in the eval file"):
        recommend(REPORT, Limits(min_ap=0.1, ap_set="medium"), accuracies)


def test_an_ap_needs_an_evaluation() -> None:
    with pytest.raises(InputError, match="`eval`"):
        recommend(REPORT, Limits(min_ap=0.4))
    assert parse_min_ap("0.4") == ("hard", 0.4)
    assert parse_min_ap("easy:0.77") == ("easy", 0.77)
    for text in ("", "x", "1.5", "small:0.5", "nan"):
        with pytest.raises(InputError, match="`min_ap`"):
            parse_min_ap(text)
