"""Counts in files, compared: synthetic ones, no emulator needed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Cli
from ultraface_deploy.bench.count.instructions import Count
from ultraface_deploy.bench.count.report import CountReport, compare_counts, lost_counts
from ultraface_deploy.errors import InputError
from ultraface_deploy.safe.records import encode


def count(**changes: Any) -> Count:
    fields: dict[str, Any] = {
        "core": "cortex-a72",
        "model": "slim-320",
        "artifact": "ncnn",
        "backend": "ncnn",
        "precision": "fp32",
        "passed": True,
        "reason": None,
        "instructions": 30_600_000,
        "fma": 20_300_000,
        "dot_product": 0,
        "integer_multiply": 0,
        "load_store": 5_000_000,
        "floor": 20_350_000,
        "recall": 1.0,
        "max_abs_scores": 1e-6,
        "max_abs_boxes": 1e-5,
        "as_here": 1.0,
        "images": 7,
        "sha256": {"slim-320.ncnn.bin": "ab"},
    }
    return Count(**(fields | changes))


def report(*counts: Count) -> CountReport:
    return CountReport(counts[0].core, {"ncnn": "1.0"}, counts)


@pytest.mark.parametrize(
    ("instructions", "verdict"),
    [
        (30_600_000, "the same"),
        (30_603_000, "the same"),
        (30_906_000, "more"),
        (30_294_000, "fewer"),
    ],
)
def test_one_percent_is_seen_and_a_hundredth_is_not(instructions: int, verdict: str) -> None:
    (found,) = compare_counts(report(count()), report(count(instructions=instructions)))
    assert found.verdict == verdict
    assert found.ratio == pytest.approx(instructions / 30_600_000, abs=1e-5)


def test_what_did_not_run_is_left_out() -> None:
    failed = count(backend="mnn", artifact="mnn", instructions=None)
    (found,) = compare_counts(report(count(), failed), report(count(), failed))
    assert found.configuration == "slim-320, ncnn fp32, cortex-a72"


def test_what_was_lost_is_named_and_fails_the_gate(cli: Cli, tmp_path: Path) -> None:
    both = report(count(), count(backend="mnn", artifact="mnn"))
    crashed = count(backend="mnn", artifact="mnn", instructions=None, reason="exit code 139")
    assert lost_counts(both, both) == []
    assert lost_counts(both, report(count(), crashed)) == [
        "slim-320, mnn fp32, cortex-a72: exit code 139"
    ]
    for name, content in (("a.json", both), ("b.json", report(count()))):
        (tmp_path / name).write_text(encode(content))
    compare = ("bench", "compare", tmp_path / "a.json", tmp_path / "b.json")
    assert cli(*compare).code == 0
    assert "slim-320, mnn fp32" in cli(*compare, "--fail-if-slower", 1.01).error


def test_what_is_not_comparable_is_refused_unless_told_to() -> None:
    before = report(count())
    other_core = CountReport("cortex-a76", {}, (count(core="cortex-a76"),))
    other_file = report(count(sha256={"slim-320.ncnn.bin": "cd"}))
    for after, what in ((other_core, "machine"), (other_file, "artifact")):
        with pytest.raises(InputError, match=f"`ignore` {what}"):
            compare_counts(before, after)
        assert compare_counts(before, after, frozenset({what}))[0].verdict == "the same"
    with pytest.raises(InputError, match="no configuration in common"):
        compare_counts(before, report(count(model="rfb-320")))


def test_comes_back_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "counts.json"
    path.write_text(encode(report(count())))
    assert CountReport.load(path) == report(count())


@pytest.mark.parametrize(
    "text",
    [
        *("{", '{"core": 1}', '{"core": "a", "schema": 2}'),
        encode(report(count(instructions="many"))),
        encode(report(count(sha256=None))),
    ],
)
def test_a_damaged_file_is_refused_in_one_line(text: str, tmp_path: Path) -> None:
    path = tmp_path / "counts.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"counts\.json: "):
        CountReport.load(path)


def test_on_the_command_line(cli: Cli, tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a.json", "b.json")]
    slower = replace(count(), instructions=31_000_000)
    for path, counted in zip(paths, (count(), slower), strict=True):
        path.write_text(encode(report(counted)))
    shown = cli("bench", "compare", *paths)
    assert shown.code == 0
    assert "1.0131" in shown.out and "more" in shown.out
    failed = cli("bench", "compare", *paths, "--fail-if-slower", 1.01, "--json", "-")
    assert failed.code == 1
    assert json.loads(failed.out)["results"][0]["verdict"] == "more"
    assert cli("bench", "compare", *paths, "--fail-if-slower", 1.05).code == 0
    (tmp_path / "times.json").write_text("{}")
    mixed = cli("bench", "compare", paths[0], tmp_path / "times.json")
    assert mixed.code == 2
    assert "one holds times, the other instructions" in mixed.error
