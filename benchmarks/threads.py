"""Whether runtimes let other Python threads go on while they run, so that workers can be threads.

python -m ultraface_deploy.benchmarks.threads [FOLDER ...]

For each installed runtime the first artifact that one of the folders (see `convert --to all`) has
for it is run while another thread wakes up every tenth of a millisecond. Printed is the longest
time in which that thread could not go on, as a share of the run: near 1 where the runtime keeps
Python's global lock. It is the least of several runs, so that it does not matter how busy the
machine is.
"""

from __future__ import annotations

import argparse
import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ultraface_deploy.agreement.precision import PRECISIONS
from ultraface_deploy.backends import backend_names, get_backend
from ultraface_deploy.benchmarks.command import command, network
from ultraface_deploy.detect.detector import Detector
from ultraface_deploy.errors import UltraFaceError
from ultraface_deploy.models import DEFAULT_MODEL
from ultraface_deploy.pipeline import preprocess
from ultraface_deploy.safe.images import DEMO_PHOTO, read_image

_RUNS = 20
_BEAT_S = 1e-4
KEEPS = 0.5


def held(run: Callable[[], object]) -> float:
    """Return the longest share of a run in which no other thread could go on, 0..1."""
    beats: list[float] = []
    done = threading.Event()

    def beat() -> None:
        while not done.is_set():
            beats.append(time.perf_counter())
            time.sleep(_BEAT_S)

    other = threading.Thread(target=beat)
    other.start()
    try:
        return min(_longest_pause(run, beats) for _ in range(_RUNS))
    finally:
        done.set()
        other.join()


def _longest_pause(run: Callable[[], object], beats: list[float]) -> float:
    beats.clear()
    began = time.perf_counter()
    run()
    ended = time.perf_counter()
    moments = [began, *(moment for moment in beats if began < moment < ended), ended]
    pauses = (later - earlier for earlier, later in itertools.pairwise(moments))
    return max(pauses) / (ended - began)


def table(folders: Sequence[str]) -> Iterator[str]:
    """Yield a row in Markdown for each installed runtime."""
    yield "| runtime | precision | longest pause of another thread | |"
    yield "|---|---|---:|---|"
    image = read_image(DEMO_PHOTO)
    for backend in map(get_backend, backend_names()):
        if not backend.available():
            continue
        opened = next(_opened(backend.name, folders), None)
        if opened is None:
            yield f"| {backend.name} | | | no artifact for it in {', '.join(folders)} |"
            continue
        with opened as detector:
            tensor = preprocess(image, detector.spec)
            share = held(lambda: detector.session.run(tensor))  # noqa: B023 - run at once
        says = "keeps the lock" if share > KEEPS else "lets go"
        yield f"| {backend.name} | {opened.precision} | {share:.0%} of a run | {says} |"


def _opened(backend: str, folders: Sequence[str]) -> Iterator[Detector]:
    for folder in folders:
        for precision in PRECISIONS:
            try:
                yield Detector.open(Path(folder), backend, precision)
            except UltraFaceError:
                continue


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", type=network)
    for line in table(parser.parse_args().models or [DEFAULT_MODEL]):
        print(line, flush=True)


if __name__ == "__main__":
    command(main)
