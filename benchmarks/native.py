"""The detector in C beside ONNX Runtime, on this processor.

    python -m ultraface_deploy.benchmarks.native time DIR       # CPU time of the networks
    python -m ultraface_deploy.benchmarks.native stages DIR     # resize, decoding, suppression
    python -m ultraface_deploy.benchmarks.native threads DIR    # two threads and one, by the clock
    python -m ultraface_deploy.benchmarks.native size DIR       # arena and program

DIR holds the artifacts `c` and `c-int8` of one model. Times are interleaved: each round runs
everything once. `size` needs zig (`python -m ziglang`, from the package ziglang) for a static
program with musl. `ultraface-deploy bench count CORE DIR --layers` counts instructions.
"""

from __future__ import annotations

import argparse
import ctypes
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from ultraface_deploy.agreement.precision import Precision
from ultraface_deploy.artifacts.folder import ArtifactFolder
from ultraface_deploy.backends.native import build_library
from ultraface_deploy.bench.count.layers import LARGE
from ultraface_deploy.benchmarks.command import command, existing
from ultraface_deploy.errors import MissingDependency
from ultraface_deploy.pipeline import preprocess
from ultraface_deploy.safe.images import DEMO_PHOTO, read_image

_ROUNDS = 30
_CALLS = 10
_FACE_BYTES = 24
Picture = npt.NDArray[np.uint8]


class Detector:
    """A C file, compiled as the native backend compiles it, from pixels to faces."""

    def __init__(self, folder: ArtifactFolder, precision: Precision, threads: int = 1) -> None:
        files = folder.files(folder.find("c", precision))
        self._library = ctypes.CDLL(str(build_library(files, threads)))
        self._library.native_open.restype = ctypes.c_void_p
        self._detector = ctypes.c_void_p(self._library.native_open(threads))
        self._faces = ctypes.create_string_buffer(200 * _FACE_BYTES)

    def __call__(self, bgr: Picture) -> int:
        """Return how many faces a picture has."""
        height, width = bgr.shape[:2]
        pixels = ctypes.c_void_p(bgr.ctypes.data)
        count: int = self._library.native_detect(
            self._detector, pixels, width, height, bgr.strides[0], self._faces, 200
        )
        return count


def interleaved(
    jobs: Mapping[str, Callable[[], object]], clock: Callable[[], float]
) -> dict[str, list[float]]:
    """Return milliseconds of one call of each job by round, after one round of warming up."""
    taken: dict[str, list[float]] = {name: [] for name in jobs}
    for round in range(_ROUNDS + 1):
        for name, job in jobs.items():
            began = clock()
            for _ in range(_CALLS):
                job()
            if round:
                taken[name].append((clock() - began) * 1000 / _CALLS)
    return taken


def time_networks(folder: ArtifactFolder) -> dict[str, tuple[float, float]]:
    """Return the median CPU milliseconds of each, and the median ratio to ONNX Runtime's FP32.

    The C detectors are given a picture of the network's size, so decoding and suppression are in
    their times and not in ONNX Runtime's.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    onnx_file = folder.files(folder.find("onnxsim"))[0]
    session = onnxruntime.InferenceSession(onnx_file, options)
    name, photo = session.get_inputs()[0].name, read_image(DEMO_PHOTO)
    tensor, small = preprocess(photo, folder.spec), resized(photo, folder)
    jobs: dict[str, Callable[[], object]] = {
        "ONNX Runtime FP32": lambda: session.run(None, {name: tensor})
    }
    for precision in ("fp32", "int8"):
        if folder.has("c", precision):
            detector = Detector(folder, precision)  # type: ignore[arg-type]
            jobs[f"C {precision.upper()}"] = lambda detector=detector: detector(small)  # type: ignore[misc]
    taken = interleaved(jobs, time.process_time)
    base = taken["ONNX Runtime FP32"]
    return {
        name: (
            statistics.median(times),
            statistics.median(own / other for own, other in zip(times, base, strict=True)),
        )
        for name, times in taken.items()
    }


def resized(photo: Picture, folder: ArtifactFolder) -> Picture:
    """A photograph at the network's size."""
    return np.asarray(cv2.resize(photo, (folder.spec.width, folder.spec.height)), np.uint8)


