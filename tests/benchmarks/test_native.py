"""What the figures of the C detector are read from."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from tests.conftest import require_installed
from ultraface_deploy import models
from ultraface_deploy.artifacts.convert import convert
from ultraface_deploy.artifacts.folder import ArtifactFolder
from ultraface_deploy.artifacts.source import resolve_source
from ultraface_deploy.benchmarks import native

require_installed("onnxsim", "C is made from simplified ONNX")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> ArtifactFolder:
    if shutil.which("cc") is None:
        pytest.skip("needs a C compiler")
    source = resolve_source(models.FOLDER / "slim-320.onnx", (64, 64))
    return convert(source, ["c"], output=tmp_path_factory.mktemp("artifacts"))


def test_every_job_is_timed_in_every_round() -> None:
    ticks = iter(range(10**6))
    calls: list[str] = []
    taken = native.interleaved(
        {"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, lambda: next(ticks)
    )
    assert {name: len(times) for name, times in taken.items()} == {"a": 30, "b": 30}
    assert calls[:20] == ["a"] * 10 + ["b"] * 10
    assert set(taken["a"]) == {100.0}


def test_the_detector_is_compiled_and_called(folder: ArtifactFolder) -> None:
    picture = native.resized(native.read_image(native.DEMO_PHOTO), folder)
    assert native.Detector(folder, "fp32")(picture) >= 0


def test_the_arena_is_read_off_the_header(folder: ArtifactFolder) -> None:
    _, header = folder.files(folder.find("c"))
    for threads, size in native.arena_bytes(folder, "fp32").items():
        program = f'#include "{header}"\nchar size[ULTRAFACE_ARENA_BYTES == {size} ? 1 : -1];\n'
        flags = ["-fsyntax-only", f"-DULTRAFACE_THREADS={threads}", "-x", "c", "-"]
        subprocess.run(["cc", *flags], input=program, text=True, check=True)
