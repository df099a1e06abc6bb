"""Kills, full disks, folders that cannot be written, two runs at once: old or new, and whole."""

from __future__ import annotations

import ctypes
import errno
import resource
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from tests.conftest import ROOT, Cli
from tests.faults.kill import VICTIMS, hunt
from tests.safe.test_animations import LEVELS, animate
from ultraface_deploy import models
from ultraface_deploy.artifacts.folder import MANIFEST, ArtifactFolder
from ultraface_deploy.artifacts.verify import verify_folder
from ultraface_deploy.detect.opening import open_source
from ultraface_deploy.safe.files import write_bytes
from ultraface_deploy.safe.refusals import said_by_system

SOURCE = models.FOLDER / str(models.find(models.DEFAULT_MODEL).onnx)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "kills"),
    [
        *(("convert", 1), ("pull", 4), ("prepare", 1), ("eval", 1), ("train", 1), ("detect", 2)),
        *(pytest.param(name, 20, marks=pytest.mark.long) for name in VICTIMS),
    ],
)
def test_killed_at_any_moment(name: str, kills: int, tmp_path: Path) -> None:
    """Two hundred times each: `make fuzz`."""
    needed = {"convert": "MNN", "eval": "onnxsim", "train": "torch"}
    if name in needed:
        pytest.importorskip(needed[name], reason=f"{name} needs it")
    if name == "detect" and not hasattr(cv2, "Animation"):
        pytest.skip("this OpenCV writes no animations")
    assert hunt(VICTIMS[name](tmp_path), kills).kills == kills


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "ultraface_deploy", *map(str, arguments)]


def to_onnxsim(out: Path) -> list[str]:
    return command("convert", SOURCE, "--to", "onnxsim", "--input-size", "128x96", "-o", out)


def sound(out: Path) -> ArtifactFolder:
    folder = ArtifactFolder.open(out)
    assert [folder.check_files(artifact) for artifact in folder.artifacts].count(None) == len(
        folder.artifacts
    )
    assert not [path for path in out.iterdir() if path.name.startswith((".scratch", ".manifest"))]
    return folder


def test_disk_that_is_full(tmp_path: Path) -> None:
    """A limit on the size of a file ends a write as a full disk does: in the middle."""
    pytest.importorskip("onnxsim", reason="converts to onnxsim")
    out = tmp_path / "out"
    for limit, code in ((300_000, 2), (None, 0), (300_000, 2)):
        before = {p.name: p.read_bytes() for p in out.glob("[!.]*")} if out.is_dir() else {}
        done = subprocess.run(
            to_onnxsim(out),
            cwd=ROOT,
            capture_output=True,
            text=True,
            preexec_fn=None
            if limit is None
            else lambda limit=limit: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        )
        assert done.returncode == code, done.stderr
        if code:
            assert done.stderr.splitlines()[-1].startswith("error: ")
            assert "Traceback" not in done.stderr
            assert {p.name: p.read_bytes() for p in out.glob("[!.]*")} == before
    assert sound(out).has("onnxsim")


@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".mkv", ".webm", ".gif", ".webp"])
def test_disk_that_is_full_for_a_video(tmp_path: Path, suffix: str) -> None:
    """OpenCV says nothing of what it could not write."""
    source, out = tmp_path / "a.gif", tmp_path / f"out{suffix}"
    animate(source, [40] * len(LEVELS), (640, 480))
    out.write_bytes(b"good")
    # Room for the results of other kinds, and for no picture.
    for limit, code in ((400, 2), (None, 0)):
        done = subprocess.run(
            [sys.executable, "-c", _MARK, str(source), str(out)],
            cwd=ROOT,
            capture_output=True,
            encoding="utf-8",
            # FFmpeg prints bytes of its own memory.
            errors="replace",
            preexec_fn=None
            if limit is None
            else lambda limit=limit: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        )
        assert done.returncode == code, done.stderr
        if code:
            assert "cannot write (" in done.stderr.splitlines()[-1]
            assert out.read_bytes() == b"good"
        assert sorted(path.name for path in tmp_path.iterdir()) == ["a.gif", out.name]
    assert open_source(str(out)).count


