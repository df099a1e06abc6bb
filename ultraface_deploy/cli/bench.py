"""`bench`: what each configuration costs on this machine."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer
from typer.core import TyperGroup

from ultraface_deploy.cli import bench_compare, bench_emulate, bench_recommend, bench_report
from ultraface_deploy.cli.bench_hosts import measure_on_boards
from ultraface_deploy.cli.bench_recommend import (
    MaxCores,
    MaxMs,
    MinAp,
    limits_of,
    print_recommendation,
)
from ultraface_deploy.cli.bench_report import EvalFile
from ultraface_deploy.cli.console import note, progress, results, write_output
from ultraface_deploy.cli.options import Backends, JsonTarget, chosen_backends

if TYPE_CHECKING:
    from ultraface_deploy.bench.plan import Configuration
    from ultraface_deploy.bench.result import BenchReport, Measurement, Row
    from ultraface_deploy.bench.run import Settings


class _MeasureByDefault(TyperGroup):
    """`bench DIR` is short for `bench run DIR`: only the other commands need their name."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or args[0] not in self.commands:
            args = ["run", *args]
        return super().parse_args(ctx, args)


def register(app: typer.Typer) -> None:
    """Add the command with its subcommands."""
    bench = typer.Typer(cls=_MeasureByDefault, rich_markup_mode=None)
    bench.command("run")(run)
    for tool in (bench_compare, bench_report, bench_recommend, bench_emulate):
        tool.register(bench)
    app.add_typer(bench, name="bench", help="Measure latency; compare two measurements.")


def run(
    context: typer.Context,
    folders: Annotated[
        Optional[list[str]],  # noqa: UP045 - typer reads it at run time on Python 3.10
        typer.Argument(
            metavar="[DIR]...",
            help="Artifact folders or names of embedded models; without one the default model's, "
            "converted first if missing.",
            show_default=False,
        ),
    ] = None,
    backend: Backends = None,
    precision: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(
            "--precision", metavar="NAME", help="fp32 (default), fp16, int8; repeat, or `all`."
        ),
    ] = None,
    threads: Annotated[
        str, typer.Option("--threads", metavar="N", help="Thread counts: 4, or 1,2,4, or 1-4.")
    ] = "1",
    input_size: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(
            "--input-size", metavar="WxH", help="Convert to this input size first; repeat."
        ),
    ] = None,
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
    html: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--html", metavar="FILE", help="Write a page with tables and plots."),
    ] = None,
    emulate: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--emulate",
            metavar="CORE",
            help="Count instructions on an emulated cortex-a53, -a72 or -a76 (Pi 3, 4, 5) instead; "
            "`bench emulate-setup` once before.",
        ),
    ] = None,
    host: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(
            "--host",
            metavar="HOST",
            help="Measure on this host over ssh, for example pi@board; repeat for several.",
        ),
    ] = None,
    bootstrap: Annotated[
        bool,
        typer.Option(
            "--bootstrap", help="With --host: make a virtual environment there if needed."
        ),
    ] = False,
    recommend: Annotated[
        bool,
        typer.Option("--recommend", help="Print the fastest within the limits, and its command."),
    ] = False,
    max_ms: MaxMs = None,
    max_cores: MaxCores = None,
    min_ap: MinAp = None,
    eval_file: EvalFile = None,
) -> None:
    """Measure latency: every backend x precision x thread count, verified before it is timed.

    Also: `bench compare A.json B.json`, `bench report RESULT.json`, `bench recommend RESULT.json`.
    """
    from ultraface_deploy.bench.emulate.sysroot import emulated_backends
    from ultraface_deploy.bench.machine import choose_cores

    wanted = (folders, backend, precision, threads, input_size)
    if emulate is not None:
        _refuse_with_emulation(context)
        found = _configurations(*wanted)
        if chosen_backends(backend) is None:
            found = [each for each in found if each.backend in emulated_backends()]
        bench_emulate.run_emulated(found, emulate, _photographs(image), json)
        return
    targets = {"json": json, "csv": csv, "markdown": markdown, "html": html}
    limits_of(max_ms, max_cores, min_ap, eval_file)
    _require_writable(targets)
    chosen_cores = None if host else choose_cores(cores)
    settings = _settings(launches, seconds, ci, max_seconds, image)
    found = _configurations(*wanted)
    if host:
        report = measure_on_boards(host, found, settings, cores, bootstrap)
    else:
        report = _measure(found, settings, chosen_cores)
    _write(report, targets, eval_file)
    limited = any(limit is not None for limit in (max_ms, max_cores, min_ap))
    if (recommend or limited) and report.measurements:
        say = note if "-" in targets.values() else typer.echo
        print_recommendation(report, max_ms, max_cores, min_ap, eval_file, say)
    _require_all_timed(report)


