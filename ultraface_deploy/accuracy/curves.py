"""Precision-recall curves as a picture and as a table of numbers."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from ultraface_deploy.accuracy.result import Result
from ultraface_deploy.errors import InputError, MissingDependency
from ultraface_deploy.safe.files import replacing
from ultraface_deploy.safe.text import cell

PICTURES = (".png", ".svg", ".pdf")


def write_csv(results: Sequence[Result]) -> str:
    """Return the curves as CSV, from the highest score threshold to the lowest."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["artifact", "backend", "precision_format", "set", "precision", "recall"])
    for result in results:
        keys = ("artifact", "backend", "precision")
        head = [cell(str(result.subject[key] or "")) for key in keys]
        for name in result.tally.sets:
            curve = result.tally.curve(name)
            writer.writerows(
                [*head, name, f"{precision:.6f}", f"{recall:.6f}"]
                for precision, recall in zip(curve.precision, curve.recall, strict=True)
            )
    return text.getvalue()


def check_picture(path: Path) -> None:
    """Refuse a picture that cannot be drawn, before an evaluation rather than after it.

    Raises:
        InputError: the suffix is none of PNG, SVG and PDF.
        MissingDependency: matplotlib is not installed.
    """
    if path.suffix.lower() not in PICTURES:
        raise InputError(f"{path}: the picture's suffix must be one of {', '.join(PICTURES)}")
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise MissingDependency.package("matplotlib", "eval", "drawing curves") from error


def draw(results: Sequence[Result], path: Path) -> None:
    """Draw one panel a set with one curve a result.

    Raises:
        InputError: see `check_picture`; or the file cannot be written.
        MissingDependency: matplotlib is not installed.
    """
    check_picture(path)
    from matplotlib.figure import Figure

    sets = results[0].tally.sets
    figure = Figure(figsize=(5 * len(sets), 5), layout="constrained")
    panels = figure.subplots(1, len(sets), squeeze=False, sharey=True)[0]
    for panel, name in zip(panels, sets, strict=True):
        for result in results:
            curve = result.tally.curve(name)
            panel.plot(curve.recall, curve.precision, label=f"{result.label}: {curve.ap:.3f}")
        panel.set(title=name, xlabel="recall", xlim=(0, 1), ylim=(0, 1.02))
        panel.grid(alpha=0.3)
        panel.legend(loc="lower left", fontsize="small")
    panels[0].set_ylabel("precision")
    with replacing(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:].lower(), dpi=120)
