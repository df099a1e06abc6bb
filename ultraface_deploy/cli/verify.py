"""`verify`: every artifact against the original network."""

# Tested by tests/cli/test_commands.py.

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from ultraface_deploy.cli.console import note, notes, results, write_json
from ultraface_deploy.cli.options import (
    AllowNoFaces,
    Backends,
    ColorOrder,
    Device,
    FolderOrFile,
    IgnoreOutputs,
    InputSize,
    JsonTarget,
    Mean,
    Std,
    choose_device,
    chosen_backends,
)
from ultraface_deploy.safe.text import counted

if TYPE_CHECKING:
    from ultraface_deploy.agreement.comparison import Comparison
    from ultraface_deploy.family.known import Known


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("verify")(verify)


def verify(
    folder: FolderOrFile = None,
    images: Annotated[
        Optional[Path],  # noqa: UP045 - typer reads it at run time on Python 3.10
        typer.Option("--images", help="Folder of photographs; default: those that ship."),
    ] = None,
    backend: Backends = None,
    device: Device = None,
    input_size: InputSize = None,
    mean: Mean = None,
    std: Std = None,
    color: ColorOrder = None,
    ignore_outputs: IgnoreOutputs = False,
    allow_no_faces: AllowNoFaces = False,
    json: JsonTarget = None,
) -> None:
    """Compare every artifact with the original network; exit 1 when one does not agree.

    A single file, other people's too, is compared with itself on every installed runtime.
    """
    from ultraface_deploy.agreement.comparison import Comparisons
    from ultraface_deploy.artifacts.ensure import ensure
    from ultraface_deploy.artifacts.verify import verify_file, verify_folder
    from ultraface_deploy.converters import model_file
    from ultraface_deploy.errors import CheckFailed
    from ultraface_deploy.family.known import parse_known
    from ultraface_deploy.family.spec import parse_input_size
    from ultraface_deploy.safe.images import embedded_images, list_images, read_images
    from ultraface_deploy.safe.records import SCHEMA

    choose_device(device)
    known = parse_known(mean, std, color, ignore_outputs)
    size = None if input_size is None else parse_input_size(input_size)
    backends = chosen_backends(backend)
    photos = embedded_images() if images is None else read_images(list_images(images))
    subject = None if folder is None else model_file(folder)
    if subject is not None and subject.is_file():
        with notes.status(f"verifying {subject}"):
            comparisons = verify_file(subject, photos, backends, known, size)
        runtimes = {comparison.backend for comparison in comparisons}
        alone = len(runtimes) == 1
        advice = "choose a runtime with --backend, or convert the network that it was made from"
        note(
            f"{subject}: no original is known, so it is compared with itself on other runtimes"
            if not alone
            else f"{subject}: unverified: no original is known, and {runtimes.pop()} alone reads "
            "it here; all that is shown is that it runs and finds faces"
        )
    else:
        _refuse_for_folders(known, size)
        alone = False
        opened = ensure(folder, report=note)
        subject = opened.path
        advice = f"convert {subject} again"
        with notes.status(f"verifying {subject}"):
            comparisons = verify_folder(opened, photos, backends)
    if not allow_no_faces:
        comparisons = [comparison.needing_faces() for comparison in comparisons]
    passed = all(comparison.passed for comparison in comparisons)
    if json != "-":
        _print(comparisons, alone)
    if json is not None:
        write_json(Comparisons(SCHEMA, passed, comparisons), json)
    if not passed:
        failed = [c for c in comparisons if not c.passed]
        raise CheckFailed(
            "; ".join(f"{c.artifact} on {c.backend}: {c.reason}" for c in failed)
            + (
                ""
                if all(c.reason and "proves nothing" in c.reason for c in failed)
                else f"; {advice}"
            )
        )


def _refuse_for_folders(known: Known, size: tuple[int, int] | None) -> None:
    """Refuse what a manifest states already."""
    from ultraface_deploy.errors import InputError

    if size or known.says_input or known.ignore_outputs:
        raise InputError(
            "--input-size, --mean, --std, --color and --ignore-outputs are for single files; "
            "leave them out: an artifact folder states itself what its network is"
        )


def _print(comparisons: list[Comparison], alone: bool) -> None:
    """Print a table; a file that ran `alone` agrees with nothing but itself."""
    from rich.box import SIMPLE
    from rich.table import Table

    images = max(comparison.images for comparison in comparisons)
    reference = comparisons[0].reference
    title = f"largest differences from {reference} on {counted(images, 'image')}"
    if alone:
        title = f"runs on {counted(images, 'image')}; compared with nothing"
    # Narrow enough for the 80 characters of an SSH terminal.
    table = Table(title=title, box=SIMPLE, padding=0)
    number = _nothing if alone else _number
    # Nearly always it is the runtime itself that has computed what is compared.
    by = any(c.compared_by not in (None, "runtime") for c in comparisons)
    table.add_column("artifact", overflow="fold")
    for heading in ("backend", *["by"] * by, "agrees"):
        table.add_column(heading, no_wrap=True)
    for heading in ("scores", "boxes", "recall", "precision", "IoU", "faces"):
        table.add_column(heading, justify="right", no_wrap=True)
    for c in comparisons:
        table.add_row(
            f"{c.artifact}, halves" if c.halves else c.artifact,
            c.backend,
            *[c.compared_by or "-"] * by,
            "NO" if not c.passed else "unverified" if alone else "yes",
            number(c.max_abs_scores, ".1e"),
            number(c.max_abs_boxes, ".1e"),
            number(c.recall, ".3f"),
            number(c.precision, ".3f"),
            number(c.mean_iou, ".4f"),
            str(c.detections) if alone else f"{c.detections}/{c.reference_detections}",
        )
    results.print(table)
    for c in comparisons:
        if c.arena_kib is not None:
            note(f"{c.artifact} on {c.backend}: needs an arena of {c.arena_kib} KiB")


def _nothing(value: float | None, form: str) -> str:
    return "-"


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
