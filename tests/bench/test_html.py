from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.bench.made import measurement, report
from tests.pages.look import look_at
from ultraface_deploy.bench.accuracy import Accuracies
from ultraface_deploy.bench.html import to_html
from ultraface_deploy.bench.measurement import Launch, Round
from ultraface_deploy.bench.plots import figures
from ultraface_deploy.bench.result import BenchReport, Failure, merged
from ultraface_deploy.pages.plots import render

pytest.importorskip("matplotlib", reason="plots are drawn with matplotlib: the extra `report`")

PLOTS = {"latency", "speedup", "distribution", "size", "accuracy"}
ACCURACIES = Accuracies({("slim-320", "320x240", "ncnn", "fp32"): {"hard": 0.45}})
MEASURED = [
    measurement(3.0, warnings=["busy <b>"]),
    measurement(1.0, threads=4, cores=[0, 1, 2, 3]),
    measurement(2.0, backend="mnn", artifact="mnn"),
]
REPORT = BenchReport(
    report().machine,
    {"round_seconds": 0.1},
    tuple(MEASURED),
    (Failure("slim-320", "mnn-int8", "mnn", "int8", 1, "scores do not sum to 1"),),
)


def test_plots_are_there_when_their_figures_are() -> None:
    assert figures(REPORT, ACCURACIES).keys() == PLOTS
    assert figures(report(measurement())).keys() == {"latency", "distribution", "size"}
    assert figures(report()) == {}


def test_plots_are_pictures_and_always_the_same() -> None:
    for format, start in (("png", b"\x89PNG"), ("svg", b"<?xml")):
        first, again = (render(figures(REPORT)["latency"], format) for _ in range(2))
        assert first.startswith(start)
        assert first == again


def test_the_page_needs_nothing_else_and_escapes_what_it_shows() -> None:
    page = to_html(REPORT, ACCURACIES)
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    assert "<script" not in page
    assert "busy &lt;b&gt;" in page
    assert "Not timed: slim-320 mnn int8" in page
    assert page.count("<img") == len(PLOTS)


def test_energy_is_shown_where_it_was_metered() -> None:
    metered = Round([1.0], [1.0], [1.0], [], energy_uj=5_250.0)
    shown = to_html(report(measurement(launches=[Launch(1.0, 1.0, [metered])])))
    assert "energy (mJ)" in shown and ">5.25<" in shown
    assert "energy" not in to_html(report(measurement()))


def test_every_host_is_named() -> None:
    pi, other = report(measurement()), report(measurement(), cpu="Cortex-A76")
    assert "Latency on a: Cortex-A72, 4 cores" in to_html(merged({"a": pi, "b": other}))
    assert "b: Cortex-A76, 4 cores" in to_html(merged({"a": pi, "b": other}))


def test_nothing_timed_is_a_page_too() -> None:
    assert "Nothing was timed" in to_html(report())


@pytest.mark.parametrize("width", [390, 1200])
def test_looks_right_in_a_browser(width: int, tmp_path: Path) -> None:
    seen = look_at(to_html(REPORT, ACCURACIES), width, tmp_path)
    assert seen["images"] == [True] * len(PLOTS)
    # Wide tables scroll in their own box: the page itself never does.
    assert seen["page"] <= seen["window"] == width
    assert seen["smallest_text_px"] >= 12
    assert seen["rows"] == 2 * len(MEASURED)