# Without a network, and what cannot be written after it is known that it could be.
_MARK = """
import sys
from pathlib import Path
import numpy as np
from ultraface_deploy.detect import marked
from ultraface_deploy.detect.opening import open_source
from ultraface_deploy.errors import InputError
from ultraface_deploy.pipeline import Faces
marked.refuse_output = lambda *_: None
none = Faces(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, np.int64))
source = open_source(sys.argv[1])
noise = np.random.default_rng(1).integers(0, 255, (480, 640, 3), np.uint8)
try:
    with marked.Marked(source, Path(sys.argv[2]), lambda image, _: image ^ noise) as sink:
        for frame in source:
            sink.write(frame, sink.prepare(frame, none))
except InputError as error:
    print(error, file=sys.stderr)
    sys.exit(2)
"""


def test_the_file_that_cannot_be_written_is_named() -> None:
    full = OSError(errno.ENOSPC, "No space left on device", "from", None, "to")
    said = "to: No space left on device; make room or choose another place"
    assert said_by_system(full, "it") == said
    gone = OSError(errno.ENOENT, "No such file or directory", "from", None, "to")
    assert said_by_system(gone, "it") == "from: No such file or directory"
    assert said_by_system(OSError(errno.EIO, "Input/output error"), "it").startswith("it: Input")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_what_was_measured_is_shown_though_it_cannot_be_written(cli: Cli) -> None:
    done = cli("verify", SOURCE, "--json", "/dev/full")
    assert done.code == 2 and "No space left" in done.err
    assert "onnxruntime" in done.out


def test_two_conversions_at_once(tmp_path: Path) -> None:
    pytest.importorskip("MNN", reason="one of them converts to MNN")
    out = tmp_path / "out"
    mnn = command("convert", SOURCE, "--to", "mnn", "--input-size", "128x96", "-o", out)
    both = [
        subprocess.Popen(line, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        for line in (to_onnxsim(out), mnn)
    ]
    for process in both:
        _, said = process.communicate()
        assert process.returncode == 0, said.decode()
    assert {"onnx", "onnxsim", "mnn"} <= {artifact.id for artifact in sound(out).artifacts}


def _give_up_roots_rights() -> None:
    """Root may write anywhere; PR_CAPBSET_DROP of CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH."""
    for capability in (1, 2):
        ctypes.CDLL(None).prctl(24, capability)


@pytest.mark.parametrize("mode", [0o555, 0o000])
def test_folder_that_cannot_be_written(tmp_path: Path, mode: int) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "keep").write_text("kept")
    out.chmod(mode)
    program = (
        "from pathlib import Path; from ultraface_deploy.safe.files import make_folder;"
        f"make_folder(Path({str(out)!r}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        preexec_fn=_give_up_roots_rights,
        capture_output=True,
        text=True,
    )
    out.chmod(0o755)
    assert "cannot be written; choose another with `output`" in done.stderr
    assert (out / "keep").read_text() == "kept"


def test_single_flipped_bits_are_noticed(folder: ArtifactFolder) -> None:
    from ultraface_deploy.safe.images import embedded_images

    (path,) = folder.files(folder.find("onnxsim"))
    content = bytearray(path.read_bytes())
    content[-1000] ^= 0x01
    path.write_bytes(content)
    results = verify_folder(folder, embedded_images(), ["onnxruntime"])
    failed = [result for result in results if not result.passed]
    assert {result.artifact for result in failed} == {"onnxsim"}
    assert all("SHA-256 differs" in str(result.reason) for result in failed)


def test_what_killed_runs_left_goes_and_what_runs_stays(folder: ArtifactFolder) -> None:
    dead = folder.path / ".scratch-dead"
    dead.mkdir()
    (dead / "half.mnn").write_bytes(bytes(10))
    half = folder.path / ".manifest.abc.tmp.json"
    half.write_text("{")
    with folder.scratch() as first:
        write_bytes(first / "mine", b"x")
        assert not dead.exists()
        assert not half.exists()
        with folder.scratch() as second:
            assert (first / "mine").is_file()
            assert second != first
    assert not first.exists()
    assert (folder.path / MANIFEST).is_file()
