"""The accuracy table of a README."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from ultraface_deploy.accuracy.result import Result
from ultraface_deploy.wider import SETS

_HEADINGS = ("model", "input", "artifact", "runtime", "size", *SETS, "as FP32")
_BRIEF = ("precision", "artifacts")


def accuracy_table(
    models: Sequence[tuple[str | None, Sequence[Result]]], brief: bool = False
) -> str:
    """Return the Markdown: a row for each artifact.

    Of several runtimes that ran the same artifact the first stands for all.

    Args:
        models: for each a name to show, None for its own, and its results on WIDER FACE.
        brief: one row per model and precision, with the worst figure of its artifacts in each
            column.
    """
    images = sorted({len(each.tally.names) for _, results in models for each in results})
    rows = [row for name, results in models for row in _rows(name, results, brief)]
    headings = [*_HEADINGS[:2], *(_BRIEF if brief else _HEADINGS[2:4]), *_HEADINGS[4:]]
    counts = " and ".join(str(count) for count in images)
    return (
        "\n".join([_row(headings), _row(["---"] * 4 + ["---:"] * 5), *map(_row, rows)])
        + "\n\n"
        + f"AP on {counts} images of the WIDER FACE validation set, official protocol. *as FP32*: "
        "F1 of the detections at score 0.5 against those of the FP32 network."
        + (" Each figure is the worst over the artifacts of the row.\n" if brief else "\n")
    )


def _rows(name: str | None, results: Sequence[Result], brief: bool) -> Iterator[tuple[str, ...]]:
    groups: dict[tuple[str, ...], list[Result]] = {}
    for result in results:
        subject, size = result.subject, result.subject["input"]
        kind = subject["precision"] if brief else subject["artifact"]
        shown = "-" if size is None else f"{size['width']}x{size['height']}"
        groups.setdefault((name or subject["model"], shown, kind or "-"), []).append(result)
    for key, found in groups.items():
        artifacts = ", ".join(dict.fromkeys(each.subject["artifact"] for each in found))
        runtime = found[0].subject["backend"] or "-"
        yield (*key, artifacts if brief else runtime, *_figures(found if brief else found[:1]))


def _figures(results: Sequence[Result]) -> tuple[str, ...]:
    """Size, AP and agreement; of several results the worst of each."""
    sizes = [each.subject["bytes"] for each in results]
    agreements = [each.details["agreement"] for each in results]
    aps = {name: min(each.ap()[name] for each in results) for name in SETS}
    return (
        "-" if None in sizes else f"{max(sizes) / 1e6:.2f} MB",
        *("-" if math.isnan(aps[name]) else f"{aps[name]:.3f}" for name in SETS),
        "-" if None in agreements else f"{min(each['f1'] for each in agreements):.3f}",
    )


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
