"""`bench count`: the same faces on an emulated Arm core, and how many instructions they take."""

# Tested by tests/cli/test_bench.py.

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from ultraface_deploy.cli.bench_options import (
    Folders,
    InputSizes,
    configurations_of,
    require_folders,
    require_writable,
)
from ultraface_deploy.cli.console import note, progress, results, write_json
from ultraface_deploy.cli.options import Backends, JsonTarget, Precisions, chosen_backends

if TYPE_CHECKING:
    from ultraface_deploy.bench.count.instructions import Count
    from ultraface_deploy.bench.count.layers import LayerCounts
    from ultraface_deploy.bench.plan import Configuration


def register(bench: typer.Typer) -> None:
    """Add the command."""
    bench.command("count")(count)


def count(
    core: Annotated[
        Optional[str],  # noqa: UP045 - typer reads it at run time on Python 3.10
        typer.Argument(
            metavar="CORE",
            help="cortex-a53, cortex-a72 or cortex-a76, as on a Raspberry Pi 3, 4 or 5.",
            show_default=False,
        ),
    ] = None,
    folders: Folders = None,
    backend: Backends = None,
    precision: Precisions = None,
    input_size: InputSizes = None,
    image: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            "--image",
            help="A photograph or a folder of them, to compare on beside the shipped ones.",
        ),
    ] = None,
    setup: Annotated[
        bool,
        typer.Option("--setup", help="Set the emulator up first; says what it downloads. Once."),
    ] = False,
    layers: Annotated[
        bool,
        typer.Option(
            "--layers",
            help="Of C files: how many each layer takes. Needs compilers, but no setup.",
        ),
    ] = False,
    json: JsonTarget = None,
) -> None:
    """Count the instructions of one inference on an emulated Arm core, one thread.

    Each artifact is compared with the original network there first.
    """
    from ultraface_deploy.bench.count.sysroot import (
        Sysroot,
        cpuinfo,
        emulated_backends,
        require_emulated,
    )
    from ultraface_deploy.errors import InputError
    from ultraface_deploy.safe.images import list_images

    if core is not None and layers:
        cpuinfo(core)
        _count_layers(core, folders, backend, precision, input_size, json)
        return
    if core is not None:
        cpuinfo(core)
        require_emulated(chosen_backends(backend) or ())
        require_writable({"json": json})
    if setup:
        _set_up()
    if core is None:
        if not setup:
            raise InputError("bench count: name a core, for example: bench count cortex-a72")
        return
    Sysroot.default().versions()
    photographs = list_images(image) if image and image.is_dir() else [image] if image else []
    found = configurations_of(folders, backend, precision, input_size)
    require_folders(found, "counting")
    if chosen_backends(backend) is None:
        found = [each for each in found if each.backend in emulated_backends()]
    _count(found, core, photographs, json)


def _count_layers(
    core: str,
    folders: Folders,
    backend: Backends,
    precision: Precisions,
    input_size: InputSizes,
    json: str | None,
) -> None:
    from ultraface_deploy.bench.count.layers import count_layers
    from ultraface_deploy.errors import InputError

    if set(chosen_backends(backend) or ()) - {"native"}:
        raise InputError("--layers: only C files are counted by layer; give --backend native")
    if json is not None:
        raise InputError("--layers prints a table; leave --json out")
    found = configurations_of(folders, ["native"], precision, input_size)
    require_folders(found, "counting")
    for each in found:
        counts = count_layers(each.folder.files(each.artifact), each.folder.spec, core)
        _print_layers(f"{each.model} {each.artifact.precision}", core, counts)


def _print_layers(name: str, core: str, counts: LayerCounts) -> None:
    beside = (counts.resize + counts.faces) / counts.total
    results.print(
        f"{name} on an emulated {core}, {counts.kernels} kernels: "
        f"{counts.total:.2f} million instructions, one thread",
        highlight=False,
    )
    rows = {
        "resize of a 1024x609 picture": counts.resize,
        f"decoding and suppression; both are {beside:.3f} of the whole": counts.faces,
        **counts.steps,
    }
    for what, millions in rows.items():
        results.print(f"  {millions:6.2f}  {what}", highlight=False)


def _set_up() -> None:
    from ultraface_deploy.bench.count.sysroot import Sysroot, describe_setup, is_current, set_up

    sysroot = Sysroot.default()
    if not is_current(sysroot):
        note(describe_setup(sysroot))
        set_up(sysroot, note)
    note(f"ready: {sysroot.path}")


def _count(
    found: list[Configuration], core: str, photographs: list[Path], json: str | None
) -> None:
    """Run the configurations on an emulated core and print or write what was counted.

    Raises:
        CheckFailed: an artifact does not run there, or computes something else.
    """
    from ultraface_deploy.bench.count.instructions import count_instructions
    from ultraface_deploy.bench.count.report import CountReport
    from ultraface_deploy.bench.count.sysroot import Sysroot
    from ultraface_deploy.errors import CheckFailed

    with progress() as display:
        task = display.add_task("", total=len(found), completed=-1)

        def show(configuration: Configuration) -> None:
            c = configuration
            display.update(task, description=f"{core} {c.backend} {c.artifact.precision}")
            display.advance(task)

        counts = count_instructions(found, core, None, photographs, show)
    if json != "-":
        _print(core, counts)
    if json is not None:
        report = CountReport(core, Sysroot.default().versions(), tuple(counts))
        write_json(report, json)
    if failed := [count for count in counts if not count.passed]:
        raise CheckFailed(
            "; ".join(f"{c.artifact} on {c.backend}, {core}: {c.reason}" for c in failed)
        )


def _print(core: str, counts: list[Count]) -> None:
    from rich.box import SIMPLE
    from rich.table import Table

    # Narrow enough for the 80 characters of an SSH terminal; a wide one shows the floor too.
    wide = results.width >= 96
    table = Table(
        title=f"million instructions per inference on an emulated {core}, one thread",
        caption="as here: F1 of the faces against those the same artifact finds on this machine. "
        "Instructions rank kernels on one core; they are not latencies.",
        box=SIMPLE,
        padding=0,
    )
    table.add_column("configuration", overflow="fold")
    table.add_column("agrees", no_wrap=True)
    floor = ["floor of MACs"] * wide
    for heading in ("as here", "all", "FMA", "dot", "int mul", "load/store", *floor):
        table.add_column(heading, justify="right", no_wrap=True)
    for c in counts:
        classes = (c.instructions, c.fma, c.dot_product, c.integer_multiply, c.load_store)
        shown = (*classes, *[c.floor] * wide)
        cells = ("-" if value is None else f"{value / 1e6:.2f}" for value in shown)
        here = "-" if c.as_here is None else f"{c.as_here:.3f}"
        name = f"{c.model} {c.backend} {c.precision}{', halves' if c.halves else ''}"
        table.add_row(name, "yes" if c.passed else "NO", here, *cells)
    results.print(table)
