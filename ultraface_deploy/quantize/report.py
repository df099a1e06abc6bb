"""The sensitivity report: what each layer costs in accuracy, bytes and multiplications."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ultraface_deploy.errors import InputError, MissingDependency
from ultraface_deploy.quantize.network import Network
from ultraface_deploy.quantize.sensitivity import extra_bytes
from ultraface_deploy.quantize.table import CalibrationTable
from ultraface_deploy.safe.files import replacing

PICTURES = (".png", ".svg", ".pdf")


@dataclass(frozen=True)
class LayerReport:
    """One layer: what INT8 costs there, and what keeping it FP32 would cost instead.

    `score_error` and `box_error` are RMS errors of the network's outputs at undecided anchors
    when this layer alone is INT8; `extra_bytes` what its weights take more in FP32;
    `multiplications` its share of the network's.
    """

    layer: str
    depthwise: bool
    score_error: float
    box_error: float
    extra_bytes: int
    multiplications: float


def sensitivity_report(network: Network, table: CalibrationTable) -> list[LayerReport]:
    """Return the layers, most sensitive first.

    Raises:
        InputError: the table was made from another network.
    """
    table.require_network(network)
    total = sum(layer.multiplications for layer in network.layers)
    rows = [
        LayerReport(
            layer=layer.name,
            depthwise=layer.depthwise,
            score_error=table.costs[layer.name].scores,
            box_error=table.costs[layer.name].boxes,
            extra_bytes=extra_bytes(layer),
            multiplications=layer.multiplications / total,
        )
        for layer in network.layers
    ]
    return sorted(rows, key=lambda row: row.score_error, reverse=True)


def report_to_dict(rows: Sequence[LayerReport], table: CalibrationTable) -> dict[str, Any]:
    """Return the JSON form."""
    return {
        "schema": 1,
        "model": table.model["name"],
        "images": table.images["count"],
        "layers": [asdict(row) for row in rows],
    }


def require_picture(path: Path) -> None:
    """Refuse a picture that cannot be drawn, before the work rather than after it.

    Raises:
        InputError: the suffix does not name a picture format.
        MissingDependency: matplotlib is not installed.
    """
    if path.suffix not in PICTURES:
        raise InputError(f"{path}: the name of a picture must end in {', '.join(PICTURES)}")
    if find_spec("matplotlib") is None:
        raise MissingDependency.package("matplotlib", "eval", "drawing the report")


def draw_report(rows: Sequence[LayerReport], title: str, path: Path) -> None:
    """Draw the report as bars: score error beside extra bytes, layer by layer.

    Raises:
        InputError, MissingDependency: see `require_picture`.
    """
    require_picture(path)
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 1 + 0.2 * len(rows)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    names = [row.layer for row in rows]
    colors = ["tab:orange" if row.depthwise else "tab:blue" for row in rows]
    left.barh(names, [row.score_error for row in rows], color=colors)
    left.set_xlabel("RMS score error with this layer alone in INT8")
    left.invert_yaxis()
    right.barh(names, [row.extra_bytes / 1000 for row in rows], color=colors)
    right.set_xlabel("kB more where it stays FP32")
    figure.suptitle(f"{title}: orange is depthwise")
    with replacing(path) as temporary:
        figure.savefig(temporary)
