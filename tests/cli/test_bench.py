from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
from rich.console import Console

from tests.bench.made import measurement, report
from tests.conftest import Cli
from ultraface_deploy.artifacts.folder import ArtifactFolder
from ultraface_deploy.bench import cores
from ultraface_deploy.bench.count import sysroot
from ultraface_deploy.bench.count.instructions import Count
from ultraface_deploy.bench.plan import Configuration
from ultraface_deploy.bench.result import BenchReport
from ultraface_deploy.bench.run import BenchSettings
from ultraface_deploy.cli import bench_count, bench_recommend

SHORT = ("--launches", 1, "--seconds", 0.2)


@pytest.fixture
def little_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is measured is looked at by nobody."""
    quick = partial(BenchSettings, warm_up_seconds=0.02)
    monkeypatch.setattr("ultraface_deploy.bench.run.BenchSettings", quick)


@pytest.fixture
def results(tmp_path: Path) -> dict[str, Path]:
    made = {
        "before": report(measurement(2.0)),
        "again": report(measurement(2.0, seed=1)),
        "slower": report(measurement(2.3, seed=2)),
        "elsewhere": report(measurement(2.0, seed=3), cpu="Cortex-A76"),
    }
    for name, content in made.items():
        (tmp_path / f"{name}.json").write_text(content.to_json())
    return {name: tmp_path / f"{name}.json" for name in made}


@pytest.mark.usefixtures("little_warm_up")
def test_json_alone_on_stdout(cli: Cli, folder: ArtifactFolder) -> None:
    done = cli(
        *("bench", folder.path, "--backend", "onnxruntime", "--backend", "opencv", *SHORT),
        *("--threads", "1", "--json", "-"),
    )
    assert done.code == 0, done.err
    data = json.loads(done.out)
    assert [(r["backend"], r["stage"]) for r in data["results"] if r["stage"] == "inference"] == [
        ("onnxruntime", "inference"),
        ("opencv", "inference"),
    ]
    assert len(data["results"]) == 8
    assert data["machine"]["cpu"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--json", "-", "--csv", "-"], "only one"),
        (["--json", "nowhere/b.json"], "--json nowhere/b.json"),
        (["--csv", "/proc/nowhere/b.csv"], "--csv /proc/nowhere/b.csv"),
    ],
)
def test_what_would_lose_the_result_is_refused_before_measuring(
    arguments: list[str],
    message: str,
    cli: Cli,
    folder: ArtifactFolder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("ultraface_deploy.bench.run.measure", lambda *_: pytest.fail("measured"))
    refused = cli("bench", folder.path, "--backend", "opencv", *arguments)
    assert refused.code == 2
    assert message in refused.error


@pytest.mark.usefixtures("little_warm_up")
def test_table_and_files(cli: Cli, folder: ArtifactFolder, tmp_path: Path) -> None:
    many = len(cores.allowed_cores()) + 1
    files = {name: tmp_path / f"out.{name}" for name in ("json", "csv", "markdown")}
    done = cli(
        *("bench", folder.path, "--backend", "mnn", "--threads", many, *SHORT),
        *(word for name, path in files.items() for word in (f"--{name}", path)),
    )
    assert done.code == 0, done.err
    assert f"x{many} *" in " ".join(done.out.split())
    assert "* more threads than cores at hand" in done.out
    assert f"{many} threads on {many - 1} core" in done.err
    chosen = cli("bench", "recommend", files["json"])
    command = f"--model {folder.path} --backend mnn --precision fp32 --threads {many}"
    assert command in chosen.out.replace("\n", "")
    assert all(path.stat().st_size > 100 for path in files.values())


def test_compare_exits_1_only_when_asked_to(cli: Cli, results: dict[str, Path]) -> None:
    compare = ("bench", "compare", results["before"])
    shown = cli(*compare, results["slower"])
    assert shown.code == 0
    assert "slower" in shown.out
    failed = cli(*compare, results["slower"], "--fail-if-slower", 1.05)
    assert failed.code == 1
    assert "1 configuration became slower by more than 1.05" in failed.error
    assert cli(*compare, results["slower"], "--fail-if-slower", 1.3).code == 0
    equal = cli(*compare, results["again"], "--fail-if-slower", 1.05, "--json", "-")
    assert equal.code == 0
    assert json.loads(equal.out)["results"][0]["verdict"] == "no difference shown"


def test_what_the_later_result_lost_fails_where_slower_would(
    cli: Cli, results: dict[str, Path], tmp_path: Path
) -> None:
    both = tmp_path / "both.json"
    both.write_text(report(measurement(2.0), measurement(2.0, threads=4)).to_json())
    compare = ("bench", "compare", both, results["again"])
    shown = cli(*compare)
    assert shown.code == 0
    assert f"only in {both}: slim-320 320x240, ncnn fp32, 4 threads" in shown.err
    failed = cli(*compare, "--fail-if-slower", 1.05)
    assert failed.code == 1
    assert "but not in" in failed.error
    too_fine = cli(*compare, "--fail-if-slower", 1.01)
    assert too_fine.code == 2
    assert "1.05 or more" in too_fine.error


def test_compare_refuses_another_machine(cli: Cli, results: dict[str, Path]) -> None:
    compare = ("bench", "compare", results["before"], results["elsewhere"])
    refused = cli(*compare)
    assert refused.code == 2
    assert "--ignore machine" in refused.error
    assert cli(*compare, "--ignore", "machine").code == 0


def test_report_and_recommend_from_a_file(
    cli: Cli, results: dict[str, Path], tmp_path: Path
) -> None:
    page, plots = tmp_path / "page.html", tmp_path / "plots"
    done = cli("bench", "report", results["before"], "-o", page, "--plots", plots)
    assert done.code == 0, done.err
    assert page.read_text().startswith("<!doctype html>")
    assert {path.name for path in plots.iterdir()} >= {"latency.svg", "latency.png", "size.svg"}
    chosen = cli("bench", "recommend", results["before"], "--max-ms", 10)
    assert "ultraface-deploy detect SOURCE" in chosen.out
    nothing = cli("bench", "recommend", results["before"], "--max-ms", 1)
    assert nothing.code == 1
    assert "no configuration stays within the limits" in nothing.error


def test_recommend_without_a_result_measures_first(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    def measured(found: list[Configuration], cores: list[int]) -> BenchReport:
        asked.extend(found)
        return report(measurement(2.0))

    monkeypatch.setattr(bench_recommend, "configurations_of", lambda *options: [options])
    monkeypatch.setattr(bench_recommend, "measure_here", measured)
    done = cli("bench", "recommend", "--max-cores", 1)
    assert done.code == 0, done.err
    assert asked == [(None, None, None, None, "1-1")]
    assert "no RESULT.json given" in done.err
    assert "ultraface-deploy detect SOURCE" in done.out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nowhere"], 2, "nowhere"),
        (["--threads", "0"], 2, "--threads"),
        (["--threads", "x"], 2, "--threads"),
        (["--backend", "tensorrt"], 2, "tensorrt"),
        (["--precision", "int4"], 2, "int4"),
        (["--cores", "4096"], 2, "--cores"),
        (["--input-size", "7x7"], 2, "input size"),
        (["--image", "nowhere.jpg"], 2, "nowhere.jpg"),
        (["compare", "a.json", "b.json"], 2, "a.json"),
        (["report", "a.json"], 2, "a.json"),
        (["recommend", "a.json"], 2, "a.json"),
        (["recommend", "empty.json", "--min-ap", "7"], 2, "--min-ap"),
        (["recommend", "a.json", "--eval", "nowhere.json"], 2, "nowhere.json"),
        (["count"], 2, "bench count cortex-a72"),
        (["count", "cortex-a57"], 2, "cortex-a53, cortex-a72, cortex-a76"),
        (["count", "cortex-a72", "--json", "nowhere/c.json"], 2, "nowhere/c.json"),
        (["count", "cortex-a72", "--layers", "--backend", "ncnn"], 2, "--backend native"),
        (["count", "cortex-a72", "--layers", "--json", "-"], 2, "leave --json out"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str],
    code: int,
    message: str,
    cli: Cli,
    folder: ArtifactFolder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty.json").write_text("{}")
    where = [folder.path] if arguments[0].startswith("--") else []
    refused = cli("bench", *where, *arguments)
    assert refused.code == code
    assert message in refused.error


@pytest.mark.parametrize(
    ("arguments", "now"),
    [
        (["--emulate", "cortex-a72"], "bench count CORE"),
        (["run", "--emulate=cortex-a72"], "bench count CORE"),
        (["emulate-setup"], "bench count --setup"),
        (["--html", "b.html"], "bench report RESULT.json"),
        (["--recommend"], "bench recommend RESULT.json"),
        (["--max-ms", "3"], "bench recommend RESULT.json"),
    ],
)
def test_options_of_other_commands_name_these(arguments: list[str], now: str, cli: Cli) -> None:
    refused = cli("bench", *arguments)
    assert refused.code == 2
    assert f"this is now ultraface-deploy {now}" in refused.error


@pytest.mark.parametrize("option", ["--threads", "--seconds", "--cores", "--host"])
def test_counting_takes_nothing_about_time(option: str, cli: Cli) -> None:
    refused = cli("bench", "count", "cortex-a72", option, "2")
    assert refused.code == 2
    assert option in refused.err


def test_counting_explains_itself_where_it_is_not_set_up(
    cli: Cli, folder: ArtifactFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = sysroot.Sysroot(tmp_path / "arm")
    monkeypatch.setattr(sysroot.Sysroot, "default", classmethod(lambda cls: empty))
    refused = cli("bench", "count", "cortex-a72", folder.path, "--backend", "mnn")
    assert refused.code == 3
    assert "bench count --setup" in refused.error


def test_counts_fit_an_ssh_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    values = dict.fromkeys(("recall", "max_abs_scores", "max_abs_boxes", "as_here"), 0.987)
    kinds = ("instructions", "fma", "dot_product", "integer_multiply", "load_store", "floor")
    counted = Count(
        core="cortex-a76",
        model="slim-320",
        artifact="slim-320-int8.mnn",
        backend="onnxruntime",
        precision="int8",
        passed=True,
        reason=None,
        images=3,
        sha256={},
        halves=True,
        **values,  # type: ignore[arg-type]
        **dict.fromkeys(kinds, 123_456_789),
    )
    for width in (80, 120):
        console = Console(width=width, record=True)
        monkeypatch.setattr(bench_count, "results", console)
        bench_count._print("cortex-a76", [counted])
        shown = console.export_text()
        assert max(map(len, shown.splitlines())) <= width
        assert shown.count("123.46") == (5 if width == 80 else 6)
        assert "load/store" in shown
        assert "…" not in shown