def _configurations(
    folders: list[str] | None,
    backend: list[str] | None,
    precision: list[str] | None,
    threads: str,
    input_size: list[str] | None,
) -> list[Configuration]:
    from ultraface_deploy.bench.machine import parse_numbers
    from ultraface_deploy.bench.plan import configurations
    from ultraface_deploy.family.spec import parse_input_size

    return configurations(
        folders or (),
        chosen_backends(backend),
        _precisions(precision),
        parse_numbers(threads, "--threads", smallest=1),
        [parse_input_size(text) for text in input_size or ()],
        note,
    )


def _refuse_with_emulation(context: typer.Context) -> None:
    """Counting knows what to run, on which core, on which photographs; the rest is about time."""
    from ultraface_deploy.errors import InputError

    known = {"folders", "backend", "precision", "input_size", "image", "json", "emulate"}
    for parameter in context.command.params:
        name = parameter.name or ""
        source = context.get_parameter_source(name)
        if name not in known and source is not None and source.name == "COMMANDLINE":
            raise InputError(
                f"{parameter.opts[0]} is about time and does not go with --emulate, which counts "
                "the instructions of one thread; leave it out"
            )


def _require_writable(targets: dict[str, str | None]) -> None:
    """Find out before minutes of measuring what would keep its result from being written."""
    from ultraface_deploy.bench.plots import require_matplotlib
    from ultraface_deploy.errors import InputError

    if list(targets.values()).count("-") > 1:
        raise InputError("only one result can go to standard output; give the others a file")
    for form, target in targets.items():
        folder = Path(target or "-").parent
        if not (folder.is_dir() and os.access(folder, os.W_OK)):
            raise InputError(f"--{form} {target}: {folder} is not a folder that can be written to")
    if targets["html"] is not None:
        require_matplotlib()


def _require_all_timed(report: BenchReport) -> None:
    from ultraface_deploy.errors import CheckFailed

    if report.failures:
        first = report.failures[0]
        where = f" on {first.host}" if first.host else ""
        raise CheckFailed(
            f"{len(report.failures)} of {len(report.failures) + len(report.measurements)} "
            f"configurations were not timed; {first.artifact} on {first.backend}, "
            f"{first.threads} threads{where}: {first.reason}"
        )


def _photographs(image: Path | None) -> list[Path]:
    from ultraface_deploy.safe.images import list_images

    if image is None:
        return []
    return list_images(image) if image.is_dir() else [image]


def _precisions(names: list[str] | None) -> list[Any] | None:
    from ultraface_deploy.agreement.precision import parse_precision

    if names and "all" in names:
        return None
    return [parse_precision(name) for name in dict.fromkeys(names or ["fp32"])]


def _settings(
    launches: int, seconds: float, ci: float, max_seconds: float, image: Path | None
) -> Settings:
    from ultraface_deploy.bench.run import Settings
    from ultraface_deploy.safe.images import DEMO_PHOTO, read_image

    read_image(image or DEMO_PHOTO)
    most = launches * 3 // 2
    return Settings(
        min_launches=launches,
        max_launches=most,
        launch_seconds=seconds / most,
        round_seconds=min(0.1, seconds / most / 2),
        ci_percent=ci,
        run_seconds=max_seconds,
        image=str((image or DEMO_PHOTO).absolute()),
    )


