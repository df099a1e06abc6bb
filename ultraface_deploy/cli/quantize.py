"""`quantize`: the calibration table that INT8 starts from, and what it says of each layer."""

# Tested by tests/quantize/test_report.py.

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from ultraface_deploy.cli.console import note, progress, results, write_json
from ultraface_deploy.cli.options import CalibrationKeepsAspect, InputSize, JsonTarget
from ultraface_deploy.models import DEFAULT_MODEL
from ultraface_deploy.safe.text import counted

if TYPE_CHECKING:
    from ultraface_deploy.artifacts.folder import ArtifactFolder
    from ultraface_deploy.quantize.quantizer import Quantizer
    from ultraface_deploy.quantize.report import LayerReport

Model = Annotated[
    str, typer.Argument(help="A .pth, an .onnx, an artifact folder, or a registry name.")
]
Calibration = Annotated[
    Optional[Path],  # noqa: UP045 - typer reads it at run time on Python 3.10
    typer.Option(
        "--calibration",
        metavar="DIR|FILE",
        help="Folder of photographs, or a calibration table; embedded models ship one.",
    ),
]
CalibrationImages = Annotated[
    int, typer.Option("--calibration-images", min=1, help="How many photographs to calibrate on.")
]


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(
        help="The calibration table of a network, and which of its layers INT8 hurts.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    group.command("calibrate")(calibrate)
    group.command("report")(report)
    app.add_typer(group, name="quantize")


def calibrate(
    model: Model = DEFAULT_MODEL,
    calibration: Calibration = None,
    images: CalibrationImages = 200,
    output: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("-o", "--output", help="Table to write; default: <model>.calibration.json."),
    ] = None,
    input_size: InputSize = None,
    keep_aspect: CalibrationKeepsAspect = False,
    ncnn_table: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--ncnn-table", help="Write the scales for `ncnn2int8` as well."),
    ] = None,
) -> None:
    """Collect activation ranges and layer costs over photographs into a small readable table."""
    from ultraface_deploy.errors import InputError
    from ultraface_deploy.models import TABLE_SUFFIX
    from ultraface_deploy.safe.files import write_text

    if calibration is None:
        raise InputError("quantize calibrate: give photographs with --calibration DIR")
    if calibration.is_file():
        raise InputError(f"--calibration {calibration}: is a file; give a folder of photographs")
    formats = ["onnxsim"] if ncnn_table is None else ["onnxsim", "ncnn"]
    with _open(model, calibration, images, input_size, formats, keep_aspect) as opened:
        quantizer, folder = opened
        target = output or Path(f"{quantizer.spec.name}{TABLE_SUFFIX}")
        quantizer.table.save(target)
        if ncnn_table is not None:
            from ultraface_deploy.converters.ncnn.int8 import calibration_table

            files = folder.files(folder.find("ncnn"))
            write_text(ncnn_table, calibration_table(quantizer.network, quantizer.table, *files))
    note(f"{target}: {counted(quantizer.table.images['count'], 'photograph')}")


def report(
    model: Model = DEFAULT_MODEL,
    calibration: Calibration = None,
    images: CalibrationImages = 200,
    output: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("-o", "--output", help="Picture to draw: .png, .svg or .pdf."),
    ] = None,
    json: JsonTarget = None,
    input_size: InputSize = None,
) -> None:
    """Show which layer costs how much accuracy and how many bytes, most sensitive first."""
    from ultraface_deploy.quantize.report import (
        draw_report,
        report_to_dict,
        require_picture,
        sensitivity_report,
    )

    if output is not None:
        require_picture(output)
    with _open(model, calibration, images, input_size, ["onnxsim"]) as (quantizer, _):
        table = quantizer.table
        rows = sensitivity_report(quantizer.network, table)
    if json != "-":
        _print(rows)
    if output is not None:
        draw_report(rows, quantizer.spec.name, output)
        note(f"{output}: drawn")
    if json is not None:
        write_json(report_to_dict(rows, table), json)


def _print(rows: Sequence[LayerReport]) -> None:
    from rich.table import Table

    shown = Table(caption="RMS errors at undecided anchors with one layer alone in INT8")
    for heading in ("layer", "score error", "box error", "kB more in FP32", "multiplications"):
        shown.add_column(heading, justify="left" if heading == "layer" else "right", no_wrap=True)
    for row in rows:
        shown.add_row(
            row.layer,
            f"{row.score_error:.4f}",
            f"{row.box_error:.4f}",
            f"{row.extra_bytes / 1000:.1f}",
            f"{row.multiplications:.1%}",
        )
    results.print(shown)


@contextmanager
def _open(
    model: str,
    calibration: Path | None,
    images: int,
    input_size: str | None,
    formats: list[str],
    keep_aspect: bool = False,
) -> Iterator[tuple[Quantizer, ArtifactFolder]]:
    """Convert a model in a folder of its own and show a bar while it is calibrated."""
    from ultraface_deploy.artifacts.convert import convert
    from ultraface_deploy.artifacts.int8 import open_quantizer
    from ultraface_deploy.artifacts.source import resolve_source
    from ultraface_deploy.family.spec import parse_input_size
    from ultraface_deploy.quantize import Int8Options

    size = None if input_size is None else parse_input_size(input_size)
    options = Int8Options(calibration=calibration, images=images, keep_aspect=keep_aspect)
    options.require_readable()
    with TemporaryDirectory(prefix="ultraface-deploy-") as scratch, progress() as bar:
        folder = convert(resolve_source(model, size), formats, output=Path(scratch) / "model")
        (onnx_file,) = folder.files(folder.find("onnxsim"))
        task = bar.add_task("calibrating", total=None)
        quantizer = open_quantizer(
            onnx_file,
            folder.spec,
            options,
            Path(scratch) / "int8",
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
        yield quantizer, folder
