from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from tests.conftest import Convert, MakeCheckpoint
from ultraface_deploy import models
from ultraface_deploy.artifacts.folder import ArtifactFolder
from ultraface_deploy.bench import cores, meters
from ultraface_deploy.bench.driver import WORKER, Worker
from ultraface_deploy.bench.html import to_html
from ultraface_deploy.bench.plan import configurations
from ultraface_deploy.bench.recommend import Limits, recommend
from ultraface_deploy.bench.reference import Recorded, compare_with_recorded
from ultraface_deploy.bench.result import BenchReport
from ultraface_deploy.bench.run import BenchProgress, BenchSettings, measure
from ultraface_deploy.bench.tables import to_csv, to_markdown
from ultraface_deploy.errors import CheckFailed, InputError, MissingDependency, WorkerFailed
from ultraface_deploy.family.spec import ModelSpec

SHORT = BenchSettings(
    min_launches=2, max_launches=2, launch_seconds=0.06, round_seconds=0.03, warm_up_seconds=0.1
)
BROKEN = Path(__file__).with_name("broken_worker.py")
DELAYED = (sys.executable, "-m", "ultraface_deploy.benchmarks.delayed_worker", "2.0")


MANY = len(cores.allowed_cores()) + 1


@pytest.fixture(scope="module")
def report(converted: Convert, make_checkpoint: MakeCheckpoint) -> BenchReport:
    folder = converted(make_checkpoint(), "onnx", "onnxsim", "mnn", "ncnn", size=(128, 96))
    one, many = (
        configurations([folder.path], [name], threads=[threads])
        for name, threads in (("onnxruntime", 1), ("mnn", MANY))
    )
    return measure([*one, *many], SHORT)


def test_measures_every_configuration_in_fresh_processes(report: BenchReport) -> None:
    assert not report.failures
    assert [(m.backend, m.threads) for m in report.measurements] == [
        ("onnxruntime", 1),
        ("mnn", MANY),
    ]
    for m in report.measurements:
        assert len(m.launches) == 2
        assert [len(launch.rounds) for launch in m.launches] == [2, 2]
        assert m.cores == cores.allowed_cores()[: m.threads]
        assert m.verification["images"] == 7
        assert m.verification["recall"] == 1
        inference, whole = m.row("inference"), m.row("end_to_end")
        assert 0.01 < inference.min_ms < whole.min_ms < whole.cold_start_ms
        assert 20 < whole.peak_rss_mb < 500
        assert (whole.energy_mj is None) == (meters.energy_uj() is None)


def test_more_threads_than_cores_are_marked(report: BenchReport) -> None:
    for m in report.measurements:
        marked = any(warning.startswith(f"{MANY} threads on") for warning in m.warnings)
        assert marked == (m.threads == MANY)


def test_the_machine_is_recorded(report: BenchReport) -> None:
    assert report.machine["libraries"]["onnxruntime"]
    assert report.machine["during"]["other_processes_cores"] >= 0
    assert report.settings["image_size"] == "512x512"


@pytest.mark.parametrize(
    ("how", "reason"),
    [("at-once", "not the original network"), ("later", "faces while timed"), ("crash", "code 3")],
)
def test_what_is_not_verified_is_not_timed(how: str, reason: str, folder: ArtifactFolder) -> None:
    found = configurations([folder.path], ["opencv"])
    command = (sys.executable, str(BROKEN), how)
    report = measure(found, SHORT, command=command)
    assert not report.measurements
    assert reason in report.failures[0].reason


def test_a_crash_at_the_end_costs_that_configuration_only(folder: ArtifactFolder) -> None:
    found = configurations([folder.path], ["opencv", "mnn"])
    report = measure(found, SHORT, command=(sys.executable, str(BROKEN), "at-the-end-opencv"))
    assert [m.backend for m in report.measurements] == ["mnn"]
    assert [f.backend for f in report.failures] == ["opencv"]


def test_the_run_ends_when_its_time_is_up_but_not_before_two_launches(
    folder: ArtifactFolder,
) -> None:
    short = replace(SHORT, min_launches=4, max_launches=4, run_seconds=0.1)
    (measured,) = measure(configurations([folder.path], ["opencv"]), short).measurements
    assert len(measured.launches) == 2


def test_the_child_does_not_count_as_another_process(folder: ArtifactFolder) -> None:
    """All that it uses in a round it reports, what precedes the samples included."""
    (c,) = configurations([folder.path], ["opencv"])
    files = [str(path) for path in folder.files(c.artifact)]
    job = {"backend": "opencv", "files": files, "spec": folder.spec.to_dict()}
    job |= {"precision": "fp32", "halves": False, "threads": 1, "cores": [], "image": SHORT.image}
    with Worker(job) as worker:
        process = psutil.Process(worker.pid)
        before = sum(process.cpu_times()[:2])
        reported = sum(worker.ask(do="round", seconds=0.01)["cpu_seconds"] for _ in range(20))
        used = sum(process.cpu_times()[:2]) - before
    # The kernel counts in hundredths of a second here.
    assert reported == pytest.approx(used, rel=0.1, abs=0.03)


