"""What is handed on, and above all what is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.bench.made import measurement, report
from ultraface_deploy import models
from ultraface_deploy.bench.machine import describe
from ultraface_deploy.bench.result import BenchReport, merged
from ultraface_deploy.bench.submission import Submission
from ultraface_deploy.errors import InputError
from ultraface_deploy.safe.records import encode

SECRETS = ("alices-laptop", "/home/alice", "project-x", "acme", "pi@attic")
MACHINE: dict[str, Any] = {
    "hostname": "alices-laptop",
    "cpu": "Cortex-A72",
    "board": "Raspberry Pi 4 Model B Rev 1.4",
    "cores": 4,
    "clusters": [{"name": "all", "cores": [0, 1, 2, 3], "max_mhz": 1500.0}],
    "system": "Linux 6.1.21-v8+-acme",
    "libraries": {"MNN": "3.6.1"},
    "note": "/home/alice/project-x",
}


def private(**changes: Any) -> BenchReport:
    own = {"model": "project-x (/home/alice/project-x)", "folder": "/home/alice/project-x"}
    return report(measurement(29.0, **(own | changes)), **MACHINE)


def test_nothing_about_the_owner_gets_in(tmp_path: Path) -> None:
    written = encode(Submission.of(private(sha256={"project-x.mnn": "ab"})))
    for secret in (*SECRETS, "project", "alice"):
        assert secret not in written
    handed = json.loads(written)
    assert handed["board"]["board"] == "Raspberry Pi 4 Model B Rev 1.4"
    assert handed["board"]["system"] == "Linux 6.1.21"
    assert handed["board"]["clusters"] == [{"number": 4, "max_mhz": 1500.0}]
    assert handed["versions"] == {"MNN": "3.6.1"}
    (figure,) = handed["figures"]
    assert figure["model"] == "another network"
    assert figure["inference_ms"] == pytest.approx(29.0, rel=0.05)
    assert figure["ci_low_ms"] <= figure["inference_ms"] <= figure["ci_high_ms"]


@pytest.mark.parametrize("name", ["slim-320", "published-rfb-320"])
def test_a_network_that_everybody_can_have_is_named(name: str) -> None:
    entry = models.registry()[name]
    (figure,) = Submission.of(private(source_sha256=entry.sha256)).figures
    assert figure.model == name


def test_half_floats_are_told(tmp_path: Path) -> None:
    (figure,) = Submission.of(private(verification={"halves": True})).figures
    assert figure.halves


def test_this_machine_fits(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_text(report(measurement(), **describe()).to_json())
    made = Submission.load(path)
    again = tmp_path / "submission.json"
    again.write_text(encode(made))
    assert Submission.load(again) == made
    assert describe()["hostname"] not in again.read_text().replace(made.board.cpu, "")


def test_one_host_is_not_named_and_several_are_refused() -> None:
    one = merged({"pi@attic": private()})
    assert "attic" not in encode(Submission.of(one))
    with pytest.raises(InputError, match="several machines"):
        Submission.of(merged({"pi@attic": private(), "pi@roof": private()}))


@pytest.mark.parametrize(
    "text",
    ["{", "[]", "{}", '{"schema": 1, "figures": 3}', '{"schema": 2, "figures": []}'],
)
def test_something_else_is_refused_in_one_line(text: str, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    advice = r"x\.json: .*(;|, or) run bench( submit)? again$"
    with pytest.raises(InputError, match=advice) as refused:
        Submission.load(path)
    assert "\n" not in str(refused.value)


def test_a_result_without_figures_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(report().to_json())
    with pytest.raises(InputError, match=r"x\.json: holds no figures"):
        Submission.load(path)


@pytest.mark.parametrize("damage", [{"clusters": 5}, {"cores": "four"}, {"libraries": [1]}])
def test_a_damaged_description_is_refused_in_one_line(
    damage: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "x.json"
    path.write_text(report(measurement(), **damage).to_json())
    with pytest.raises(InputError, match=rf"x\.json: .*{next(iter(damage))}"):
        Submission.load(path)