def _measure(
    found: list[Configuration], settings: Settings, cores: list[int] | None
) -> BenchReport:
    from ultraface_deploy.bench.run import Progress, measure

    launch = 1.2 + settings.warm_up_seconds + settings.launch_seconds
    fewest = min(2, settings.min_launches) * len(found) * launch
    least, most = (
        max(fewest, min(n * len(found) * launch, settings.run_seconds))
        for n in (settings.min_launches, settings.max_launches)
    )
    duration = f"{least:.0f} s" if least == most else f"{least:.0f} to {most:.0f} s"
    note(f"{len(found)} configuration{'s' if len(found) > 1 else ''}, about {duration}")
    with progress() as display:
        task = display.add_task("", total=None)

        def show(now: Progress) -> None:
            display.update(task, description=now.doing, completed=now.done - 1, total=now.total)

        report = measure(found, settings, cores, show)
    _note_wide_intervals(report, settings)
    return report


def _note_wide_intervals(report: BenchReport, settings: Settings) -> None:
    rows = report.rows("inference")
    wide = [row for row in rows if _half_width(row) > settings.ci_percent]
    if wide:
        note(
            f"{len(wide)} of {len(rows)} stopped at a limit before their interval was within "
            f"{settings.ci_percent:g} %; more time: --seconds, --launches, --max-seconds"
        )


def _write(report: BenchReport, targets: dict[str, str | None], eval_file: Path | None) -> None:
    from ultraface_deploy.bench.accuracy import Accuracies
    from ultraface_deploy.bench.html import to_html
    from ultraface_deploy.bench.tables import to_csv, to_markdown

    accuracies = None if eval_file is None else Accuracies.load(eval_file)
    forms: dict[str, Callable[[], str]] = {
        "json": report.to_json,
        "csv": lambda: to_csv(report),
        "markdown": lambda: to_markdown(report),
        "html": lambda: to_html(report, accuracies),
    }
    for form, target in targets.items():
        if target is not None:
            write_output(forms[form](), target)
    if "-" not in targets.values():
        _print(report)


def _print(report: BenchReport) -> None:
    from rich.box import SIMPLE
    from rich.table import Table

    from ultraface_deploy.bench.tables import machine_line

    table = Table(title=f"ms on {machine_line(report)}", caption=_caption(report), box=SIMPLE)
    table.add_column("configuration")
    numbers = ("inference", "± %", "p90", "p99", "end to end", "fps", "cold start", "MB", "kB")
    for heading in numbers:
        table.add_column(heading, justify="right")
    for m in report.measurements:
        inference, whole = m.row("inference"), m.row("end_to_end")
        table.add_row(
            f"{m.title}{' *' if m.threads > len(m.cores) else ''}",
            f"{inference.median_ms:.2f}{' !' if _doubtful(m) else ''}",
            f"{_half_width(inference):.1f}",
            f"{inference.p90_ms:.2f}",
            f"{inference.p99_ms:.2f}",
            f"{whole.median_ms:.2f}",
            f"{whole.fps:.0f}",
            f"{whole.cold_start_ms:.0f}",
            f"{whole.peak_rss_mb:.0f}",
            f"{m.model_bytes / 1000:.0f}",
        )
    if report.measurements:
        results.print(table)
    for m in report.measurements:
        for warning in m.warnings:
            note(f"warning: {m.title}: {warning}")


def _half_width(row: Row) -> float:
    """Half the confidence interval, in percent of the median."""
    return 100 * (row.ci_high_ms - row.ci_low_ms) / 2 / row.median_ms


def _doubtful(measurement: Measurement) -> bool:
    """Whether there is a warning besides the one that the number of threads carries."""
    return len(measurement.warnings) > (measurement.threads > len(measurement.cores))


def _caption(report: BenchReport) -> str:
    marks = []
    if any(m.threads > len(m.cores) for m in report.measurements):
        marks.append("* more threads than cores at hand")
    if any(_doubtful(m) for m in report.measurements):
        marks.append("! doubtful: see the warnings")
    return "; ".join(marks)
