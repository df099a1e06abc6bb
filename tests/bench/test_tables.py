"""Tables of results to paste elsewhere."""

from __future__ import annotations

import csv
import io

import pytest

from tests.bench.made import measurement, report
from tests.bench.test_result import ROW
from ultraface_deploy.bench.tables import to_csv, to_markdown


def test_csv_has_a_line_a_stage() -> None:
    lines = list(csv.DictReader(io.StringIO(to_csv(report(measurement(warnings=["hot", "busy"]))))))
    assert [line["stage"] for line in lines] == [
        *("preprocess", "inference", "postprocess", "end_to_end"),
    ]
    assert lines[0]["warnings"] == "hot; busy"
    assert lines[0].keys() >= ROW


def test_csv_holds_no_formulas() -> None:
    """A board says what it is called."""
    made = report(measurement(artifact="=HYPERLINK(1)", warnings=["hot;=1", "@a"]))
    (line, *_) = csv.DictReader(io.StringIO(to_csv(made)))
    assert line["artifact"] == "'=HYPERLINK(1)"
    assert line["warnings"] == "hot\\x3b=1; '@a"


def test_markdown_has_the_shape_of_the_published_table() -> None:
    measurements = [
        measurement(2.0 / n, threads=n, cores=list(range(n)), warnings=["hot"] if n == 4 else [])
        for n in (1, 2, 4)
    ]
    table = to_markdown(report(*measurements, measurement(model="rfb-320"))).splitlines()
    assert table[0] == "Median inference latency in ms, Cortex-A72, 4 cores, governor ondemand."
    heading = "| model | input | backend | precision | 1 core | 2 cores | 4 cores | size (kB) |"
    assert table[2] == heading
    slim = [cell.strip() for cell in table[4].strip("|").split("|")]
    assert slim[:4] == ["slim-320", "320x240", "ncnn", "fp32"]
    assert [float(cell.split()[0]) for cell in slim[4:7]] == [
        pytest.approx(round(m.row("inference").median_ms, 2)) for m in measurements
    ]
    assert slim[6].endswith("[1]")
    assert slim[7] == "1038"
    assert table[5].count("|") == heading.count("|")
    assert table[-1].strip() == "[1] hot"
