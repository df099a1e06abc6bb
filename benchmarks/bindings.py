"""What a language costs beside C: milliseconds of a frame, and bytes of a minimal program.

    ultraface-deploy package DIR --runtime c --binding csharp --binding java -o sdk
    python -m ultraface_deploy.benchmarks.bindings time sdk
    python -m ultraface_deploy.benchmarks.bindings compare LIBRARY DIR PHOTOS

`time` needs the tests of the bindings to have run once, for they build the programs; it counts the
processor's time of a program over many detections of one picture less that over few, a round of
each language after the other. `compare` finds the faces of every picture of a folder through the
Python binding and through the pipeline.
"""

# Tested by tests/sdk/test_bindings.py.

from __future__ import annotations

import argparse
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ultraface_deploy import Detector
from ultraface_deploy.agreement.precision import parse_precision
from ultraface_deploy.benchmarks.command import command, existing
from ultraface_deploy.errors import CheckFailed, InputError
from ultraface_deploy.safe.images import list_images, read_image
from ultraface_deploy.safe.records import read
from ultraface_deploy.sdk.conformance import (
    BOX_TOLERANCE_PX,
    FRAMES_CASE,
    SCORE_TOLERANCE,
    Conformance,
)
from ultraface_deploy.sdk.languages import bindings
from ultraface_deploy.sdk.library import LibraryDetector

_SOURCE = Path(__file__).with_name("bindings.c")
_FEW, _MANY = 50, 550


def programs(project: Path) -> dict[str, list[str]]:
    """Return the commands that detect a picture as often as their last word, C's first.

    Raises:
        InputError: the project has no library built, or no conformance set.
    """
    found = {"c": [str(_c_program(project)), *_picture(project)]}
    for name in bindings():
        script = project / "bindings" / name / "frames.sh"
        if script.is_file():
            found[name] = ["sh", str(script)]
    return found


def frame_ms(command: Sequence[str]) -> float:
    """Return the processor's milliseconds of one detection, without what starting costs.

    Raises:
        InputError: the program failed; its binding's test was not run, or its compiler is missing.
    """
    few, many = (_cpu_seconds([*command, str(count)]) for count in (_FEW, _MANY))
    return (many - few) / (_MANY - _FEW) * 1000


def app_bytes(project: Path, name: str) -> int:
    """Return the size of what a minimal program needs beside `libultraface.so`."""
    folder = project / "bindings" / name
    return sum((folder / file).stat().st_size for file in bindings()[name].app)


def report_times(asked: argparse.Namespace) -> None:
    """Print a row for each language: median milliseconds, ratio to C, bytes."""
    commands = programs(asked.project)
    rounds = [
        {name: frame_ms(command) for name, command in commands.items()} for _ in range(asked.rounds)
    ]
    library = asked.project / "build" / "shared" / "libultraface.so"
    print(f"libultraface.so: {_stripped(library)} bytes, stripped")
    for name in commands:
        ratio = np.median([times[name] / times["c"] for times in rounds])
        median = np.median([times[name] for times in rounds])
        size = (
            _stripped(_c_program(asked.project)) if name == "c" else app_bytes(asked.project, name)
        )
        print(f"| {name} | {size} | {median:.3f} | {ratio:.2f} |")


def compare(library: Path, detector: Detector, pictures: Sequence[Path]) -> Mapping[str, float]:
    """Compare a library with the pipeline on pictures.

    Returns:
        How many pictures and faces, and the largest differences of boxes in pixels and of scores.

    Raises:
        CheckFailed: a picture has other faces; names it.
    """
    result = {"pictures": 0.0, "faces": 0.0, "box_px": 0.0, "score": 0.0}
    with LibraryDetector(library, options=detector.options) as other:
        for path in pictures:
            image = read_image(path)
            expected, actual = detector.detect(image), other.detect(image)
            if len(expected) != len(actual):
                raise CheckFailed(f"{path}: {len(actual)} faces instead of {len(expected)}")
            result["pictures"] += 1
            result["faces"] += len(expected)
            if not len(expected):
                continue
            apart = np.abs(actual.boxes[None] - expected.boxes[:, None]).max(axis=2)
            partner = apart.argmin(axis=1)
            box = float(apart.min(axis=1).max())
            score = float(np.abs(actual.scores[partner] - expected.scores).max())
            if box > BOX_TOLERANCE_PX or score > SCORE_TOLERANCE:
                raise CheckFailed(f"{path}: boxes differ by {box:.3f} px, scores by {score:.5f}")
            result["box_px"] = max(result["box_px"], box)
            result["score"] = max(result["score"], score)
    return result


def report_comparison(asked: argparse.Namespace) -> None:
    """Print what was compared."""
    detector = Detector.open(asked.folder, asked.backend, parse_precision(asked.precision))
    pictures = [path for folder in asked.pictures for path in sorted(list_images(folder))]
    done = compare(asked.library, detector, pictures)
    print(f"{done['pictures']:.0f} pictures, {done['faces']:.0f} faces: the same")
    print(f"largest difference: {done['box_px']:.4f} px, score {done['score']:.6f}")


def _picture(project: Path) -> list[str]:
    folder = project / "conformance"
    known = read(folder / "cases.json", Conformance, "conformance set", "package again")
    case = known.cases[FRAMES_CASE]
    return [str(folder / case.file), str(case.width), str(case.height)]


def _c_program(project: Path) -> Path:
    """Compile the C program beside the library, once."""
    shared = project / "build" / "shared"
    if not (shared / "libultraface.so").is_file():
        raise InputError(f"{shared}: no libultraface.so; build it with: cmake --preset shared")
    program = shared / "frames"
    if not program.is_file():
        search = [f"-I{project / 'include'}", f"-L{shared}", f"-Wl,-rpath,{shared.resolve()}"]
        command = ["cc", "-O2", "-o", str(program), str(_SOURCE), *search, "-lultraface"]
        subprocess.run(command, check=True)
    return program


def _cpu_seconds(command: Sequence[str]) -> float:
    before = os.times()
    done = subprocess.run(command, capture_output=True, text=True)
    after = os.times()
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise InputError(f"{' '.join(command)}: failed ({last}); run the binding's test.sh first")
    earlier, later = (each.children_user + each.children_system for each in (before, after))
    return later - earlier


def _stripped(file: Path) -> int:
    copy = file.with_name(f"{file.name}.stripped")
    subprocess.run(["strip", "-o", str(copy), str(file)], check=True)
    size = copy.stat().st_size
    copy.unlink()
    return size


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(required=True)
    times = commands.add_parser("time", help="milliseconds and bytes of each language")
    times.add_argument("project", type=existing)
    times.add_argument("--rounds", type=int, default=5)
    times.set_defaults(run=report_times)
    compared = commands.add_parser("compare", help="the faces of every picture of a folder")
    compared.add_argument("library", type=existing)
    compared.add_argument("folder", type=existing, help="artifact folder")
    compared.add_argument("pictures", type=existing, nargs="+")
    compared.add_argument("--backend", default="native")
    compared.add_argument("--precision", default="fp32")
    compared.set_defaults(run=report_comparison)
    asked = parser.parse_args()
    asked.run(asked)


if __name__ == "__main__":
    command(main)
