"""Pictures a second of `detect`, against a plain loop: read all of it, detect, write, and so on.

python -m ultraface_deploy.benchmarks.throughput [--rounds 5] [--pictures 48] [--model slim-320]

Pictures of 12 megapixels and of 640x480 go to JSON, a video of 720 lines is marked. The roads are
taken in turn, each round in another order; the figures are medians of wall-clock time. The loop's
stages are timed by the thread's own CPU time.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2

from ultraface_deploy.benchmarks.command import command, network
from ultraface_deploy.detect.detector import Detector, open_detector
from ultraface_deploy.detect.opening import open_source
from ultraface_deploy.detect.run import Workers, run
from ultraface_deploy.detect.sinks import Wanted, open_sinks
from ultraface_deploy.safe.images import PHOTOS, read_image

STAGES = ("reading", "detecting", "writing")
_ENOUGH = 2


@dataclass(frozen=True)
class Load:
    """What is measured: a source, and what is made of it."""

    name: str
    source: Path
    wanted: Wanted


def make(folder: Path, pictures: int) -> Iterator[Load]:
    """Make the sources out of the photographs that ship, and yield what to do with each."""
    photos = [read_image(path) for path in sorted(PHOTOS.glob("*.jpg"))]
    for name, size, count in (
        ("12 megapixels", (4000, 3000), pictures),
        ("640x480", (640, 480), 8 * pictures),
    ):
        source = folder / name
        source.mkdir()
        for number in range(count):
            picture = cv2.resize(photos[number % len(photos)], size, interpolation=cv2.INTER_CUBIC)
            cv2.imwrite(str(source / f"{number:04}.jpg"), picture)
        yield Load(f"{name}, JPEG to JSON", source, Wanted(json=str(folder / "faces.json")))
    video = folder / "720p.mp4"
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter.fourcc(*"mp4v"), 25.0, (1280, 720))
    for number in range(4 * pictures):
        writer.write(cv2.resize(photos[number // 25 % len(photos)], (1280, 720)))
    writer.release()
    yield Load("video of 1280x720, marked", video, Wanted(folder / "marked.mp4"))


def go(
    load: Load, detector: Detector, another: Callable[[], Detector], workers: int
) -> tuple[float, float]:
    """Run `detect`, JPEGs decoded smaller where faces alone are wanted.

    Returns:
        Pictures a second, and how many cores were busy.
    """
    frames = open_source(str(load.source))
    began, used = time.perf_counter(), time.process_time()
    if not load.wanted.pixels:
        frames.enough(_ENOUGH * detector.spec.width, _ENOUGH * detector.spec.height)
    with open_sinks(frames, load.wanted) as sinks:
        done = sum(1 for _ in run(detector, frames, sinks, None, Workers(workers, another)))
    took = time.perf_counter() - began
    return done / took, (time.process_time() - used) / took


def plain(load: Load, detector: Detector, spent: dict[str, float]) -> float:
    """Return pictures a second of the loop; adds the CPU seconds of its stages to `spent`."""
    source, began, done = open_source(str(load.source)), time.perf_counter(), 0
    with open_sinks(source, load.wanted) as sinks:
        frames = iter(source)
        while True:
            times = [time.thread_time()]
            if (frame := next(frames, None)) is None:
                break
            times.append(time.thread_time())
            faces = detector.detect(frame.image)
            times.append(time.thread_time())
            for sink in sinks:
                sink.write(frame, sink.prepare(frame, faces))
            times.append(time.thread_time())
            for stage, before, after in zip(STAGES, times, times[1:], strict=False):
                spent[stage] += after - before
            done += 1
    return done / (time.perf_counter() - began)


def table(folder: Path, pictures: int, rounds: int, model: str) -> Iterator[str]:
    """Yield the lines of the result in Markdown."""
    cores = len(os.sched_getaffinity(0))
    head = f"| load | plain loop, a second | {' | '.join(STAGES)} | one worker "
    yield head + f"| {cores} workers | cores busy |"
    yield "|---|---:|" + "---:|" * (len(STAGES) + 3)
    another = partial(open_detector, model)
    with another() as detector:
        for load in make(folder, pictures):
            spent = dict.fromkeys(STAGES, 0.0)
            rates: dict[int, list[float]] = {0: [], 1: [], cores: []}
            busy: dict[int, list[float]] = {1: [], cores: []}
            for workers in _order(list(rates), rounds):
                if workers == 0:
                    rates[0].append(plain(load, detector, spent))
                    continue
                rate, used = go(load, detector, another, workers)
                rates[workers].append(rate)
                busy[workers].append(used)
            loop = statistics.median(rates[0])
            shares = " | ".join(f"{spent[stage] / sum(spent.values()):.0%}" for stage in STAGES)
            gains = [
                statistics.median(fast / slow for fast, slow in zip(fast, rates[0], strict=True))
                for fast in (rates[1], rates[cores])
            ]
            row = f"| {load.name} | {loop:.1f} | {shares} | {gains[0]:.2f}x | {gains[1]:.2f}x "
            yield row + f"| {statistics.median(busy[cores]):.2f} |"


def _order(roads: list[int], rounds: int) -> Iterator[int]:
    """Yield the roads round by round, each time another first: what one leaves slows the next."""
    for number in range(rounds):
        first = number % len(roads)
        yield from roads[first:] + roads[:first]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pictures", type=int, default=48, help="of 12 megapixels")
    parser.add_argument("--model", type=network, default="slim-320")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for line in table(Path(folder), asked.pictures, asked.rounds, asked.model):
            print(line, flush=True)


if __name__ == "__main__":
    command(main)
