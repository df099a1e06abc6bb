"""What several test files need: data beside the checkout, checkpoints, conversions, the command."""

from __future__ import annotations

import gc
import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock
from hypothesis import HealthCheck, settings

from ultraface_deploy.agreement.precision import Precision
from ultraface_deploy.artifacts.folder import MANIFEST, ArtifactFolder
from ultraface_deploy.family.spec import Architecture, Head

# Before any runtime is loaded: on a busy machine, threads that wait for each other take ages.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# The same examples in every run, however slow the machine: red means that something changed.
# Nor does it count how long it takes to make them.
_SLOW = [HealthCheck.too_slow]
settings.register_profile(
    "repeatable", deadline=None, derandomize=True, max_examples=50, suppress_health_check=_SLOW
)
# Many, and others each time: `--hypothesis-profile long`, which `make test-long` says.
settings.register_profile("long", deadline=None, max_examples=1000, suppress_health_check=_SLOW)
settings.load_profile("repeatable")

ROOT = Path(__file__).resolve().parent.parent

MakeCheckpoint = Callable[..., Path]
Convert = Callable[..., ArtifactFolder]
# By image name the faces: x y width height, and the sets of WIDER FACE that count each.
Faces = Mapping[str, Sequence[tuple[tuple[float, float, float, float], Sequence[str]]]]
WriteGroundTruth = Callable[[Path, Faces], Path]


def pytest_collection() -> None:
    """What is made then lives to the end: looking for garbage in it took a third of the time."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Nor is it looked through during the tests."""
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of published checkpoints, artifacts and photographs beside the checkout."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("needs the published files, which lie in ../shared and are not part of this")
    return folder


@pytest.fixture(scope="session")
def checkpoints(shared: Path) -> Path:
    """The folder of the four published checkpoints."""
    return shared / "checkpoints"


@pytest.fixture(scope="session")
def photos(shared: Path) -> list[Path]:
    """The published photographs with faces."""
    return sorted((shared / "images").glob("*.jpg"))


