"""Compiles generated projects, against runtimes built once and kept in a cache folder.

The cache is `$ULTRAFACE_TEST_CACHE`, else `~/.cache/ultraface-deploy-tests`. A first build takes
minutes: it happens only with `ULTRAFACE_BUILD_RUNTIMES=1`, which `make test-cpp` sets. MNN, whose
headers are in no package registry, is built from the checkout that `ULTRAFACE_MNN_ROOT` names.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import pytest

import ultraface_deploy.sdk
from ultraface_deploy.errors import ToolFailed
from ultraface_deploy.sdk import Runtime
from ultraface_deploy.sdk.fetch import fetch_ncnn
from ultraface_deploy.sdk.project import fill

TEMPLATE = Path(ultraface_deploy.sdk.__file__).parent / "template"

STRICT = ("-DCMAKE_CXX_FLAGS=-Werror", "-DCMAKE_C_FLAGS=-Werror")


@dataclass(frozen=True)
class Build:
    """A compiler and a runtime that it built, and how to run what it makes."""

    preset: str
    runner: tuple[str, ...] = ()
    runtime: Runtime = "ncnn"
    prefix: Path = Path()

    @property
    def find_runtime(self) -> tuple[str, ...]:
        """The options that tell CMake where the runtime is."""
        if self.runtime == "c":
            return ()
        if self.runtime == "ncnn":
            return (f"-Dncnn_DIR={self.prefix}/lib/cmake/ncnn",)
        return (f"-DMNN_ROOT={self.prefix}",)

    def build(
        self,
        project: Path,
        *options: str,
        preset: str | None = None,
        targets: Sequence[str] = ("all", "faces", "stages"),
    ) -> Path:
        """Compile a project, every warning an error; return its build folder."""
        preset = preset or self.preset
        run(["cmake", "--preset", preset, *self.find_runtime, *STRICT, *options], cwd=project)
        if "-DBUILD_SHARED_LIBS=ON" in options:
            targets = [target for target in targets if target != "stages"]
        command = ["cmake", "--build", "--preset", preset, "--parallel", "2"]
        run([*command, "--target", *targets], cwd=project)
        return project / "build" / preset


def native() -> Build:
    """This machine's own compiler."""
    require("cmake", "g++")
    return Build("native")


def aarch64() -> Build:
    """The distribution's cross compiler, and an emulator."""
    require("cmake", "aarch64-linux-gnu-g++", "qemu-aarch64")
    return Build("aarch64", ("qemu-aarch64", "-cpu", "cortex-a72"))


def with_runtime(build: Build, runtime: Runtime) -> Build:
    """Return the build with a runtime of the version that Python has, cached or made now.

    It is made by the commands of the generated README; C needs none.
    """
    if runtime == "c":
        return replace(build, runtime=runtime)
    source = _ncnn_source() if runtime == "ncnn" else _mnn_source()
    name = f"{runtime}-{build.preset}"
    readme = (TEMPLATE / "building" / f"{runtime}.md").read_text()
    commands = readme_commands(readme, f"INSTALL_PREFIX=$PWD/build/{name}")
    recipe = hashlib.sha256(commands.encode())
    for file in sorted((TEMPLATE / runtime / "cmake").iterdir()):
        recipe.update(file.read_bytes())
    prefix = _cache() / f"{name}-{version(runtime)}-{recipe.hexdigest()[:8]}"
    if not prefix.is_dir():
        if not os.environ.get("ULTRAFACE_BUILD_RUNTIMES"):
            pytest.skip(f"no {runtime} at {prefix}; `make test-cpp` builds it in a few minutes")
        with tempfile.TemporaryDirectory(dir=prefix.parent) as scratch:
            for layer in ("common", runtime):
                shutil.copytree(
                    TEMPLATE / layer / "cmake", Path(scratch, "cmake"), dirs_exist_ok=True
                )
            run(["bash", "-ec", commands], Path(scratch), {runtime.upper(): str(source)})
            Path(scratch, "build", name).replace(prefix)
    return replace(build, runtime=runtime, prefix=prefix)


def readme_commands(text: str, word: str) -> str:
    """Return the one block of commands with a word in it, outside of the templates' gaps."""
    text = fill(text, dict.fromkeys(("RUNTIME_VERSION", "AND_MODELS"), ""))
    blocks = re.findall("```sh\n(.*?)```", text, re.DOTALL)
    (block,) = [block for block in blocks if word in block]
    return str(block)


def run(
    command: Sequence[str], cwd: Path | None = None, environment: Mapping[str, str] | None = None
) -> str:
    """Run a program that must succeed; return its standard output."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        pytest.fail(f"{' '.join(command)}\n{done.stdout[-3000:]}\n{done.stderr[-6000:]}")
    return done.stdout


def _ncnn_source() -> Path:
    """Unpack the source distribution of ncnn into the cache."""
    source = _cache() / f"ncnn-{_ncnn_version()}-source"
    if source.is_dir():
        return source
    try:
        fetch_ncnn(source)
    except ToolFailed as error:
        pytest.skip(f"the source distribution of ncnn is not to be had: {error}")
    return source


def _mnn_source() -> Path:
    """The checkout of MNN, where there is one of the version that Python has."""
    root = os.environ.get("ULTRAFACE_MNN_ROOT")
    if not root:
        pytest.skip("no package registry has MNN's headers; ULTRAFACE_MNN_ROOT names a checkout")
    pytest.importorskip("MNN", reason="MNN is not installed; pip install '.[mnn]'")
    header = (Path(root) / "include" / "MNN" / "MNNDefine.h").read_text()
    found = ".".join(re.findall(r"MNN_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)", header))
    if found != version("MNN"):
        pytest.skip(f"{root} is MNN {found}, Python has {version('MNN')}")
    return Path(root).resolve()


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
