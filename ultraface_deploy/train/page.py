"""The page of a training run: how the loss, the AP and the learning rate went, and examples."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from ultraface_deploy.pages.page import escape, facts, gallery, page, picture, section, table
from ultraface_deploy.pages.plots import COLOURS, LINES, MARKERS, legend, new_figure, render
from ultraface_deploy.safe.text import counted
from ultraface_deploy.train.examples import Example
from ultraface_deploy.train.metrics import LOSSES, PRECISIONS
from ultraface_deploy.train.recipe import Recipe, Stage

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LEVELS = {
    geometry: [name for name in PRECISIONS if name.startswith(geometry)]
    for geometry in ("stretched", "kept")
}
Rows = Sequence[Mapping[str, str]]
"""Of `metrics.csv`: one for each time that the AP was measured."""


def training_page(recipe: Recipe, rows: Rows, shown: Sequence[Example]) -> str:
    """Return the page, which is one HTML file with everything in it.

    Args:
        recipe: what the run followed.
        rows: what it measured, in order.
        shown: pictures that the network has looked at.

    Raises:
        MissingDependency: matplotlib is not installed.
    """
    spec = recipe.spec
    return page(
        f"Training of {spec.name}, {spec.width}x{spec.height}",
        f"<p>{escape(_summary(rows))}</p>",
        *_plots(rows),
        section("Examples", _EXPLAINED, gallery(shown)) if shown else "",
        section("Figures", _table(rows)) if rows else "",
        section("Recipe", facts(_without_stages(recipe))),
        *(section(f"Stage {stage.name}", facts(_plain(stage))) for stage in recipe.stages),
    )


_EXPLAINED = (
    "<p>The best network on pictures spread over those held out (over the training's, where none "
    "is held out), at its score threshold: found in orange, missed in blue.</p>"
)


def _summary(rows: Rows) -> str:
    if not rows:
        return "Nothing was measured."
    minutes = sum(float(row["seconds"]) for row in rows) / 60
    seen = (
        f"{counted(int(rows[-1]['images']), 'image')} seen in {counted(round(minutes), 'minute')}."
    )
    measured = [row for row in rows if _known(row, "ap")]
    if not measured:
        return f"{seen} No image was held out, so there is no AP."
    best = max(measured, key=lambda row: float(row["ap"]))
    return (
        f"{seen} Best AP on the held-out images: {float(best['ap']):.4f}, "
        f"after {counted(int(best['images']), 'image')}."
    )


def _known(row: Mapping[str, str], name: str) -> bool:
    return bool(row.get(name)) and math.isfinite(float(row[name]))


def _plots(rows: Rows) -> Iterator[str]:
    plots = {
        "Loss": _loss(rows),
        "AP on held-out images": _precision(rows),
        "Learning rate": _lr(rows),
    }
    for caption, figure in plots.items():
        if figure is not None:
            yield section(caption, picture(caption, render(figure, "svg")))


def _loss(rows: Rows) -> Figure | None:
    lines = {name: name.replace("_", " ") for name in LOSSES}
    drawn = _draw(rows, lines, "loss", dict.fromkeys(LOSSES, LINES[0]))
    if drawn is not None:
        _logarithmic(drawn[1])
        legend(drawn[0])
    return drawn and drawn[0]


def _logarithmic(axes: Axes) -> None:
    """Let losses of any size be seen together, with plain numbers at the axis."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())


def _precision(rows: Rows) -> Figure | None:
    lines = {name: name.replace("_", ", ") for name in PRECISIONS} | {"ap": "mean"}
    looks = {name: LINES[name.startswith("kept")] for name in PRECISIONS}
    drawn = _draw(rows, lines, "AP", looks)
    if drawn is not None:
        legend(drawn[0])
    return drawn and drawn[0]


def _lr(rows: Rows) -> Figure | None:
    drawn = _draw(rows, {"lr": "learning rate"}, "learning rate", {"lr": LINES[0]})
    if drawn is not None:
        drawn[1].set_ylim(bottom=0)
    return drawn and drawn[0]


def _draw(
    rows: Rows, lines: Mapping[str, str], y: str, looks: Mapping[str, str]
) -> tuple[Figure, Axes] | None:
    """Draw columns over the images seen; None where none has a figure."""
    shown = {
        name: [(int(row["images"]), float(row[name])) for row in rows if _known(row, name)]
        for name in lines
    }
    shown = {name: points for name, points in shown.items() if any(value for _, value in points)}
    if not shown:
        return None
    figure, axes = new_figure(0.75, "images seen", y)
    for number, (name, points) in enumerate(shown.items()):
        place = number % len(COLOURS)
        axes.plot(
            *zip(*points, strict=True),
            label=lines[name],
            color=COLOURS[place],
            linestyle=looks[name],
            marker=MARKERS[place],
            markersize=4,
        )
    for before, after in pairwise(rows):
        if before["stage"] != after["stage"]:
            axes.axvline(int(before["images"]), color="gray", linestyle=":", linewidth=1)
    axes.set_xlim(left=0)
    return figure, axes


def _table(rows: Rows) -> str:
    headings = ["stage, epoch", "images", "learning rate", "loss", "mean AP"]
    headings += ["stretched: easy / medium / hard", "kept proportions"]
    named = [(escape(f"{row['stage']} {row['epoch']}"), _cells(row)) for row in rows]
    return table(headings, named)


def _cells(row: Mapping[str, str]) -> list[str]:
    levels = {
        geometry: [f"{float(row[name]):.3f}" for name in _LEVELS[geometry] if _known(row, name)]
        for geometry in _LEVELS
    }
    mean = f"{float(row['ap']):.4f}" if _known(row, "ap") else ""
    told = [row["images"], row["lr"], row["total"], mean]
    return told + [" / ".join(figures) for figures in levels.values()]


def _without_stages(recipe: Recipe) -> dict[str, object]:
    return {key: value for key, value in vars(recipe).items() if key != "stages"}


def _plain(stage: Stage) -> dict[str, object]:
    """Return a stage with its tables as mappings."""
    plain = vars(stage) | {"weights": vars(stage.weights), "augment": vars(stage.augment)}
    return plain | {"teachers": [vars(role) for role in stage.teachers]}