@pytest.fixture(scope="session")
def across_workers(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A folder that the workers of one parallel run have in common."""
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "common"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def worker_id(request: pytest.FixtureRequest) -> str:
    """The name of this pytest-xdist worker, `master` where there is only one process."""
    return str(getattr(request.config, "workerinput", {}).get("workerid", "master"))


def require_installed(package: str, reason: str) -> None:
    """Skip a module where a package is not installed; `importorskip` would spend seconds on it."""
    if find_spec(package) is None:
        pytest.skip(reason, allow_module_level=True)


def random_network(architecture: Architecture, num_classes: int = 2, channels: int = 3) -> Any:
    """Return a network with seeded weights that reacts to its input and sees few faces."""
    import torch

    from ultraface_deploy.family.nets import UltraFace

    torch.manual_seed(1)
    net = UltraFace(architecture, num_classes, channels=channels).eval()
    for module in net.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
            module.weight.data.uniform_(0.8, 1.5)
            module.bias.data.normal_(0, 0.2)
    for head in (*net.classification_headers, *net.regression_headers):
        last = head if isinstance(head, torch.nn.Conv2d) else head[-1]
        last.weight.data *= 0.04
    for head in net.classification_headers:
        last = head if isinstance(head, torch.nn.Conv2d) else head[-1]
        last.bias.data[::num_classes] += 4.0  # background
    return net


@pytest.fixture(scope="session")
def make_checkpoint(across_workers: Path) -> MakeCheckpoint:
    """Return a function that gives the path of a checkpoint with random weights; not to be changed.

    Its arguments are the architecture, the number of classes, and the channels of the input.
    """
    torch = pytest.importorskip("torch", reason="checkpoints are written with torch")

    def make(architecture: Architecture = "slim", num_classes: int = 2, channels: int = 3) -> Path:
        colour = "-gray" if channels == 1 else ""
        path = across_workers / f"random-{architecture}-{num_classes}{colour}.pth"
        with FileLock(path.with_suffix(".lock")):
            if not path.is_file():
                torch.save(random_network(architecture, num_classes, channels).state_dict(), path)
        return path

    return make


@pytest.fixture(scope="session")
def converted(across_workers: Path) -> Convert:
    """Return a function that converts once per session; its folders are not to be changed."""
    pytest.importorskip("torch", reason="checkpoints are read with torch")
    from ultraface_deploy.artifacts.source import resolve_source

    resolve = cache(resolve_source)  # which reads the checkpoint

    def convert(
        checkpoint: Path,
        *targets: str,
        size: tuple[int, int] | None = None,
        head: Head | None = None,
        precision: Precision = "fp32",
    ) -> ArtifactFolder:
        from ultraface_deploy.artifacts.convert import convert as convert_model

        source = resolve(checkpoint, size, head)
        # After the file: two checkpoints may be of one name.
        name = f"{checkpoint.stem}-{source.spec.width}x{source.spec.height}-{source.spec.head}"
        folder = across_workers / name
        with FileLock(folder.with_suffix(".lock")):
            have = ArtifactFolder.open(folder) if (folder / MANIFEST).is_file() else None
            missing = [t for t in targets if have is None or not have.has(t, precision)]
            return convert_model(source, missing, precision, folder) if missing else have  # type: ignore[return-value]

    return convert


@pytest.fixture
def folder(converted: Convert, make_checkpoint: MakeCheckpoint, tmp_path: Path) -> ArtifactFolder:
    """A small folder with every format, a test's own to damage."""
    formats = ("onnx", "onnxsim", "mnn", "ncnn")
    made = converted(make_checkpoint(), *formats, size=(128, 96))
    # Other tests may have converted more into the shared folder meanwhile.
    manifest = json.loads((made.path / MANIFEST).read_text())
    manifest["artifacts"] = [a for a in manifest["artifacts"] if a["id"] in ("torch", *formats)]
    kept = {".lock", *(file for each in manifest["artifacts"] for file in each["files"])}
    copy = tmp_path / "folder"
    shutil.copytree(made.path, copy, ignore=lambda _, names: set(names) - kept)
    (copy / MANIFEST).write_text(json.dumps(manifest, indent=2))
    return ArtifactFolder.open(copy)


@dataclass(frozen=True)
class CliResult:
    """How a run of the command line ended."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line that says what was wrong; a traceback or a second line fails the test."""
        lines = [line for line in self.err.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1, self.err
        assert self.err.rstrip().endswith(lines[0]), self.err
        assert "Traceback" not in self.err
        return lines[0].removeprefix("error: ")


Cli = Callable[..., CliResult]


def hear_ctrl_c() -> None:
    """For `preexec_fn`: what a shell runs in the background inherits a deaf ear for Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Return a function that runs the command line in this process.

    What is left out is what concerns the whole process: signals and file descriptors.
    """
    from ultraface_deploy.cli import app

    monkeypatch.setattr(app.streams, "arrange", lambda show_native: None)
    monkeypatch.setattr(app.signals, "arrange", lambda: None)

    def run(*arguments: object) -> CliResult:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            app.main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        code = ended.value.code
        return CliResult(code if isinstance(code, int) else 0, captured.out, captured.err)

    return run


@pytest.fixture(scope="session")
def caches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Names of folders, one a test, that are not there yet.

    `mktemp` reads all names beside the one that it makes, more with each of thousands of tests.
    """
    folder = tmp_path_factory.mktemp("caches")
    return (folder / str(number) for number in count())


@pytest.fixture(autouse=True)
def own_cache(caches: Iterator[Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep tests away from the user's cache."""
    cache = next(caches)
    cache.mkdir()
    monkeypatch.setenv("ULTRAFACE_DEPLOY_CACHE", str(cache))
    return cache


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """Keep the thread pools of OpenCV small: tests run beside each other."""
    import cv2

    cv2.setNumThreads(1)
    yield


def noise(width: int, height: int, seed: int = 0) -> np.ndarray:
    """Return an image of noise, (H, W, 3) uint8."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def noise_video(path: Path, pictures: int, fps: float = 10.0) -> None:
    """Write a video of 64x48 pixels whose pictures are noise of the seeds 0, 1, 2, ..."""
    import cv2

    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), fps, (64, 48))
    for number in range(pictures):
        writer.write(noise(64, 48, number))
    writer.release()


@pytest.fixture(scope="session")
def write_truth() -> WriteGroundTruth:
    """Return a function that writes images as the four official files into a folder."""
    savemat = pytest.importorskip("scipy.io", reason="the official files are MATLAB's").savemat

    from ultraface_deploy.wider import SETS

    def write(folder: Path, images: Faces) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        events = list(dict.fromkeys(name.split("/")[0] for name in images))
        by_event = [[n for n in images if n.split("/")[0] == event] for event in events]
        common = {
            "event_list": _cells(events),
            "file_list": _cells([_cells([n.split("/")[1] for n in names]) for names in by_event]),
        }
        boxes = _cells(
            [
                _cells([np.array([box for box, _ in images[n]]).reshape(-1, 4) for n in names])
                for names in by_event
            ]
        )
        savemat(folder / "wider_face_val.mat", common | {"face_bbx_list": boxes})
        for subset in SETS:
            kept = _cells(
                [
                    _cells(
                        [
                            np.array([[i] for i, (_, s) in enumerate(images[n], 1) if subset in s])
                            for n in names
                        ]
                    )
                    for names in by_event
                ]
            )
            savemat(folder / f"wider_{subset}_val.mat", common | {"gt_list": kept})
        return folder

    return write


def _cells(values: Sequence[object]) -> np.ndarray:
    """A MATLAB cell array, (N, 1)."""
    cells = np.empty((len(values), 1), dtype=object)
    for index, value in enumerate(values):
        cells[index, 0] = value
    return cells
