"""What the browser's detector costs: in Node.js, beside the same network natively, in turns.

    ultraface-deploy package artifacts/slim-320 --runtime web -o site
    python -m ultraface_deploy.benchmarks.web site artifacts/slim-320 --precision int8

A picture of the input's size is taken, so that the resize costs nothing: the whole detection in
WebAssembly with one thread and with two, against preprocessing, network and suppression by the C
file and by ONNX Runtime, which have one. Each is measured several times, in turns; the medians of
the medians are printed: of the time on the clock, which threads shorten and other programs
lengthen, and of processor time, of all threads together.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ultraface_deploy.agreement.precision import Precision, parse_precision
from ultraface_deploy.artifacts.folder import ArtifactFolder
from ultraface_deploy.benchmarks.command import command, existing
from ultraface_deploy.detect.detector import Detector
from ultraface_deploy.safe.child import run_program
from ultraface_deploy.safe.images import DEMO_PHOTO, Image, read_image
from ultraface_deploy.safe.opencv import cv2

_WARM_UP = 20
_SCRIPT = """
import {{ Detector }} from {module};
import {{ readFileSync }} from "node:fs";
const picture = {{ data: readFileSync("picture"), width: {width}, height: {height} }};
const detector = await Detector.load({{ worker: false, threads: {threads} }});
if (detector.threads !== {threads}) throw new Error("it has " + detector.threads + " threads");
const times = {{ clock: [], processor: [] }};
for (let i = 0; i < {warm} + {count}; i++) {{
  const [start, began] = [process.cpuUsage(), performance.now()];
  await detector.detect(picture);
  const [used, ended] = [process.cpuUsage(start), performance.now()];
  if (i < {warm}) continue;
  times.clock.push(ended - began);
  times.processor.push((used.user + used.system) / 1000);
}}
const median = (list) => list.sort((a, b) => a - b)[list.length >> 1];
console.log(median(times.clock), median(times.processor));
"""


class Times(NamedTuple):
    """Milliseconds of a detection."""

    clock: float
    processor: float


def in_node(site: Path, image: Image, count: int, threads: int = 1) -> Times:
    """Return the median milliseconds of detections in a Node.js of their own.

    Raises:
        ToolFailed: Node.js failed, or is not installed.
    """
    height, width = image.shape[:2]
    module = json.dumps((site / "detector.js").resolve().as_uri())
    text = _SCRIPT.format(
        **{"module": module, "width": width, "height": height, "threads": threads},
        **{"warm": _WARM_UP, "count": count},
    )
    with tempfile.TemporaryDirectory(prefix="ultraface-node-") as name:
        scratch = Path(name)
        (scratch / "run.mjs").write_text(text, encoding="utf-8")
        (scratch / "picture").write_bytes(image[:, :, [2, 1, 0, 0]].tobytes())
        printed = run_program(["node", "run.mjs"], what="Node.js", cwd=scratch)
    clock, processor = map(float, printed.strip().splitlines()[-1].split())
    return Times(clock, processor)


def here(detector: Detector, image: Image, count: int) -> Times:
    """Return the median milliseconds of `count` detections in this process."""
    times = []
    for turn in range(_WARM_UP + count):
        began, started = time.perf_counter(), time.process_time()
        detector.detect(image)
        used, ended = time.process_time() - started, time.perf_counter()
        if turn >= _WARM_UP:
            times.append((1000 * (ended - began), 1000 * used))
    return Times(*map(statistics.median, zip(*times, strict=True)))


def compare(
    site: Path, folder: ArtifactFolder, precision: Precision, count: int = 100, launches: int = 5
) -> dict[str, Times]:
    """Return the milliseconds of each, measured in turns.

    Args:
        site: what `package --runtime web` wrote.
        folder: the artifacts it was made from.
        precision: of the C file; ONNX Runtime runs FP32.
        count: detections a launch.
        launches: of Node.js.
    """
    spec = folder.spec
    image = cv2.resize(read_image(DEMO_PHOTO), (spec.width, spec.height)).astype("uint8")
    native = Detector.open(folder.path, backend="native", precision=precision)
    runtime = Detector.open(folder.path, backend="onnxruntime")
    measures: dict[str, Callable[[], Times]] = {
        "WebAssembly, one thread": lambda: in_node(site, image, count),
        "WebAssembly, two threads": lambda: in_node(site, image, count, 2),
        "C file": lambda: here(native, image, count),
        "ONNX Runtime, FP32": lambda: here(runtime, image, count),
    }
    found: dict[str, list[Times]] = {name: [] for name in measures}
    for _ in range(launches):
        for name, measure in measures.items():
            found[name].append(measure())
    return {
        name: Times(*map(statistics.median, zip(*times, strict=True)))
        for name, times in found.items()
    }


def main() -> None:
    """Print a table."""
    form = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("site", type=existing)
    parser.add_argument("folder", type=existing)
    parser.add_argument("--precision", default="int8")
    parser.add_argument("--launches", type=int, default=5)
    given = parser.parse_args()
    folder = ArtifactFolder.open(given.folder)
    precision = parse_precision(given.precision)
    found = compare(given.site, folder, precision, launches=given.launches)
    (first, *_) = found.values()
    print("| | ms | of one thread | ms of processor | of one thread |\n|---|---:|---:|---:|---:|")
    for name, times in found.items():
        pairs = zip(times, first, strict=True)
        print(f"| {name} | " + " | ".join(f"{ms:.2f} | {ms / one:.2f}" for ms, one in pairs) + " |")


if __name__ == "__main__":
    command(main)
