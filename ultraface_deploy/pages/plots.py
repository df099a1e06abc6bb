"""What all plots have in common: their size, frame, colours, and how they become files."""

# Tested by tests/bench/test_html.py.

from __future__ import annotations

import io
from importlib.util import find_spec
from typing import TYPE_CHECKING

from ultraface_deploy.errors import MissingDependency

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Narrow, so that the labels can still be read when a phone scales the picture down.
_WIDTH_IN = 5.0

# Okabe and Ito's colours, which people who confuse red and green tell apart; in gray the markers,
# the lines and the hatching do.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#666666")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
LINES = ("-", "--", ":", "-.")
HATCHES = ("", "//", "xx", "..")


def require_matplotlib(extra: str = "report", wanted: str = "a report with plots") -> None:
    """Refuse to go on without matplotlib.

    Args:
        extra: of this package, which would install it.
        wanted: what it is needed for.

    Raises:
        MissingDependency: it is not installed.
    """
    if find_spec("matplotlib") is None:
        raise MissingDependency.package("matplotlib", extra, wanted)


def new_figure(height: float, x: str, y: str) -> tuple[Figure, Axes]:
    """Return a figure with one pair of axes, `height` times as high as wide.

    Raises:
        MissingDependency: matplotlib is not installed.
    """
    require_matplotlib()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH_IN, _WIDTH_IN * height), layout="constrained")
    axes = figure.subplots()
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def legend(figure: Figure) -> None:
    """Name the lines below the axes, where that covers none however many there are."""
    figure.legend(loc="outside lower left", ncols=2, fontsize="small", frameon=False)


def render(figure: Figure, format: str) -> bytes:
    """Return a figure as the bytes of an `svg` or `png` file; the same figure, the same bytes."""
    import matplotlib

    buffer = io.BytesIO()
    metadata = {"Date": None} if format == "svg" else {}
    with matplotlib.rc_context({"svg.hashsalt": "ultraface-deploy", "svg.fonttype": "path"}):
        figure.savefig(buffer, format=format, dpi=160, metadata=metadata)
    return buffer.getvalue()
