"""What a checkpoint's scores are worth: false alarms and reliability, by size and geometry."""

# Tested by tests/train/test_scores.py.

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from ultraface_deploy.errors import InputError
from ultraface_deploy.family.checkpoint import load_checkpoint
from ultraface_deploy.models.pull import file_or_name
from ultraface_deploy.pages.plots import COLOURS, LINES, MARKERS, legend, new_figure, render
from ultraface_deploy.safe.files import write_bytes
from ultraface_deploy.train.data import Sample, read_dataset
from ultraface_deploy.train.data.cache import ImageCache
from ultraface_deploy.train.distill import fused
from ultraface_deploy.train.faceless import pictures
from ultraface_deploy.train.loop import split
from ultraface_deploy.train.scores import FITTED, Judged, judge

_EDGES = np.linspace(0.1, 1.0, 10).round(1).tolist()
PICTURES = (".png", ".svg")


@dataclass(frozen=True)
class ScoreView:
    """The scores at one input size and geometry.

    `judged` are those on labelled pictures, `alarms` those on pictures without faces.
    """

    width: int
    height: int
    keep_aspect: bool
    judged: Judged
    alarms: Judged

    @property
    def label(self) -> str:
        """What is looked at, for tables and plots."""
        if self.keep_aspect:
            return f"longest side {max(self.width, self.height)}, aspect kept"
        return f"{self.width}x{self.height}"


def report_scores(
    checkpoint: Path,
    data: Sequence[Path],
    holdout: float,
    faceless: int = 120,
    sizes: Sequence[tuple[int, int]] = (),
    on_image: Callable[[], None] = lambda: None,
) -> list[ScoreView]:
    """Judge the scores of a checkpoint on labelled pictures and on made ones without faces.

    Args:
        checkpoint: whose scores; a file, or the name of a model that ships or was pulled.
        data: data sets; best what it was not trained on.
        holdout: share of the images to use, chosen by a hash of the name.
        faceless: how many pictures without faces to make, see `faceless.pictures`.
        sizes: (width, height) of the inputs to look at; none for the checkpoint's own.
        on_image: called after each image that is decoded.

    Returns:
        Two views for each size, stretched to it and with kept proportions.

    Raises:
        InputError: a file cannot be used, or no image is left.
    """
    own = load_checkpoint(file_or_name(checkpoint))
    every = [sample for root in data for sample in read_dataset(root, "train")]
    _, held = split(every, holdout)
    samples = [every[index] for index in held]
    if not samples:
        raise InputError(f"`holdout` {holdout:g} leaves no image; give more images or a larger one")
    specs = [own.spec.resized(*size) for size in dict.fromkeys(sizes)] or [own.spec]
    side = 2 * max(max(spec.width, spec.height) for spec in specs)
    net = fused(own.build())
    with tempfile.TemporaryDirectory() as folder:
        made = _without_faces(faceless, Path(folder))
        caches = [
            (each, ImageCache(each, Path(folder), side, on_image, "ram"))
            for each in (samples, made)
        ]
        return [
            ScoreView(
                spec.width,
                spec.height,
                kept,
                *(
                    judge(net, spec, each, cache, range(len(each)), keep_aspect=kept)
                    for each, cache in caches
                ),
            )
            for spec in specs
            for kept in (False, True)
        ]


def _without_faces(count: int, folder: Path) -> list[Sample]:
    samples = []
    for number, (kind, picture) in enumerate(pictures(count)):
        path = folder / f"{number}-{kind}.png"
        write_bytes(path, cv2.imencode(".png", picture)[1].tobytes())
        samples.append(Sample(path, np.empty((0, 4), np.float32), np.empty(0, bool)))
    return samples


def score_tables(views: Sequence[ScoreView]) -> str:
    """Return two Markdown tables: false positives a picture, and the share of faces by score."""
    head = ["false positives a picture", *(f"{threshold}" for threshold in FITTED)]
    rows = [
        [f"{view.label}, {judged.images} {kind}"]
        + [f"{judged.false_positives(threshold):.3f}" for threshold in FITTED]
        for view in views
        for judged, kind in ((view.judged, "of the data"), (view.alarms, "without faces"))
    ]
    ranges = [f"{low}-{high}" for low, high in pairwise(_EDGES)]
    shares = [[view.label, *_shares(view.judged)] for view in views]
    return _table(head, rows) + "\n" + _table(["faces among boxes of a score", *ranges], shares)


def _shares(judged: Judged) -> list[str]:
    """Return for each range of scores the share of faces, and of how many boxes."""
    cells = []
    for low, high in pairwise(_EDGES):
        found = judged.reliability([low, high])
        cells.append(f"{found[0][1]:.2f} of {found[0][2]}" if found else "-")
    return cells


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def check_picture(path: Path) -> None:
    """Refuse a picture that cannot be drawn, before the scores are looked at.

    Raises:
        InputError: the suffix is neither that of PNG nor of SVG.
    """
    if path.suffix.lower() not in PICTURES:
        raise InputError(f"{path}: the picture's suffix must be one of {', '.join(PICTURES)}")


def draw_reliability(views: Sequence[ScoreView], path: Path) -> None:
    """Draw the share of faces over the mean score of tenths, beside the line of honest scores.

    Raises:
        InputError: see `check_picture`; or the file cannot be written.
        MissingDependency: matplotlib is not installed.
    """
    check_picture(path)
    figure, axes = new_figure(0.75, "score", "share of faces among the boxes")
    axes.plot((0, 1), (0, 1), color="gray", linestyle=":", label="a score that is the share")
    for number, view in enumerate(views):
        points = view.judged.reliability(_EDGES)
        axes.plot(
            [mean for mean, _, _ in points],
            [share for _, share, _ in points],
            label=view.label,
            color=COLOURS[number % len(COLOURS)],
            linestyle=LINES[number % len(LINES)],
            marker=MARKERS[number % len(MARKERS)],
            markersize=4,
        )
    axes.set(xlim=(0, 1), ylim=(0, 1))
    legend(figure)
    write_bytes(path, render(figure, path.suffix[1:].lower()))
