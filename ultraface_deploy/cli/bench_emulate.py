"""`bench --emulate CORE` and its set-up: an Arm core without a board."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from ultraface_deploy.cli.console import note, progress, results, write_json

if TYPE_CHECKING:
    from ultraface_deploy.bench.emulate.count import Count
    from ultraface_deploy.bench.plan import Configuration

BACKENDS = ("onnxruntime", "mnn", "ncnn", "opencv")


def register(bench: typer.Typer) -> None:
    """Add the set-up command."""
    bench.command("emulate-setup")(emulate_setup)


def emulate_setup() -> None:
    """Install what `bench --emulate` needs: says what it downloads, then does it."""
    from ultraface_deploy.bench.emulate.sysroot import Sysroot, describe_setup, is_current, set_up

    sysroot = Sysroot.default()
    if not is_current(sysroot):
        note(describe_setup(sysroot))
        set_up(sysroot, note)
    note(f"ready: {sysroot.path}")


def run_emulated(found: list[Configuration], core: str, json: str | None) -> None:
    """Run the configurations on an emulated core and print or write what was counted.

    Raises:
        CheckFailed: an artifact does not run there, or computes something else.
    """
    from ultraface_deploy.bench.emulate.count import count_instructions
    from ultraface_deploy.bench.emulate.sysroot import Sysroot
    from ultraface_deploy.errors import CheckFailed

    with progress() as display:
        task = display.add_task("", total=len(found))

        def show(configuration: Configuration) -> None:
            c = configuration
            display.update(task, description=f"{core} {c.backend} {c.artifact.precision}")

        counts: list[Count] = []
        for configuration in found:
            counts += count_instructions([configuration], core, _macs(configuration), None, show)
            display.advance(task)
    if json is not None:
        packages = Sysroot.default().versions()
        rows = [count.to_dict() for count in counts]
        write_json({"schema": 1, "core": core, "packages": packages, "results": rows}, json)
    if json != "-":
        _print(core, counts)
    if failed := [count for count in counts if not count.passed]:
        raise CheckFailed(
            "; ".join(f"{c.artifact} on {c.backend}, {core}: {c.reason}" for c in failed)
        )


def _macs(configuration: Any) -> int | None:
    from ultraface_deploy.bench.cost import cost_of_onnx
    from ultraface_deploy.errors import MissingDependency

    folder = configuration.folder
    if not folder.has("onnx"):
        return None
    try:
        return cost_of_onnx(folder.files(folder.find("onnx"))[0]).macs
    except MissingDependency:
        return None


def _print(core: str, counts: list[Count]) -> None:
    from rich.table import Table

    table = Table(
        title=f"million instructions per inference on an emulated {core}, one thread",
        caption="Instructions rank kernels on one core; they are no latency.",
    )
    for heading in ("model", "backend", "precision", "agrees"):
        table.add_column(heading, no_wrap=True)
    for heading in ("all", "FMA", "dot", "int mul", "load/store", "floor of MACs"):
        table.add_column(heading, justify="right", no_wrap=True)
    for c in counts:
        classes = (c.instructions, c.fma, c.dot_product, c.integer_multiply, c.load_store, c.floor)
        cells = ("-" if value is None else f"{value / 1e6:.2f}" for value in classes)
        table.add_row(c.model, c.backend, c.precision, "yes" if c.passed else "NO", *cells)
    results.print(table)
