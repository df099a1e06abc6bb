"""The child process that runs one configuration: load, prove, then time rounds on command.

It reads one JSON object a line from standard input (the job first) and answers each with one on
standard output. What runtimes print goes to standard error.
"""

# Tested by tests/bench/test_run.py.

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ultraface_deploy.pipeline import Faces

# After a pause the first inferences find cold caches and sleeping threads.
_SETTLING = 3
_MIN_ITERATIONS = 5
_WARM_RUNS = 3
_WARM_SECONDS = 0.03
_STEADY = 0.02
_PR_SET_PDEATHSIG = 1
_HIGHEST_PRIORITY = -20


def main() -> None:
    """Serve one configuration until standard input ends or `finish` is asked for."""
    # A paused child cannot notice that its parent is gone.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    try:
        for answer in _serve():
            answers.write(json.dumps(answer) + "\n")
    except Exception as error:  # whatever a runtime raises is one line in the report
        lines = str(error).strip().splitlines() or [type(error).__name__]
        answers.write(json.dumps({"error": lines[0][:300]}) + "\n")
        sys.exit(1)


def _serve() -> Iterator[dict[str, Any]]:
    job = json.loads(sys.stdin.readline())
    # Before anything starts a thread: threads inherit the cores they may run on.
    if job["cores"]:
        os.sched_setaffinity(0, job["cores"])
    raise_priority()
    runner = Runner(job)
    yield {"first_result_ns": time.monotonic_ns(), **runner.first_result}
    for line in sys.stdin:
        question = json.loads(line)
        match question["do"]:
            case "verify":
                yield runner.verify(Path(question["reference"]))
            case "warm_up":
                yield {"stable": runner.warm_up(question["seconds"])}
            case "round":
                yield runner.time_round(question["seconds"])
            case "finish":
                yield {"peak_rss_mb": max(runner.peak_rss_mb, peak_rss_mb())}
                return


class Runner:
    """One loaded configuration and the image it is timed on."""

    def __init__(self, job: dict[str, Any]) -> None:
        from ultraface_deploy.backends import get_backend
        from ultraface_deploy.family.spec import ModelSpec
        from ultraface_deploy.pipeline import PostprocessOptions
        from ultraface_deploy.safe.images import read_image
        from ultraface_deploy.safe.opencv import cv2

        cv2.setNumThreads(job["threads"])
        self._job = job
        self._spec = ModelSpec.from_dict(job["spec"])
        self._options = PostprocessOptions()
        self._image = read_image(Path(job["image"]))
        self.session = get_backend(job["backend"]).load(
            [Path(name) for name in job["files"]],
            self._spec,
            job["threads"],
            job["precision"],
            job.get("halves", False),
        )
        self.expected = len(self._detect())
        height, width = self._image.shape[:2]
        self.first_result = {
            "image": [width, height],
            "faces": self.expected,
            "nice": os.getpriority(os.PRIO_PROCESS, 0),
        }
        self.peak_rss_mb = peak_rss_mb()

    def _detect(self) -> Faces:
        from ultraface_deploy.pipeline import postprocess, preprocess

        outputs = self.session.run(preprocess(self._image, self._spec))
        height, width = self._image.shape[:2]
        return postprocess(
            outputs["scores"],
            outputs["boxes"],
            self._spec,
            (width, height),
            self._options,
            outputs.get("landmarks"),
        )

    def verify(self, reference: Path) -> dict[str, Any]:
        """Compare with the recorded outputs of the original network, on the timed image too."""
        from ultraface_deploy.bench.reference import compare_with_recorded

        comparison = compare_with_recorded(
            reference,
            self.session,
            self._job["backend"],
            self._job["precision"],
        )
        _forget_peak_rss()
        return comparison.to_dict()

    def warm_up(self, seconds: float) -> bool:
        """Run until the median of a window is within 2 % of the one before, or time is up.

        Two windows are run in any case, however slow the board.

        Returns:
            Whether the times had stopped changing.
        """
        started = time.perf_counter()
        before = self._window_median()
        while True:
            median = self._window_median()
            if abs(median / before - 1) < _STEADY:
                return True
            if time.perf_counter() - started > seconds:
                return False
            before = median

    def _window_median(self) -> float:
        """Run for a while and return the median seconds of a run."""
        times: list[float] = []
        while len(times) < _WARM_RUNS or sum(times) < _WARM_SECONDS:
            start = time.perf_counter()
            self._detect()
            times.append(time.perf_counter() - start)
        return sorted(times)[len(times) // 2]

    def time_round(self, seconds: float) -> dict[str, Any]:
        """Time single inferences for that long and return the stages of each in microseconds.

        `preempted` lists the samples during which the kernel took a core away from this process;
        `cpu_seconds` is all that it used, the `settling` inferences before the samples included.
        """
        cpu = time.process_time()
        for _ in range(_SETTLING):
            self._detect()
        gc.collect()
        gc.disable()
        try:
            samples = self._time_samples(seconds)
        finally:
            gc.enable()
        return samples | {"settling": _SETTLING, "cpu_seconds": time.process_time() - cpu}

    def _time_samples(self, seconds: float) -> dict[str, Any]:
        from ultraface_deploy.pipeline import postprocess, preprocess

        clock, usage, me = time.perf_counter_ns, resource.getrusage, resource.RUSAGE_SELF
        image, spec, options, run = self._image, self._spec, self._options, self.session.run
        size = (image.shape[1], image.shape[0])
        stamps: list[tuple[int, int, int, int]] = []
        preempted: list[int] = []
        deadline = clock() + int(seconds * 1e9)
        switches = usage(me).ru_nivcsw
        while len(stamps) < _MIN_ITERATIONS or clock() < deadline:
            start = clock()
            tensor = preprocess(image, spec)
            prepared = clock()
            outputs = run(tensor)
            inferred = clock()
            scores, boxes, points = outputs["scores"], outputs["boxes"], outputs.get("landmarks")
            faces = postprocess(scores, boxes, spec, size, options, points)
            end = clock()
            before, switches = switches, usage(me).ru_nivcsw
            if switches != before:
                preempted.append(len(stamps))
            stamps.append((start, prepared, inferred, end))
            if len(faces) != self.expected:
                raise RuntimeError(
                    f"faces while timed: {len(faces)}, when verified: {self.expected}"
                )
        return {
            "preprocess": [_microseconds(s[1] - s[0]) for s in stamps],
            "inference": [_microseconds(s[2] - s[1]) for s in stamps],
            "postprocess": [_microseconds(s[3] - s[2]) for s in stamps],
            "preempted": preempted,
        }


def _microseconds(nanoseconds: int) -> float:
    return round(nanoseconds / 1000, 1)


def peak_rss_mb() -> float:
    """Return the most memory this process has held, in MiB.

    Not `ru_maxrss`: that starts at the size of the parent which forked this process.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return round(int(line.split()[1]) / 1024, 1)
    raise RuntimeError("/proc/self/status has no VmHWM")


def raise_priority() -> None:
    """Where allowed (as root), keep other processes from taking a core away in mid-sample."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, _HIGHEST_PRIORITY)
        # With autogroups the niceness of a process counts only within its session; man 7 sched.
        Path("/proc/self/autogroup").write_text(str(_HIGHEST_PRIORITY))


def _forget_peak_rss() -> None:
    """Take the verification's own memory out of the peak, where the kernel allows it."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


if __name__ == "__main__":
    main()
