"""`bench run`: what each configuration costs on this machine."""

# Tested by tests/cli/test_bench.py.

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from ultraface_deploy.cli.bench_hosts import measure_on_boards
from ultraface_deploy.cli.bench_options import (
    Folders,
    InputSizes,
    configurations_of,
    require_folders,
    require_writable,
)
from ultraface_deploy.cli.bench_table import half_width, show_table
from ultraface_deploy.cli.console import note, progress, write_output
from ultraface_deploy.cli.options import (
    Backends,
    ColorOrder,
    Device,
    IgnoreOutputs,
    JsonTarget,
    Mean,
    Precisions,
    Std,
    choose_device,
)
from ultraface_deploy.safe.text import counted

if TYPE_CHECKING:
    from ultraface_deploy.bench.plan import Configuration
    from ultraface_deploy.bench.result import BenchReport
    from ultraface_deploy.bench.run import BenchSettings


def register(bench: typer.Typer) -> None:
    """Add the command."""
    bench.command("run")(run)


def run(
    folders: Folders = None,
    backend: Backends = None,
    precision: Precisions = None,
    threads: Annotated[
        str, typer.Option("--threads", metavar="N", help="Thread counts: 4, or 1,2,4, or 1-4.")
    ] = "1",
    input_size: InputSizes = None,
    mean: Mean = None,
    std: Std = None,
    color: ColorOrder = None,
    ignore_outputs: IgnoreOutputs = False,
    device: Device = None,
    cores: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--cores",
            metavar="LIST",
            help="Cores to pin to, such as 0,2-3, or the name of a cluster (little, mid, big); "
            "N threads run on the first N.",
        ),
    ] = None,
    image: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            "--image",
            help="Photograph to time on, default one that ships; with --emulate a photograph or "
            "a folder of them to compare on too.",
        ),
    ] = None,
    launches: Annotated[
        int,
        typer.Option(
            "--launches", min=1, max=100, help="Minimum number of processes per configuration."
        ),
    ] = 4,
    seconds: Annotated[
        float,
        typer.Option(
            "--seconds", min=0.2, max=600, help="Maximum sampling time per configuration."
        ),
    ] = 5.4,
    ci: Annotated[
        float,
        typer.Option(
            "--ci",
            min=0.1,
            max=50,
            metavar="PERCENT",
            help="Stop when the 95 % interval of the median is within this to either side.",
        ),
    ] = 1.0,
    max_seconds: Annotated[
        float,
        typer.Option(
            "--max-seconds",
            min=1,
            metavar="S",
            help="Start no launch that would end later; each configuration still gets two.",
        ),
    ] = 90.0,
    json: JsonTarget = None,
    csv: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--csv", metavar="FILE", help="Write one line per configuration and stage."),
    ] = None,
    markdown: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--markdown", metavar="FILE", help="Write one row per model, one column per core count."
        ),
    ] = None,
    host: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(
            "--host",
            metavar="HOST",
            help="Measure on this host over ssh, for example pi@board or pi@board:2222; repeat for "
            "several.",
        ),
    ] = None,
    identity: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--identity", metavar="FILE", help="With --host: private key file for ssh."),
    ] = None,
    bootstrap: Annotated[
        bool,
        typer.Option(
            "--bootstrap", help="With --host: make a virtual environment there if needed."
        ),
    ] = False,
) -> None:
    """Measure latency: every backend x precision x thread count, verified before it is timed.

    Then: `bench compare A.json B.json`, `bench report RESULT.json`, `bench recommend RESULT.json`.
    """
    from ultraface_deploy.bench.cores import choose_cores
    from ultraface_deploy.bench.ssh import destination
    from ultraface_deploy.family.known import parse_known

    targets = {"json": json, "csv": csv, "markdown": markdown}
    require_writable(targets)
    for each in host or ():
        destination(each)
    chosen_cores = None if host else choose_cores(cores)
    settings = _settings(launches, seconds, ci, max_seconds, image)
    choose_device(device)
    known = parse_known(mean, std, color, ignore_outputs)
    if host:
        _require_reachable(host, identity)
    found = configurations_of(folders, backend, precision, input_size, threads, known)
    if host:
        require_folders(found, "--host")
        report = measure_on_boards(host, found, settings, cores, bootstrap, identity)
    else:
        report = measure_here(found, settings, chosen_cores)
    _write(report, targets)
    _require_all_timed(report)


