"""Kills commands at random moments, many times over: what they wrote is old or new, and whole.

python -m tests.faults.kill --command convert --kills 100
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np

from tests.conftest import ROOT
from ultraface_deploy import models
from ultraface_deploy.artifact import MANIFEST, ArtifactFolder
from ultraface_deploy.files import sha256_of

_PULL = """
import sys
from dataclasses import replace
from ultraface_deploy.models import find
from ultraface_deploy.pull import pull
pull(replace(find("slim-320"), file=None, url=sys.argv[1]))
"""


@dataclass(frozen=True)
class Victim:
    """A command to be killed.

    `problem` says what is wrong with what the command has written into `target` so far; what is
    not there yet is no problem. `complete` says whether all of it is there.
    """

    command: Sequence[str]
    target: Path
    problem: Callable[[Path], str | None]
    complete: Callable[[Path], bool]


def convert(folder: Path) -> Victim:
    """The way from ONNX to simplified ONNX and MNN, three artifacts in turn."""
    source = models.FOLDER / str(models.find(models.DEFAULT_MODEL).onnx)
    options = ("--to", "onnxsim", "--to", "mnn", "--input-size", "128x96", "-o", f"{folder}/out")
    command = (sys.executable, "-m", "ultraface_deploy", "convert", str(source), *options)
    return Victim(command, folder / "out", _folder_problem, lambda out: _holds(out, "mnn"))


def pull(folder: Path) -> Victim:
    """A download; the cache is `target`."""
    address = (models.FOLDER / str(models.find("slim-320").file)).as_uri()
    command = (sys.executable, "-c", _PULL, address)
    return Victim(command, folder / "cache", _cache_problem, lambda out: any(out.glob("*.pth")))


def prepare(folder: Path) -> Victim:
    """WIDER FACE to VOC, for 60 pictures of noise."""
    root = folder / "wider"
    images = root / "WIDER_train" / "images" / "0--Parade"
    if not images.is_dir():
        images.mkdir(parents=True)
        (root / "wider_face_split").mkdir()
        lines = []
        for number in range(60):
            picture = np.random.default_rng(number).integers(0, 255, (300, 400, 3), np.uint8)
            cv2.imwrite(str(images / f"{number}.jpg"), picture)
            lines += [f"0--Parade/{number}.jpg", "1", "10 20 80 90 0 0 0 0 0 0"]
        labels = root / "wider_face_split" / "wider_face_train_bbx_gt.txt"
        labels.write_text("\n".join(lines) + "\n")
    out = folder / "voc"
    arguments = ("data", "prepare", str(root), "-o", str(out))
    command = (sys.executable, "-m", "ultraface_deploy", *arguments)
    return Victim(command, out, _voc_problem, lambda out: _listed(out) == 60)


VICTIMS = {"convert": convert, "pull": pull, "prepare": prepare}


def _folder_problem(out: Path) -> str | None:
    if not (out / MANIFEST).is_file():
        return None
    folder = ArtifactFolder.open(out)
    return next(filter(None, map(folder.check_files, folder.artifacts)), None)


def _holds(out: Path, format: str) -> bool:
    left = [path.name for path in out.iterdir() if path.name.startswith((".scratch", ".manifest"))]
    return ArtifactFolder.open(out).has(format) and not left


def _cache_problem(out: Path) -> str | None:
    wanted = models.find("slim-320").sha256
    wrong = [path.name for path in out.glob("*.pth") if sha256_of(path) != wanted]
    return f"{wrong} have another SHA-256" if wrong else None


def _voc_problem(out: Path) -> str | None:
    for path in out.glob("Annotations/[!.]*.xml"):
        ElementTree.parse(path)
    for path in out.glob("JPEGImages/[!.]*.jpg"):
        if cv2.imread(str(path)) is None:
            return f"{path.name} is half a picture"
    for listing in out.glob("ImageSets/Main/[!.]*.txt"):
        for name in listing.read_text().split():
            if not (out / "JPEGImages" / f"{name}.jpg").is_file():
                return f"{listing.name} names {name}, which is not there"
    return None


def _listed(out: Path) -> int:
    return len((out / "ImageSets/Main/train.txt").read_text().split())


def hunt(victim: Victim, kills: int, seed: int = 0) -> dict[str, int]:
    """Kill a command so many times; after each kill and at the end everything must be whole.

    Raises:
        AssertionError: something is not whole, or the last run did not succeed.
    """
    generator = random.Random(seed)
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
        "ULTRAFACE_DEPLOY_CACHE": str(victim.target),
    }

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            victim.command,
            cwd=ROOT,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )

    started = time.monotonic()
    assert start().wait() == 0
    full = time.monotonic() - started
    counts = {"kills": 0, "finished": 0}
    while counts["kills"] < kills:
        process = start()
        time.sleep(generator.uniform(0.1, 1.1) * full)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            counts["kills"] += 1
        else:
            counts["finished"] += 1
        process.communicate()
        problem = victim.problem(victim.target)
        assert problem is None, f"after kill {counts['kills']}: {problem}"
    last = start()
    _, said = last.communicate()
    assert last.returncode == 0, said.decode()
    assert victim.problem(victim.target) is None
    assert victim.complete(victim.target)
    return counts


def main() -> None:
    """Hunt one command and print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--command", choices=sorted(VICTIMS), required=True)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        counts = hunt(VICTIMS[options.command](Path(folder)), options.kills, options.seed)
    print(json.dumps({"command": options.command, **counts}))


if __name__ == "__main__":
    main()
