"""Compiles generated projects, against an ncnn built once and kept in a cache folder.

The cache is `$ULTRAFACE_TEST_CACHE`, else `~/.cache/ultraface-deploy-tests`. A first build takes
minutes: it happens only with `ULTRAFACE_BUILD_NCNN=1`, which `make test-cpp` sets.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import pytest

import ultraface_deploy.package
from ultraface_deploy.files import sha256_of

TEMPLATE = Path(ultraface_deploy.package.__file__).parent / "template"
TOOLCHAIN = TEMPLATE / "common" / "cmake" / "aarch64-linux-gnu.cmake"
MINIMAL = TEMPLATE / "ncnn" / "cmake" / "ncnn-minimal.cmake"

STRICT = ("-DCMAKE_CXX_FLAGS=-Werror", "-DCMAKE_C_FLAGS=-Werror")


@dataclass(frozen=True)
class Build:
    """A compiler, how to configure for it, and how to run what it makes."""

    name: str
    preset: str
    options: tuple[str, ...] = ()
    runner: tuple[str, ...] = ()
    ncnn: Path | None = None

    def build(self, project: Path, *options: str, preset: str | None = None) -> Path:
        """Compile a project, every warning an error; return its build folder."""
        preset = preset or self.preset
        run(
            ["cmake", "--preset", preset, f"-Dncnn_DIR={self.ncnn}", *STRICT, *options],
            cwd=project,
        )
        targets = ["--target", "all", "faces"]
        run(["cmake", "--build", "--preset", preset, "--parallel", "2", *targets], cwd=project)
        return project / "build" / preset


def native() -> Build:
    """This machine's own compiler."""
    require("cmake", "g++")
    return Build(name="native", preset="native")


def aarch64() -> Build:
    """The distribution's cross compiler, and the emulator of a Cortex-A72."""
    require("cmake", "aarch64-linux-gnu-g++", "qemu-aarch64")
    return Build(
        name="aarch64",
        preset="aarch64",
        options=("--toolchain", str(TOOLCHAIN)),
        runner=("qemu-aarch64", "-cpu", "cortex-a72"),
    )


def ncnn_for(build: Build) -> Build:
    """Return the build with an ncnn of the version that Python has, from the cache or made now."""
    recipe = sha256_of(MINIMAL)[:8]
    prefix = _cache() / f"ncnn-{_ncnn_version()}-{recipe}-{build.name}"
    if not prefix.is_dir():
        if not os.environ.get("ULTRAFACE_BUILD_NCNN"):
            pytest.skip(f"no ncnn at {prefix}; `make test-cpp` builds it in a few minutes")
        _build_ncnn(build, prefix)
    return replace(build, ncnn=prefix / "lib" / "cmake" / "ncnn")


def run(command: Sequence[str], cwd: Path | None = None) -> str:
    """Run a program that must succeed; return its standard output."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.fail(f"{' '.join(command)}\n{done.stdout[-3000:]}\n{done.stderr[-6000:]}")
    return done.stdout


def _build_ncnn(build: Build, prefix: Path) -> None:
    source = _ncnn_source()
    with tempfile.TemporaryDirectory(dir=prefix.parent) as scratch:
        installed = Path(scratch) / "installed"
        run(
            [
                *("cmake", "-C", str(MINIMAL), "-S", str(source), "-B", f"{scratch}/build"),
                *(f"-DCMAKE_INSTALL_PREFIX={installed}", *build.options),
            ]
        )
        run(["cmake", "--build", f"{scratch}/build", "--target", "install", "--parallel", "2"])
        installed.replace(prefix)


def _ncnn_source() -> Path:
    """Unpack the source distribution of ncnn into the cache."""
    source = _cache() / f"ncnn-{_ncnn_version()}-source"
    if source.is_dir():
        return source
    with tempfile.TemporaryDirectory(dir=source.parent) as scratch:
        # setup.py of ncnn states the day of the build as its version, which pip then refuses; with
        # --no-clean it leaves the unpacked source all the same.
        pip = subprocess.run(
            [
                *(sys.executable, "-m", "pip", "download", "--no-clean", "--no-deps"),
                *("--no-binary", "ncnn", f"ncnn=={_ncnn_version()}", "--dest", f"{scratch}/wheels"),
            ],
            env={**os.environ, "TMPDIR": scratch},
            capture_output=True,
            text=True,
        )
        unpacked = [path.parent for path in Path(scratch).glob("pip-*/ncnn_*/CMakeLists.txt")]
        if not unpacked:
            last = (pip.stderr.strip().splitlines() or ["pip said nothing"])[-1]
            pytest.skip(f"the source distribution of ncnn is not to be had: {last}")
        shutil.move(unpacked[0], source)
    return source


def _ncnn_version() -> str:
    pytest.importorskip("ncnn", reason="ncnn is not installed; pip install '.[ncnn]'")
    return version("ncnn")


def _cache() -> Path:
    default = Path.home() / ".cache" / "ultraface-deploy-tests"
    folder = Path(os.environ.get("ULTRAFACE_TEST_CACHE", default))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def require(*programs: str) -> None:
    """Skip the test where a program is not installed."""
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