def test_a_delay_in_every_inference_shows(folder: ArtifactFolder) -> None:
    found = configurations([folder.path], ["onnxruntime"])
    plain, delayed = (measure(found, SHORT, command=c).rows("inference") for c in (WORKER, DELAYED))
    assert delayed[0].min_ms > 1.3 * plain[0].min_ms


def test_progress_counts_launches(folder: ArtifactFolder) -> None:
    seen: list[BenchProgress] = []
    measure(configurations([folder.path], ["opencv"]), SHORT, on_progress=seen.append)
    assert [(p.done, p.total) for p in seen] == [(1, 2), (2, 2)]


def wait_until(happened: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait for what the kernel does in its own time."""
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_children_are_pinned_and_gone_afterwards(folder: ArtifactFolder) -> None:
    (c,) = configurations([folder.path], ["opencv"])
    core = cores.allowed_cores()[-1]
    job = {
        "backend": c.backend,
        "files": [str(path) for path in folder.files(c.artifact)],
        "spec": folder.spec.to_dict(),
        "precision": "fp32",
        "threads": 1,
        "cores": [core],
        "image": SHORT.image,
    }
    with Worker(job) as worker:
        pid = worker.pid
        assert os.sched_getaffinity(pid) == {core}
        # Stopped while others are timed.
        wait_until(lambda: "State:\tT" in Path(f"/proc/{pid}/status").read_text())
    assert not Path(f"/proc/{pid}").exists()
    with pytest.raises(WorkerFailed, match="cannot run it"):
        Worker(job | {"files": ["/nowhere.onnx"]})


def test_a_changed_artifact_is_refused(folder: ArtifactFolder) -> None:
    path = folder.files(folder.find("mnn"))[0]
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(InputError, match="not the file that was converted"):
        configurations([folder.path], ["mnn"])


def test_a_missing_runtime_is_named(
    folder: ArtifactFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ultraface_deploy.backends import get_backend

    monkeypatch.setattr(type(get_backend("mnn")), "available", lambda self: False)
    with pytest.raises(MissingDependency, match="backend mnn"):
        configurations([folder.path], ["mnn"])
    notes: list[str] = []
    found = configurations([folder.path], None, note=notes.append)
    assert {c.backend for c in found} >= {"onnxruntime", "ncnn", "opencv"}
    assert "left out: mnn is not installed here" in notes


def test_a_single_file_is_compared_with_itself_on_another_runtime(tmp_path: Path) -> None:
    file = Path(shutil.copy(models.FOLDER / "slim-320.onnx", tmp_path / "theirs.onnx"))
    notes: list[str] = []
    (found,) = configurations([file], ["onnxruntime"], note=notes.append)
    report = measure([found], replace(SHORT, min_launches=1, max_launches=1))
    (measured,) = report.measurements
    assert measured.folder == str(file)
    assert measured.verification["reference"] == "itself on opencv"
    assert "no original is known" in notes[0]
    # Where no other runtime reads it, it is timed, and said to be unverified.
    alone = replace(found, witnesses=())
    report = measure([alone], replace(SHORT, min_launches=1, max_launches=1))
    (measured,) = report.measurements
    assert measured.verification == {}
    assert measured.warnings[0].startswith("unverified: no original is known")
    for text in (report.to_json(), to_csv(report), to_markdown(report), to_html(report)):
        assert "unverified" in text
    with pytest.raises(CheckFailed, match="is unverified"):
        recommend(report, Limits())


def test_landmarks_are_compared_too(tmp_path: Path) -> None:
    spec = ModelSpec("five", "slim", width=64, height=64, landmarks=5)
    outputs = {
        f"{name}0": np.full((1, spec.num_anchors, width), 0.5, np.float32)
        for name, width in spec.outputs.items()
    }
    np.savez(tmp_path / "r.npz", photo0=np.zeros((64, 64, 3), np.uint8), **outputs)
    moved = dict(outputs, landmarks0=outputs["landmarks0"] + 1)
    same = compare_with_recorded(tmp_path / "r.npz", Recorded(spec, outputs), "opencv", "fp32")
    other = compare_with_recorded(tmp_path / "r.npz", Recorded(spec, moved), "opencv", "fp32")
    assert (same.passed, same.images) == (True, 1)
    assert not other.passed


@pytest.mark.parametrize(
    "wrong",
    [{"min_launches": 0}, {"min_launches": 7}, {"launch_seconds": 0}, {"round_seconds": -1}],
)
def test_settings_that_measure_nothing(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=f"`{next(iter(wrong))}`"):
        BenchSettings(**wrong)
