"""Kills commands with SIGKILL, many times over: what they wrote is old or new, and whole.

python -m tests.faults.kill --command convert --kills 200

Half of the kills come at random moments, half just before a random change to the files.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np

from tests.conftest import ROOT
from ultraface_deploy import models
from ultraface_deploy.artifacts.folder import MANIFEST, ArtifactFolder
from ultraface_deploy.safe.files import sha256_of
from ultraface_deploy.safe.images import DEMO_PHOTO, read_image

_UNDISTURBED_EVERY = 10
_SOURCE = models.FOLDER / str(models.find(models.DEFAULT_MODEL).onnx)


def _start_from_nothing(target: Path, generator: random.Random) -> None:
    """Half of the time, so that the other half writes over a complete result."""
    if generator.random() < 0.5:
        shutil.rmtree(target)


@dataclass(frozen=True)
class Victim:
    """A command to be killed, as a module with its arguments.

    `problem` says what is wrong with what stands in `target` at any moment; what is not there
    yet is not a problem. `result` is what a finished command has written, the same each time.
    `restart` brings the target of a finished command into a state in which there is work again.
    `--resume` is left out where `begun` is named and not there yet.
    """

    command: Sequence[str]
    target: Path
    problem: Callable[[Path], str | None]
    result: Callable[[Path], object]
    restart: Callable[[Path, random.Random], None] = _start_from_nothing
    begun: str | None = None


def convert(folder: Path) -> Victim:
    """The way from ONNX to simplified ONNX and MNN, three artifacts in turn."""
    options = ("--to", "onnxsim", "--to", "mnn", "--input-size", "64x64", "-o", f"{folder}/out")
    command = ("ultraface_deploy", "convert", str(_SOURCE), *options)
    return Victim(command, folder / "out", _folder_problem, _artifacts)


def _folder_problem(out: Path) -> str | None:
    if not (out / MANIFEST).is_file():
        return None
    folder = ArtifactFolder.open(out)
    return next(filter(None, map(folder.check_files, folder.artifacts)), None)


def _artifacts(out: Path) -> object:
    left = [path.name for path in out.iterdir() if path.name.startswith((".scratch", ".manifest"))]
    return sorted(artifact.id for artifact in ArtifactFolder.open(out).artifacts), left


def pull(folder: Path) -> Victim:
    """A download; the cache is `target`, and may hold an old file of that name."""
    address = (models.FOLDER / str(models.find("slim-320").file)).as_uri()
    old = b"an old file" * 100
    wanted = models.find("slim-320").sha256

    def problem(out: Path) -> str | None:
        wrong = [p for p in out.glob("*.pth") if p.read_bytes() != old and sha256_of(p) != wanted]
        return f"{wrong} are neither the old nor the new file" if wrong else None

    def restart(out: Path, generator: random.Random) -> None:
        _start_from_nothing(out, generator)
        if out.is_dir():
            (out / "slim-320.pth").write_bytes(old)

    def result(out: Path) -> object:
        return [(path.name, sha256_of(path)) for path in out.glob("[!.]*.p*")]

    command = ("tests.faults.pulling", address)
    return Victim(command, folder / "cache", problem, result, restart)


def prepare(folder: Path) -> Victim:
    """WIDER FACE to VOC, for 60 pictures of noise."""
    root = folder / "wider"
    images = root / "WIDER_train" / "images" / "0--Parade"
    lines = []
    for path in _pictures(images, 60, (400, 300)):
        lines += [f"0--Parade/{path.name}", "1", "10 20 80 90 0 0 0 0 0 0"]
    labels = root / "wider_face_split" / "wider_face_train_bbx_gt.txt"
    labels.parent.mkdir()
    labels.write_text("\n".join(lines) + "\n")
    out = folder / "voc"
    command = ("ultraface_deploy", "data", "prepare", str(root), "-o", str(out))
    return Victim(command, out, _voc_problem, _contents)


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


def _contents(out: Path) -> object:
    paths = (path for path in sorted(out.rglob("[!.]*")) if path.is_file())
    return [(str(path.relative_to(out)), sha256_of(path)) for path in paths]


def evaluate(folder: Path) -> Victim:
    """AP on 24 pictures of noise; a killed run goes on with the predictions in the cache."""
    pictures = [p.name for p in _pictures(folder / "pictures", 24, (80, 60))]
    labels = folder / "labels.txt"
    labels.write_text("".join(f"{name}\n1\n10 20 30 35 0 0 0 0 0 0\n" for name in pictures))
    model = folder / "model"
    options = ("--to", "onnxsim", "--input-size", "64x64", "-o", str(model))
    _run(("ultraface_deploy", "convert", str(_SOURCE), *options))  # without torch
    result = folder / "cache" / "result.json"
    result.parent.mkdir()
    command = (
        *("ultraface_deploy", "eval", str(model), "--folder", str(folder / "pictures")),
        *("--labels", str(labels), "--jobs", "2", "--threshold", "0", "--json", str(result)),
    )

    def restart(out: Path, generator: random.Random) -> None:
        _start_from_nothing(out, generator)
        out.mkdir(exist_ok=True)

    def written(out: Path) -> object:
        return json.loads((out / "result.json").read_text()), sorted(out.glob("eval/[!.]*"))

    return Victim(command, folder / "cache", _evaluation_problem, written, restart)


def _evaluation_problem(out: Path) -> str | None:
    from ultraface_deploy.accuracy import read_results
    from ultraface_deploy.wider.predictions import read_file

    if (out / "result.json").is_file():
        read_results(out / "result.json")
    for path in out.glob("eval/*/[!.]*.json"):
        json.loads(path.read_text())
    for path in out.glob("eval/*/**/[!.]*.txt"):
        # A run that was killed alone leaves workers for a moment, and they finish and tidy up.
        if path.is_file():
            read_file(path)
    return None


_RECIPE = """
architecture = "slim"
input_size = "64x64"
holdouts = [0.3]
[[stages]]
name = "first"
epochs = 1
batch_size = 2
[[stages]]
name = "second"
epochs = 2
batch_size = 4
optimizer = "adamw"
lr = 1e-3
"""


def train(folder: Path) -> Victim:
    """Three epochs on six pictures; a killed run goes on with --resume."""
    names = [path.stem for path in _pictures(folder / "voc" / "JPEGImages", 6, (80, 60))]
    for part in ("Annotations", "ImageSets/Main"):
        (folder / "voc" / part).mkdir(parents=True)
    for name in names:
        (folder / "voc" / "Annotations" / f"{name}.xml").write_text(
            f"<annotation><filename>{name}.jpg</filename><object><name>face</name><bndbox>"
            "<xmin>10</xmin><ymin>8</ymin><xmax>50</xmax><ymax>50</ymax></bndbox></object>"
            "</annotation>"
        )
    (folder / "voc" / "ImageSets/Main/train.txt").write_text("\n".join(names))
    recipe, out = folder / "recipe.toml", folder / "run"
    recipe.write_text(_RECIPE)
    command = (
        *("ultraface_deploy", "train", "--data", str(folder / "voc"), "--recipe", str(recipe)),
        *("-o", str(out), "--resume"),
    )
    return Victim(
        command,
        out,
        _run_problem,
        _trained,
        lambda target, generator: shutil.rmtree(target),
        "last.pth",
    )


def _run_problem(out: Path) -> str | None:
    from ultraface_deploy.family.checkpoint import load_checkpoint

    for name in ("best.pth", "last.pth"):
        if (out / name).is_file():
            load_checkpoint(out / name)
    return None


def _trained(out: Path) -> object:
    """The weights to the last bit, and the metrics but for the time that an epoch took."""
    from ultraface_deploy.family.checkpoint import load_checkpoint

    rows = [line.split(",") for line in (out / "metrics.csv").read_text().splitlines()]
    weights = load_checkpoint(out / "best.pth").state_dict
    return [row[:4] + row[5:] for row in rows], {k: v.tolist() for k, v in weights.items()}


def detect(folder: Path) -> Victim:
    """Faces in pictures, an animation and a video; a killed run goes on with --resume."""
    photo = read_image(DEMO_PHOTO)
    pictures = folder / "pictures"
    pictures.mkdir()
    for number in range(60):
        cv2.imwrite(str(pictures / f"{number:02}.jpg"), photo[number:])
    animation = cv2.Animation()
    animation.frames, animation.durations = [photo[:256, :256], photo[::2, ::2]] * 4, [40] * 8
    assert cv2.imwriteanimation(str(pictures / "30-moving.gif"), animation)
    video = folder / "clip.avi"
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (512, 512))
    for number in range(20):
        writer.write(np.roll(photo, 9 * number, axis=1))
    writer.release()
    out = folder / "out"
    out.mkdir()
    files = ("--jsonl", str(out / "faces.jsonl"), "--csv", str(out / "faces.csv"))
    command = (
        *("ultraface_deploy", "detect", str(pictures), str(video), "--model", "slim-320"),
        *(*files, "--workers", "2", "--resume"),
    )

    def problem(target: Path) -> str | None:
        path = target / "faces.jsonl"
        rows = len(path.read_text().splitlines()) if path.is_file() else 88
        return None if rows == 88 else f"{rows} rows"

    def result(target: Path) -> object:
        # A file that was not finished when its process was killed stays beside them.
        paths = (path for path in target.iterdir() if ".tmp." not in path.name)
        return {path.name: path.read_text() for path in paths}

    def restart(target: Path, generator: random.Random) -> None:
        _start_from_nothing(target, generator)
        target.mkdir(exist_ok=True)

    return Victim(command, out, problem, result, restart)


VICTIMS = {
    "detect": detect,
    "convert": convert,
    "pull": pull,
    "prepare": prepare,
    "eval": evaluate,
    "train": train,
}


def _pictures(folder: Path, count: int, size: tuple[int, int]) -> Iterator[Path]:
    folder.mkdir(parents=True)
    for number in range(count):
        path = folder / f"{number}.jpg"
        shape = (size[1], size[0], 3)
        cv2.imwrite(str(path), np.random.default_rng(number).integers(0, 255, shape, np.uint8))
        yield path


@dataclass
class Hunt:
    """Kills of one command, and how many runs of it came to their end."""

    victim: Victim
    generator: random.Random
    at_any_moment: int = 0
    before_a_change: int = 0
    finished: int = 0
    seconds: float = 0.0
    changes: int = 0
    expected: object = field(default=None, repr=False)

    @property
    def kills(self) -> int:
        return self.at_any_moment + self.before_a_change

    def learn(self) -> None:
        """Let the command run once: how long it takes, what it changes, what it writes."""
        started = time.monotonic()
        said = self._finish(self._start(0))
        self.seconds = time.monotonic() - started
        self.changes = int(re.findall(r"changes: (\d+)", said)[-1])
        assert self.changes, "no change was seen"
        self.expected = self.victim.result(self.victim.target)

    def kill(self) -> None:
        """Start the command and kill it, alone or with all that it started."""
        timed = self.generator.random() < 0.5
        process = self._start(0 if timed else self.generator.randint(1, self.changes))
        if timed:
            time.sleep(self.generator.uniform(0, self.seconds))
            if process.poll() is None:
                end = self.generator.choice((os.kill, os.killpg))
                end(process.pid, signal.SIGKILL)
        process.wait()
        if process.returncode == -signal.SIGKILL:
            self.at_any_moment += timed
            self.before_a_change += not timed
            process.communicate()
        else:
            self._finish(process)
            self.victim.restart(self.victim.target, self.generator)
        problem = self.victim.problem(self.victim.target)
        assert problem is None, f"after kill {self.kills}: {problem}"

    def undisturbed(self) -> None:
        """The next run succeeds, and gives what a run gives that was never killed."""
        self._finish(self._start(0))
        self.victim.restart(self.victim.target, self.generator)

    def _start(self, last: int) -> subprocess.Popen[str]:
        """Start the command, to die before its change number `last` (0: to live)."""
        target = self.victim.target
        # Killed before its first checkpoint, a training has nothing to go on with.
        fresh = self.victim.begun is not None and not (target / self.victim.begun).is_file()
        command = [word for word in self.victim.command if not (fresh and word == "--resume")]
        environment = os.environ | {
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(ROOT),
            "ULTRAFACE_DEPLOY_CACHE": str(target),
        }
        # A session of its own, so that it can be killed with its children.
        return subprocess.Popen(
            [sys.executable, "-m", "tests.faults.dying", str(last), target, *command],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def _finish(self, process: subprocess.Popen[str]) -> str:
        _, said = process.communicate()
        assert process.returncode == 0, said
        self.finished += 1
        assert self.victim.problem(self.victim.target) is None
        if self.expected is not None:
            assert self.victim.result(self.victim.target) == self.expected
        return said


def hunt(victim: Victim, kills: int, seed: int = 0) -> Hunt:
    """Kill a command so many times; after each kill everything is whole.

    Raises:
        AssertionError: something is not whole, a run did not succeed, or it gave something else
            than a run that was never disturbed.
    """
    found = Hunt(victim, random.Random(seed))
    found.learn()
    victim.restart(victim.target, found.generator)
    while found.kills < kills:
        before = found.kills
        found.kill()
        if found.kills > before and found.kills % _UNDISTURBED_EVERY == 0:
            found.undisturbed()
    found.undisturbed()
    return found


def _run(command: Sequence[str]) -> None:
    subprocess.run([sys.executable, "-m", *command], cwd=ROOT, check=True, capture_output=True)


def main() -> None:
    """Hunt one command and print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--command", choices=sorted(VICTIMS), required=True)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = hunt(VICTIMS[options.command](Path(folder)), options.kills, options.seed)
    figures = ("at_any_moment", "before_a_change", "finished", "changes")
    print(json.dumps({"command": options.command} | {f: getattr(found, f) for f in figures}))


if __name__ == "__main__":
    main()