def share_of_stages(folder: ArtifactFolder, precision: Precision = "int8") -> float:
    """Return what a 1024x609 picture costs beside the network, as a share of the network."""
    photo = np.asarray(cv2.resize(read_image(DEMO_PHOTO), LARGE), np.uint8)
    # A black picture of the network's size has no face: neither resize nor suppression.
    blank = np.zeros((folder.spec.height, folder.spec.width, 3), np.uint8)
    blank[:] = 0  # in memory of its own: fresh zeros all read one page, which is always near
    detector = Detector(folder, precision)
    taken = interleaved(
        {"all": lambda: detector(photo), "network": lambda: detector(blank)}, time.process_time
    )
    pairs = zip(taken["all"], taken["network"], strict=True)
    return statistics.median(every / network for every, network in pairs) - 1


def speedup(folder: ArtifactFolder, precision: Precision = "int8") -> float:
    """Return how many times faster two threads are than one, by the clock, in the best rounds."""
    small = resized(read_image(DEMO_PHOTO), folder)
    one, two = (Detector(folder, precision, threads) for threads in (1, 2))
    taken = interleaved({"1": lambda: one(small), "2": lambda: two(small)}, time.perf_counter)
    return min(taken["1"]) / min(taken["2"])


def program_bytes(folder: ArtifactFolder) -> int:
    """Return the size of a stripped static program for aarch64 that reads a picture and detects."""
    files = [path.resolve() for path in folder.files(folder.find("c", "int8"))]
    with tempfile.TemporaryDirectory() as name:
        main, program = Path(name) / "main.c", Path(name) / "program"
        main.write_text(_PROGRAM.replace("HEADER", str(files[1])))
        command = [sys.executable, "-m", "ziglang", "cc", "-target", "aarch64-linux-musl", "-O2"]
        _run([*command, "-s", "-o", str(program), str(files[0]), str(main)])
        return program.stat().st_size


_PROGRAM = """
#include "HEADER"
#include <stdio.h>
static uint8_t pixels[3 * ULTRAFACE_WIDTH * ULTRAFACE_HEIGHT], arena[ULTRAFACE_ARENA_BYTES];
int main(void)
{
    ultraface_face faces[8];
    if (fread(pixels, 1, sizeof pixels, stdin) != sizeof pixels)
        return 255;
    return ultraface_detect(pixels, ULTRAFACE_WIDTH, ULTRAFACE_HEIGHT, 3 * ULTRAFACE_WIDTH, arena,
                            sizeof arena, faces, 8);
}
"""


def arena_bytes(folder: ArtifactFolder, precision: Precision = "int8") -> dict[int, int]:
    """Return the arena by the most threads that may share a picture."""
    text = folder.files(folder.find("c", precision))[1].read_text()
    formula = text.split("#define ULTRAFACE_ARENA_BYTES")[1].split("\n\n")[0]
    fixed, line, stream = (int(number) for number in re.findall(r"\d{3,}", formula))
    return {threads: fixed + threads * line + max(threads - 2, 0) * stream for threads in (1, 2, 4)}


def _run(command: Sequence[str], stdin: bytes = b"") -> str:
    try:
        answer = subprocess.run(command, input=stdin, capture_output=True, check=True)
    except FileNotFoundError as error:
        raise MissingDependency(
            f"needs {command[0]}, which is not installed; install it"
        ) from error
    return answer.stdout.decode()


def main() -> None:
    """Print what the first argument asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("time", "stages", "threads", "size"))
    parser.add_argument("folder", type=existing)
    arguments = parser.parse_args()
    folder = ArtifactFolder.open(arguments.folder)
    if arguments.what == "time":
        for name, (milliseconds, ratio) in time_networks(folder).items():
            print(f"{name:<18} {milliseconds:.3f} ms of CPU, {ratio:.3f} of ONNX Runtime FP32")
    elif arguments.what == "stages":
        for precision in ("fp32", "int8"):
            if folder.has("c", precision):
                share = share_of_stages(folder, precision)  # type: ignore[arg-type]
                print(
                    f"{precision}: resize, decoding and suppression are {share:.3f} of the network"
                )
    elif arguments.what == "threads":
        print(f"two threads are {speedup(folder):.2f} times as fast as one")
    else:
        for threads, size in arena_bytes(folder).items():
            print(f"arena for {threads} threads: {size} bytes")
        print(f"static program for aarch64: {program_bytes(folder)} bytes")


if __name__ == "__main__":
    command(main)