def _require_reachable(hosts: list[str], identity: Path | None) -> None:
    from ultraface_deploy.bench.remote import require_reachable

    with progress() as display:
        display.add_task(f"connecting to {', '.join(hosts)}", total=None)
        require_reachable(list(dict.fromkeys(hosts)), identity)


def _require_all_timed(report: BenchReport) -> None:
    from ultraface_deploy.errors import CheckFailed

    if report.failures:
        first = report.failures[0]
        where = f" on {first.host}" if first.host else ""
        raise CheckFailed(
            f"{len(report.failures)} of {len(report.failures) + len(report.measurements)} "
            f"configurations were not timed; {first.artifact} on {first.backend}, "
            f"{counted(first.threads, 'thread')}{where}: {first.reason}"
        )


def _settings(
    launches: int, seconds: float, ci: float, max_seconds: float, image: Path | None
) -> BenchSettings:
    from ultraface_deploy.bench.run import BenchSettings
    from ultraface_deploy.safe.images import DEMO_PHOTO, read_image

    read_image(image or DEMO_PHOTO)
    most = launches * 3 // 2
    return BenchSettings(
        min_launches=launches,
        max_launches=most,
        launch_seconds=seconds / most,
        round_seconds=min(0.1, seconds / most / 2),
        ci_percent=ci,
        run_seconds=max_seconds,
        image=str((image or DEMO_PHOTO).absolute()),
    )


def measure_here(
    found: list[Configuration],
    settings: BenchSettings | None = None,
    cores: list[int] | None = None,
) -> BenchReport:
    """Measure on this machine and show the progress; by default as thoroughly as `bench` does."""
    from ultraface_deploy.bench.run import BenchProgress, BenchSettings, measure

    settings = settings or BenchSettings()
    launch = 1.2 + settings.warm_up_seconds + settings.launch_seconds
    fewest = min(2, settings.min_launches) * len(found) * launch
    least, most = (
        max(fewest, min(n * len(found) * launch, settings.run_seconds))
        for n in (settings.min_launches, settings.max_launches)
    )
    duration = f"{least:.0f} s" if least == most else f"{least:.0f} to {most:.0f} s"
    note(f"{counted(len(found), 'configuration')}, about {duration}")
    with progress() as display:
        task = display.add_task("", total=None)

        def show(now: BenchProgress) -> None:
            display.update(task, description=now.doing, completed=now.done - 1, total=now.total)

        report = measure(found, settings, cores, show)
    _note_wide_intervals(report, settings)
    return report


def _note_wide_intervals(report: BenchReport, settings: BenchSettings) -> None:
    rows = report.rows("inference")
    wide = [row for row in rows if half_width(row) > settings.ci_percent]
    if wide:
        note(
            f"{len(wide)} of {len(rows)} stopped at a limit before their interval was within "
            f"{settings.ci_percent:g} %; more time: --seconds, --launches, --max-seconds"
        )


def _write(report: BenchReport, targets: dict[str, str | None]) -> None:
    from ultraface_deploy.bench.tables import to_csv, to_markdown

    forms: dict[str, Callable[[], str]] = {
        "json": report.to_json,
        "csv": lambda: to_csv(report),
        "markdown": lambda: to_markdown(report),
    }
    # First: a full disk must not cost what took hours.
    if "-" not in targets.values():
        show_table(report)
    for form, target in targets.items():
        if target is not None:
            write_output(forms[form](), target)
