"""Gives damaged files to whole commands, watched by strace: no socket, nothing changed elsewhere.

The campaign calls readers, thousands of files a minute; a command takes seconds for a file. So each
so-many-th file is also given to the command that a user would type for it.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.faults.watched import run_watched
from tests.fuzz.campaign import Tally, write_input
from tests.fuzz.targets import TARGETS, Files
from ultraface_deploy.safe.images import DEMO_PHOTO

Words = Callable[[Path, Path], list[object]]
"""The folder of an input and where to write -> the arguments of a command."""


def _model(name: str, *more: object) -> Words:
    return lambda folder, out: ["detect", DEMO_PHOTO, "--model", folder / name, "-o", out, *more]


def _source(name: str) -> Words:
    return lambda folder, out: ["convert", folder / name, "--to", "onnx", "-o", out]


_SIZE = ("--input-size", "128x96")
COMMANDS: Mapping[str, Words] = {
    "checkpoint": _source("net.pth"),
    "safetensors": _source("net.safetensors"),
    "safetensors-by-structure": _source("net.safetensors"),
    "onnx": _source("net.onnx"),
    "onnx-by-structure": _source("net.onnx"),
    "onnx-in-onnxruntime": _model("net.onnx", "--backend", "onnxruntime"),
    "onnxruntime-by-structure": lambda folder, out: ["verify", folder / "net.onnx"],
    "onnx-in-opencv": _model("net.onnx", "--backend", "opencv"),
    "opencv-by-structure": _model("net.onnx", "--backend", "opencv"),
    **dict.fromkeys(("mnn", "mnn-by-structure"), _model("net.mnn", *_SIZE)),
    **dict.fromkeys(("ncnn", "ncnn-by-structure"), _model("net.param", *_SIZE)),
    **dict.fromkeys(("tflite", "tflite-by-structure"), _model("net.tflite")),
    **dict.fromkeys(("openvino", "openvino-by-structure"), _model("net.xml")),
    **dict.fromkeys(("c", "c-by-structure"), _model("net.c")),
    **dict.fromkeys(("caffe", "caffe-by-structure"), _source("net.prototxt")),
    "caffe-in-opencv": _model("net.prototxt"),
    "caffe-in-opencv-by-structure": _model("net.prototxt"),
    "manifest": lambda folder, out: ["verify", folder],
    "manifest-by-structure": lambda folder, out: ["verify", folder],
    "calibration": lambda folder, out: [
        *("convert", "slim-320", "--to", "mnn", "--int8", *_SIZE),
        *("--calibration", folder / "a.json", "-o", out),
    ],
    "bench-result": lambda folder, out: ["bench", "compare", *[folder / "a.json"] * 2],
    "eval-result": lambda folder, out: ["eval", "compare", *[folder / "a.json"] * 2],
    "picture": lambda folder, out: ["detect", next(folder.iterdir()), "-o", out],
    "video": lambda folder, out: ["detect", next(folder.iterdir()), "--limit", "9", "-o", out],
    **dict.fromkeys(
        ("voc-list", "yolo", "yolo-by-structure"),
        lambda folder, out: ["data", "prepare", folder, "-o", out],
    ),
}


def watch(
    name: str, seeds: Sequence[Files], count: int, every: int, seed: int, strace: str, tally: Tally
) -> int:
    """Give each so-many-th of a target's files to its command; return how many that were."""
    words = COMMANDS.get(name)
    numbers = range(0, count, every) if words else ()
    for number in numbers:
        with tempfile.TemporaryDirectory(prefix="watched-") as scratch:
            folder, out = Path(scratch, "input"), Path(scratch, "out")
            folder.mkdir()
            out.mkdir()
            write_input(TARGETS[name], folder, seeds, seed, number)
            before = content_of(folder)
            assert words is not None
            ended = run_watched(
                words(folder, out), Path(scratch, "run"), strace, [out, folder / ".lock"]
            )
            problem = ended.problem()
            if problem is None and content_of(folder) != before:
                problem = "changed its input"
            if problem is not None:
                tally.find(f"watched: {problem[:200]}", number)
    return len(numbers)


def content_of(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder; the lock of an artifact folder is none of them."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def find_strace() -> str:
    """Return where strace is."""
    if (found := shutil.which("strace")) is None:
        raise SystemExit("--watch-every needs strace: apt-get install strace")
    return found
