"""`eval peers` and `bench peers`: other people's detectors under the same protocol."""

# Tested by tests/bench/test_peers.py.
from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from ultraface_deploy.cli.console import note, progress, write_json, write_output
from ultraface_deploy.cli.options import JsonTarget
from ultraface_deploy.safe.text import counted

if TYPE_CHECKING:
    from ultraface_deploy.bench.peers import PeerReport

Detectors = Annotated[
    list[str],
    typer.Argument(
        metavar="DETECTOR...",
        help="Our models by name or file; yunet=FILE.onnx, yunet-opencv=FILE.onnx, "
        "libfacedetection=FILE.so; KIND=FILE of an entry point. The first is what others are "
        "compared with.",
    ),
]
Size = Annotated[str, typer.Option("--input-size", metavar="WxH", help="Size of the input.")]
Threads = Annotated[
    int, typer.Option("--threads", min=1, max=256, help="Threads of every network.")
]
Beside = Annotated[
    Optional[Path],  # noqa: UP045 - typer reads it at run time on Python 3.10
    typer.Option("--beside", metavar="FILE", help="The other command's --json: one table of both."),
]
Markdown = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--markdown", metavar="FILE", help="Write the table as Markdown; - prints it."),
]
Into = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option("--into", help="Put the table between the peers markers of this Markdown file."),
]


def eval_peers(
    detectors: Detectors,
    data: Annotated[Path, typer.Option("--data", help="WIDER FACE: holds WIDER_val/images.")],
    ground_truth: Annotated[
        Path, typer.Option("--ground-truth", help="Folder of the official .mat files.")
    ],
    input_size: Size = "320x240",
    threads: Threads = 1,
    beside: Beside = None,
    markdown: Markdown = None,
    into: Into = None,
    json: JsonTarget = None,
) -> None:
    """Measure the AP of several detectors, stretched to the input and with kept aspect."""
    from ultraface_deploy.accuracy.peers import open_peers
    from ultraface_deploy.accuracy.run import image_folder
    from ultraface_deploy.bench.peers import PeerReport, measure_accuracy
    from ultraface_deploy.family.spec import parse_input_size
    from ultraface_deploy.wider import read_ground_truth

    size, other = parse_input_size(input_size), _prepared(beside, into)
    peers = open_peers(detectors, threads)
    truth, folder = read_ground_truth(ground_truth), image_folder(data)
    images = {image.name: folder / f"{image.name}.jpg" for image in truth}
    with progress() as display:
        task = display.add_task("detecting", total=len(images))
        found = measure_accuracy(peers, images, truth, size, lambda: display.advance(task))
    report = PeerReport(1, input_size, threads, accuracy=found)
    _write(report, other, markdown, into, json)


def bench_peers(
    detectors: Detectors,
    pictures: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--images", help="Folder of photographs with faces; default: two that ship."),
    ] = None,
    input_size: Size = "320x240",
    threads: Threads = 1,
    rounds: Annotated[int, typer.Option("--rounds", min=10, help="Pictures for each.")] = 200,
    beside: Beside = None,
    markdown: Markdown = None,
    into: Into = None,
    json: JsonTarget = None,
) -> None:
    """Measure the processor time of several detectors in turns, from pixels to faces at 0.5."""
    from ultraface_deploy.accuracy.peers import IN_USE, open_peers
    from ultraface_deploy.bench.peers import PeerReport, measure_cost
    from ultraface_deploy.family.spec import parse_input_size
    from ultraface_deploy.safe.images import PHOTOS, list_images

    size, other = parse_input_size(input_size), _prepared(beside, into)
    peers = open_peers(detectors, threads, IN_USE)
    found = measure_cost(peers, list_images(pictures or PHOTOS), size, rounds)
    report = PeerReport(1, input_size, threads, cost=found)
    _write(report, other, markdown, into, json)


def _prepared(beside: Path | None, into: Path | None) -> PeerReport | None:
    """Read the other result, and see before anything is measured that the table has its place."""
    from ultraface_deploy.bench.peers import read_report
    from ultraface_deploy.safe.marked import require_markers

    if into is not None:
        require_markers(into, "peers")
    return None if beside is None else read_report(beside)


def _write(
    report: PeerReport,
    other: PeerReport | None,
    markdown: str | None,
    into: Path | None,
    json: str | None,
) -> None:
    from ultraface_deploy.bench.peers import peer_table
    from ultraface_deploy.safe.marked import insert

    if other is not None and (other.input, other.threads) != (report.input, report.threads):
        measured = f"{other.input} with {counted(other.threads, 'thread')}"
        note(f"--beside: was measured at {measured}, this otherwise")
    both = [each for each in (report, other) if each is not None]
    table = peer_table(
        next((each for each in both if each.accuracy), None),
        next((each for each in both if each.cost), None),
    )
    # First: a full disk must not cost what took hours.
    if json != "-" or markdown == "-":
        write_output(table, "-")
    if json is not None:
        write_json(report.to_dict(), json)
    if into is not None:
        insert(table, into, "peers")
    if markdown not in (None, "-"):
        write_output(table, markdown)
