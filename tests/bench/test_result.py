from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.bench.made import MACHINE, measurement, report
from ultraface_deploy.bench.measurement import Launch, Round
from ultraface_deploy.bench.result import BenchReport, Failure, merged
from ultraface_deploy.bench.tables import to_markdown
from ultraface_deploy.errors import InputError

ROW = {
    *("artifact", "backend", "precision", "threads", "stage", "samples", "min_ms", "median_ms"),
    *("mean_ms", "p90_ms", "p99_ms", "fps", "peak_rss_mb", "model_bytes", "warnings"),
}


def test_rows_against_numpy() -> None:
    measured = measurement()
    values = np.concatenate([x for rounds in measured.samples("inference") for x in rounds])
    row = measured.row("inference")
    assert row.samples == values.size == 5 * 6 * 40
    assert row.min_ms == pytest.approx(values.min(), abs=1e-4)
    assert row.median_ms == pytest.approx(np.median(values), abs=1e-4)
    assert row.mean_ms == pytest.approx(values.mean(), abs=1e-4)
    assert row.p99_ms == pytest.approx(np.quantile(values, 0.99), abs=1e-4)
    assert row.fps == pytest.approx(1000 / np.median(values), abs=0.1)
    assert row.min_ms <= row.ci_low_ms <= row.median_ms <= row.ci_high_ms <= row.p99_ms


def test_end_to_end_is_the_sum_of_the_stages_of_each_sample() -> None:
    timed = Round([1000.0, 2000.0], [10.0, 20.0], [1.0, 2.0], [])
    assert timed.milliseconds("end_to_end").tolist() == [1.011, 2.022]


def test_energy_is_per_inference_and_only_where_there_is_a_meter() -> None:
    measured = measurement()
    assert measured.row("end_to_end").energy_mj is None
    rounds = [Round([1.0] * 4, [1.0] * 4, [1.0] * 4, [], energy_uj=8000.0)]
    launch = type(measured.launches[0])(1.0, 1.0, rounds)
    assert measurement(launches=[launch]).row("end_to_end").energy_mj == 2.0
    assert measurement(launches=[launch]).row("inference").energy_mj is None


def test_json_has_the_documented_rows_and_comes_back() -> None:
    measured = measurement(warnings=["4 threads on 2 cores"])
    failed = Failure("slim-320", "mnn-int8", "mnn", "int8", 1, "its outputs are not finite")
    original = BenchReport(MACHINE, {}, (measured,), (failed,))
    data = json.loads(original.to_json())
    assert data["schema"] == 1
    assert {row["stage"] for row in data["results"]} == {
        *("preprocess", "inference", "postprocess", "end_to_end"),
    }
    assert all(row.keys() >= ROW for row in data["results"])
    assert BenchReport.from_dict(data) == original


def test_a_list_of_samples_is_one_line() -> None:
    text = report(measurement()).to_json()
    assert len(text.splitlines()) < 2000


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.pop("measurements"),
        lambda data: data["measurements"][0].pop("launches"),
        lambda data: data["measurements"][0].update(launches=[]),
        lambda data: data["measurements"][0]["launches"][0].update(rounds=[]),
        lambda data: data["measurements"][0].update(surprise=1),
        lambda data: data.update(schema=2),
        lambda data: data.update(measurements=7),
        lambda data: data["measurements"][0].update(width="320"),
        lambda data: data["measurements"][0].update(sha256=[]),
        lambda data: data["measurements"][0]["launches"][0]["rounds"][0].update(inference=[]),
        lambda data: data["measurements"][0]["launches"][0]["rounds"][0].update(preempted=[10**9]),
        lambda data: data["measurements"][0]["launches"][0]["rounds"][0]["inference"].append(-1),
        lambda data: data["measurements"][0]["launches"][0].update(peak_rss_mb=float("inf")),
    ],
)
def test_damaged_results_are_refused_in_one_line(change: Any, tmp_path: Path) -> None:
    data = json.loads(report(measurement()).to_json())
    change(data)
    path = tmp_path / "damaged.json"
    path.write_text(json.dumps(data))
    with pytest.raises(InputError, match=r"damaged\.json"):
        BenchReport.load(path)


JSON = st.recursive(
    st.none() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@settings(max_examples=50, deadline=None)
@given(JSON)
def test_any_other_json_is_refused(data: Any) -> None:
    with pytest.raises(InputError):
        BenchReport.from_dict(data)


def test_hosts_are_put_side_by_side() -> None:
    both = merged({"pi4": report(measurement()), "pi5": report(measurement(1.0), cpu="A76")})
    assert [(row.host, row.stage) for row in both.rows("inference")] == [
        ("pi4", "inference"),
        ("pi5", "inference"),
    ]
    assert both.machines["pi5"]["cpu"] == "A76"
    assert "slim-320 on pi5" in to_markdown(both)


@pytest.mark.parametrize(
    "samples",
    [
        {"preprocess": [], "inference": [], "postprocess": []},
        {"preprocess": [1.0], "inference": [1.0, 2.0], "postprocess": [1.0]},
        {"preprocess": [1.0], "inference": [-1.0], "postprocess": [1.0]},
        {"preprocess": [1.0], "inference": [math.inf], "postprocess": [1.0]},
    ],
)
def test_rounds_without_sense_are_refused(samples: dict[str, list[float]]) -> None:
    data = report(measurement()).to_dict()
    data["measurements"][0]["launches"][0]["rounds"][0] |= samples
    with pytest.raises(InputError, match="not a JSON result of bench"):
        BenchReport.from_dict(data)


def test_a_result_without_its_machine_is_refused() -> None:
    data = report(measurement()).to_dict() | {"machine": {}}
    with pytest.raises(InputError, match="not a JSON result of bench"):
        BenchReport.from_dict(data)


def test_energy_is_shared_by_the_inferences_before_the_samples_too() -> None:
    spent = Round([1.0] * 7, [1.0] * 7, [1.0] * 7, [], energy_uj=10_000.0, settling=3)
    measured = measurement(launches=[Launch(1.0, 1.0, [spent])])
    assert measured.row("end_to_end").energy_mj == 1.0
