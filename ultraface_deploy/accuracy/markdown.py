"""The accuracy table of a README: what was measured here, beside what others published."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ultraface_deploy.accuracy.result import Result
from ultraface_deploy.errors import InputError
from ultraface_deploy.safe.files import require_file, write_text
from ultraface_deploy.wider import SETS

BEGIN, END = "<!-- accuracy:begin -->", "<!-- accuracy:end -->"
_HEADINGS = ("model", "input", "artifact", "runtime", "size", *SETS, "as FP32")
_ARTIFACT = 3  # so many cells say which artifact a row is about

# Name, megabytes, input, AP. From the README of Linzaer/Ultra-Light-Fast-Generic-Face-Detector-1MB.
_PUBLISHED = (
    ("libfacedetection v1", 2.58, "320x240", (0.65, 0.5, 0.233)),
    ("libfacedetection v2", 3.34, "320x240", (0.714, 0.585, 0.306)),
    ("RetinaFace-mobilenet-0.25", 1.68, "longest side 320", (0.745, 0.553, 0.232)),
    ("libfacedetection v1", 2.58, "640x480", (0.741, 0.683, 0.421)),
    ("libfacedetection v2", 3.34, "640x480", (0.773, 0.718, 0.485)),
    ("RetinaFace-mobilenet-0.25", 1.68, "longest side 640", (0.879, 0.807, 0.481)),
)


def accuracy_table(models: Sequence[tuple[str | None, Sequence[Result]]]) -> str:
    """Return the Markdown: a row for each artifact, then the published figures of others.

    Of several runtimes that ran the same artifact the first stands for all.

    Args:
        models: for each a name to show, None for its own, and its results on WIDER FACE.
    """
    images = sorted({len(each.tally.names) for _, results in models for each in results})
    rows = [row for name, results in models for row in _rows(name, results)]
    rows += [
        (f"{name} *", size, "-", "-", f"{megabytes:.2f} MB", *(f"{ap:.3f}" for ap in aps), "-")
        for name, megabytes, size, aps in _PUBLISHED
    ]
    counts = " and ".join(str(count) for count in images)
    return (
        "\n".join([_row(_HEADINGS), _row(["---"] * 4 + ["---:"] * 5), *map(_row, rows)])
        + "\n\n"
        + f"AP on {counts} images of the WIDER FACE validation set, official protocol. *as FP32*: "
        "F1 of the detections at score 0.5 against those of the FP32 network.\n"
        "\\* not measured here: figures that the authors of UltraFace published, on all 3226 "
        "validation images.\n"
    )


def insert(table: str, path: Path) -> None:
    """Replace what stands between the two markers of a Markdown file.

    Raises:
        InputError: there is no such file, or it lacks the markers.
    """
    require_file(path, "Markdown file")
    before, begin, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise InputError(f"{path}: lacks the lines {BEGIN} and {END}; add them where it belongs")
    write_text(path, f"{before}{begin}\n{table}{end}{after}")


def _rows(name: str | None, results: Sequence[Result]) -> Iterator[tuple[str, ...]]:
    seen = set()
    for result in results:
        row = _measured(result, name)
        if row[:_ARTIFACT] not in seen:
            seen.add(row[:_ARTIFACT])
            yield row


def _measured(result: Result, name: str | None) -> tuple[str, ...]:
    subject, size = result.subject, result.subject["input"]
    agreement, count = result.details["agreement"], subject["bytes"]
    aps = result.ap()
    return (
        name or subject["model"],
        "-" if size is None else f"{size['width']}x{size['height']}",
        subject["artifact"],
        subject["backend"] or "-",
        "-" if count is None else f"{count / 1e6:.2f} MB",
        *("-" if math.isnan(aps[name]) else f"{aps[name]:.3f}" for name in SETS),
        "-" if agreement is None else f"{agreement['f1']:.3f}",
    )


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
