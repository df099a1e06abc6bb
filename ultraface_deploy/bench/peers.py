"""One protocol for all detectors: AP in two geometries, and what a picture costs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from ultraface_deploy.accuracy.peers import NamedPeer, Peer
from ultraface_deploy.bench.cost import cost_of_onnx
from ultraface_deploy.errors import CheckFailed
from ultraface_deploy.pipeline.preprocess import Image
from ultraface_deploy.safe.images import read_image
from ultraface_deploy.safe.opencv import cv2
from ultraface_deploy.safe.records import Amount, Natural, Version, read
from ultraface_deploy.safe.text import counted
from ultraface_deploy.wider import SETS, Detections, TruthImage, score

GEOMETRIES = ("stretched", "kept")
# Enough for a median that two runs agree on within a few percent, on pictures that differ.
_PICTURES = 8
# By the input's size: name, megabytes, geometry, AP. From the README of
# Linzaer/Ultra-Light-Fast-Generic-Face-Detector-1MB.
_QUOTED = {
    "320x240": (
        ("libfacedetection v1", 2.58, "stretched", (0.65, 0.5, 0.233)),
        ("libfacedetection v2", 3.34, "stretched", (0.714, 0.585, 0.306)),
        ("RetinaFace-mobilenet-0.25", 1.68, "kept", (0.745, 0.553, 0.232)),
    ),
    "640x480": (
        ("libfacedetection v1", 2.58, "stretched", (0.741, 0.683, 0.421)),
        ("libfacedetection v2", 3.34, "stretched", (0.773, 0.718, 0.485)),
        ("RetinaFace-mobilenet-0.25", 1.68, "kept", (0.879, 0.807, 0.481)),
    ),
}
_FOOTNOTE = (
    "\\* quoted, not measured here: figures that the authors of UltraFace published, on all 3226 "
    "validation images.\n"
)


@dataclass(frozen=True)
class PeerAccuracy:
    """AP of one detector, easy to hard, of pictures stretched to the input and with kept aspect."""

    name: str
    runtime: str
    images: Natural
    stretched: tuple[Amount, Amount, Amount]
    kept: tuple[Amount, Amount, Amount]


@dataclass(frozen=True)
class PeerCost:
    """What a picture costs one detector, from pixels of the input's size to faces.

    `cpu_ms` is the median processor time; `relative` the median of its ratio to the first
    detector's in the same round; `macs` and `bytes` are None where the file does not tell.
    """

    name: str
    runtime: str
    cpu_ms: Amount
    relative: Amount
    macs: Natural | None
    bytes: Natural | None


@dataclass(frozen=True)
class PeerReport:
    """What `eval peers --json` or `bench peers --json` writes; the other's list is empty."""

    schema: Version
    input: str
    threads: Natural
    accuracy: tuple[PeerAccuracy, ...] = ()
    cost: tuple[PeerCost, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return asdict(self)


def kept_size(bgr: Image, longest: int) -> tuple[int, int]:
    """Return (width, height) of an image whose longest side becomes `longest`."""
    height, width = bgr.shape[:2]
    ratio = longest / max(height, width)
    return max(1, round(width * ratio)), max(1, round(height * ratio))


def measure_accuracy(
    peers: Sequence[NamedPeer],
    images: Mapping[str, Path],
    truth: Sequence[TruthImage],
    size: tuple[int, int],
    on_image: Callable[[], None] = lambda: None,
) -> tuple[PeerAccuracy, ...]:
    """Run every detector over the images in both geometries, and score it.

    Args:
        peers: what to run.
        images: paths by the names of the ground truth.
        truth: of these images.
        size: (width, height) of the stretched input; with kept aspect, the longer of the two is
            the longest side.
        on_image: called after each image.

    Raises:
        InputError: an image cannot be read.
    """
    found: dict[tuple[str, str], dict[str, Detections]] = {
        (each.name, geometry): {} for each in peers for geometry in GEOMETRIES
    }
    for name, path in images.items():
        bgr = read_image(path)
        sizes = dict(zip(GEOMETRIES, (size, kept_size(bgr, max(size))), strict=True))
        for each in peers:
            for geometry, view in sizes.items():
                faces = each.peer.detect(bgr, *view)
                found[each.name, geometry][name] = (faces.boxes, faces.scores)
        on_image()
    usable = [image for image in truth if image.name in images]

    def reached(each: NamedPeer, geometry: str) -> tuple[float, float, float]:
        curves = score(found[each.name, geometry], usable)
        easy, medium, hard = (curves[part].ap for part in SETS)
        return easy, medium, hard

    return tuple(
        PeerAccuracy(
            each.name,
            each.peer.runtime,
            len(usable),
            reached(each, "stretched"),
            reached(each, "kept"),
        )
        for each in peers
    )


def measure_cost(
    peers: Sequence[NamedPeer],
    pictures: Iterable[Path],
    size: tuple[int, int],
    rounds: int,
) -> tuple[PeerCost, ...]:
    """Time every detector in turns on pictures of exactly the input's size.

    Processor time of all threads, so that other load on the machine counts little; each detector
    once in every round, so that a slow spell hits all.

    Raises:
        CheckFailed: a detector finds no face in any picture: what it costs would mean nothing.
    """
    first = list(pictures)[:_PICTURES]
    views: list[Image] = [np.asarray(cv2.resize(read_image(p), size), np.uint8) for p in first]
    for each in peers:
        # The first inferences also warm up.
        found = sum(len(each.peer.detect(view, *size)) for view in views)
        if found == 0:
            raise CheckFailed(
                f"{each.name}: finds nothing in {counted(len(views), 'picture')}; not timed"
            )
    taken = np.empty((rounds, len(peers)))
    for number in range(rounds):
        view = views[number % len(views)]
        for column, each in enumerate(peers):
            before = time.process_time_ns()
            each.peer.detect(view, *size)
            taken[number, column] = (time.process_time_ns() - before) / 1e6
    ratios = taken / taken[:, :1]
    return tuple(
        PeerCost(
            each.name,
            each.peer.runtime,
            float(median(taken[:, column])),
            float(median(ratios[:, column])),
            macs_of(each.peer, size),
            None if each.peer.file is None else each.peer.file.stat().st_size,
        )
        for column, each in enumerate(peers)
    )


def macs_of(peer: Peer, size: tuple[int, int]) -> int | None:
    """Return the multiply-adds for an input of that size, padded as the peer does; or None.

    None where its file is not an ONNX file, whose graph can be counted.
    """
    if peer.file is None or peer.file.suffix != ".onnx":
        return None
    width, height = (-(-side // peer.grid) * peer.grid for side in size)
    return cost_of_onnx(peer.file, (width, height)).macs


def read_report(path: Path) -> PeerReport:
    """Read what `eval peers` or `bench peers` wrote.

    Raises:
        InputError: there is no such file, or it is none of these.
    """
    return read(path, PeerReport, "result of eval peers or bench peers", "run it again")


def peer_table(accuracy: PeerReport | None, cost: PeerReport | None) -> str:
    """Return a Markdown table of both, a row for each detector, then figures of others, quoted."""
    aps = {each.name: each for each in accuracy.accuracy} if accuracy else {}
    costs = {each.name: each for each in cost.cost} if cost else {}
    rows = []
    for name in dict.fromkeys([*aps, *costs]):
        ap, price = aps.get(name), costs.get(name)
        rows.append(
            [
                name,
                _three(ap.stretched) if ap else "-",
                _three(ap.kept) if ap else "-",
                f"{price.relative:.2f}" if price else "-",
                f"{price.macs / 1e6:.1f} M" if price and price.macs else "-",
                f"{price.bytes / 1e3:.0f} kB" if price and price.bytes else "-",
            ]
        )
    measured = accuracy or cost
    quoted = [_quoted(*each) for each in _QUOTED.get(measured.input, ())] if measured else []
    first = f"CPU time, {cost.cost[0].name} = 1" if cost and cost.cost else "CPU time"
    head = ["detector", "stretched", "kept aspect", first, "MACs", "file"]
    lines = [head, ["---", "---", "---", "---:", "---:", "---:"], *rows, *quoted]
    table = "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
    return f"{table}\n{_FOOTNOTE}" if quoted else table


def _quoted(
    name: str, megabytes: float, geometry: str, aps: tuple[float, float, float]
) -> list[str]:
    shown = [_three(aps) if geometry == each else "-" for each in GEOMETRIES]
    return [f"{name} *", *shown, "-", "-", f"{megabytes * 1e3:.0f} kB"]


def _three(aps: tuple[float, float, float]) -> str:
    return " / ".join(f"{ap:.3f}" for ap in aps)
