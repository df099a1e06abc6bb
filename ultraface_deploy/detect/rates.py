"""At how many pictures a second a marked video is written, which has one rate from end to end."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt

from ultraface_deploy.detect.sources import FASTEST, FrameSource
from ultraface_deploy.detect.whole import packet_times

_Times = npt.NDArray[np.float64]

# Of what says nothing, or nothing that can be.
_USUAL = 25.0
_SLOWEST_LIVE = 1.0
_COMMON = (5.0, 10.0, 24.0, 25.0, 30.0, 50.0, 60.0, 120.0, FASTEST)
# Seconds that a picture may be shown too early or too late.
_FAR = 0.1
# Repeats cost time: a stated rate is not taken at any price.
_MOST_REPEATS = 4.0
# Pictures that are looked at: minutes of a video, whatever its length.
_ENOUGH = 20_000
# By so many places a picture is stored too early or too late at the most, as H.264 allows.
_OUT_OF_ORDER = 16
# So long a picture may be shown. What seems longer is a clock that was set anew, which broadcasts
# carry; MP4 and Matroska state when each picture is shown, and a lecture shows few.
_STILL, _LONG_STILL = 60.0, 3600.0


@dataclass(frozen=True)
class Pace:
    """How a marked video keeps the times of its source.

    `fps`: its rate. `longest`: for so many seconds it shows a picture at the most. `live`: whether
    pictures come when they come; then some are left out where they are too many for the rate.
    """

    fps: float
    longest: float = _STILL
    live: bool = False


def pace_of(source: FrameSource) -> Pace:
    """Return how the marked video of a source is written."""
    sure = _states_times(source)
    rate = _rate_of(source, sure)
    # MPEG-4 takes 16 bits of a unit of time: no three decimals of 65.537.
    rate = rate if rate < 65 else round(rate, 2 if rate < 655 else None)
    return Pace(rate, _LONG_STILL if sure else _STILL, source.live)


def _states_times(source: FrameSource) -> bool:
    if source.kind != "video":
        return source.kind == "animation"
    with source.paths[0].open("rb") as file:
        head = file.read(8)
    return head[4:] == b"ftyp" or head.startswith(b"\x1aE\xdf\xa3")


def _rate_of(source: FrameSource, sure: bool) -> float:
    stated = source.fps
    if source.live:
        return stated if _SLOWEST_LIVE <= stated <= FASTEST else _USUAL
    if source.kind == "video":
        times = list(islice(packet_times(source.paths[0]), _ENOUGH))
        return steady_rate(np.asarray(times, np.float64), stated, sure)
    return stated if 0 < stated <= FASTEST else _USUAL


def steady_rate(times: _Times, stated: float, sure: bool = False) -> float:
    """Return a rate at which every picture can be shown nearly when it is due.

    What a container states may be the mean of a slow part and a fast one, in which the pictures of
    the fast one come late; or the unit of its clock, a thousand a second in what browsers record.

    Args:
        times: seconds (N,) at which the pictures are shown, in the order in which they are stored.
        stated: what the container says, 0 where it says nothing.
        sure: whether the times are stated one by one, and not read off a clock that may be set.
    """
    stated = stated if stated > 0 else 0.0
    if len(times) < 2 or not times.any() or not (sure or _is_steady(times)):
        return stated if 0 < stated <= FASTEST else _USUAL
    shown = np.sort(times)
    mean = (len(shown) - 1) / (shown[-1] - shown[0])
    if 0 < stated <= _MOST_REPEATS * mean and _farthest(shown, stated) <= _FAR:
        return stated
    others = sorted(rate for rate in (*_COMMON, mean) if mean <= rate <= FASTEST)
    fits = (rate for rate in others if _farthest(shown, rate) <= _FAR)
    return float(next(fits, others[-1] if others else stated or mean))


def _is_steady(times: _Times) -> bool:
    """Whether the clock was never set anew, back or forth."""
    order = np.argsort(times, kind="stable")
    moved = np.abs(order - np.arange(len(times))).max()
    return bool(moved <= _OUT_OF_ORDER and np.diff(times[order]).max() <= _STILL)


def _farthest(times: _Times, rate: float) -> float:
    """Return by how many seconds a picture is shown too early or too late at the most.

    None is left out: where they come too fast, each is shown after the one before.
    """
    number = np.arange(len(times))
    due = np.round((times - times[0]) * rate)
    place = number + np.maximum.accumulate(due - number)
    return float(np.abs(place / rate - (times - times[0])).max())
