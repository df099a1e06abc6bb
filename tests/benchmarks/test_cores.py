"""Which artifact is best on a core, by made-up figures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.bench.count.test_report import count
from tests.bench.made import measurement, report
from ultraface_deploy.artifacts.folder import ArtifactFolder, Source, describe_files
from ultraface_deploy.bench.accuracy import Accuracies
from ultraface_deploy.bench.count import layers
from ultraface_deploy.bench.count.report import CountReport
from ultraface_deploy.benchmarks.cores import Entry, of_bench, of_c, of_count, row
from ultraface_deploy.errors import InputError
from ultraface_deploy.family.spec import ModelSpec

FP32 = Entry("ncnn", "ncnn", "fp32", 30.6e6, "30.6 M instructions", 1_040_000, 0.654)
INT8 = Entry("mnn-int8", "mnn", "int8", 28.1e6, "28.1 M instructions", 318_000, 0.6535)
HALF = Entry("ncnn-fp16", "ncnn", "fp16", 17.7e6, "17.7 M instructions", 530_000, None)
LITTLE = Entry("ncnn-int8", "ncnn", "int8", 34.1e6, "34.1 M instructions", 302_000, 0.640)


def test_the_best_for_speed_size_and_accuracy() -> None:
    cells = row("a core", [FP32, INT8, HALF, LITTLE]).strip("| ").split(" | ")
    assert cells == [
        "a core",
        "ncnn fp16: 17.7 M instructions; mnn int8: 28.1 M instructions",
        "ncnn int8: 302 kB, 34.1 M instructions",
        # Within the noise of the best, and faster.
        "mnn int8: AP 0.653, 28.1 M instructions",
    ]
    exact = row("a core", [FP32, replace(INT8, ap=0.650)])
    assert "ncnn fp32: AP 0.654" in exact


def test_without_an_evaluation_there_is_no_accuracy() -> None:
    with pytest.raises(InputError, match="a core: nothing that ran there was evaluated"):
        row("a core", [HALF])


@pytest.fixture
def folder(tmp_path: Path) -> ArtifactFolder:
    made = tmp_path / "made"
    made.write_bytes(b"weights")
    empty = ArtifactFolder(
        tmp_path / "net", ModelSpec("slim-320", "slim", 320, 240), Source("", "")
    )
    empty.path.mkdir()
    return empty.publish(describe_files("ncnn", "fp32", {"x.bin": made}), [made], {})


def test_what_did_not_pass_is_left_out_and_other_files_are_refused(folder: ArtifactFolder) -> None:
    known = dict(folder.find("ncnn").sha256)
    good, bad = count(sha256=known), count(passed=False, instructions=1, sha256=known)
    accuracies = Accuracies(
        {("slim-320", "320x240", "ncnn", "fp32"): {"easy": 0.8, "medium": 0.7, "hard": 0.6}}
    )
    (entry,) = of_count(CountReport("cortex-a72", {}, (good, bad)), folder, accuracies)
    assert entry.bytes == 7 and entry.ap == pytest.approx(0.7)
    with pytest.raises(InputError, match="not what was counted"):
        of_count(CountReport("cortex-a72", {}, (count(),)), folder, accuracies)
    assert not of_c(folder, "cortex-a72", accuracies)
    timed = of_bench(report(measurement(2.0), measurement(1.0, threads=2)), folder, accuracies)
    assert len(timed) == 1 and timed[0].speed.endswith(" ms")


def test_the_c_file_is_counted_where_it_is_there(
    folder: ArtifactFolder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = tmp_path / "made"
    made.write_bytes(b"int")
    entry = replace(describe_files("c", "int8", {"x.c": made}), verification={"passed": True})
    with_c = folder.publish(entry, [made], {})
    counted = layers.LayerCounts("neon", 13.2, 0.6, 0.1, {})
    monkeypatch.setattr(layers, "count_layers", lambda *_: counted)
    (found,) = of_c(with_c, "cortex-a76", Accuracies({}))
    assert (found.name, found.speed) == ("C file int8", "13.2 M instructions")
    assert found.cost == pytest.approx(13.2e6) and found.ap is None
