"""Makers' tools that need another Python, or gigabytes: each in an environment of its own.

They are made when the user types `tools install`, and called as child processes with files in and
out. Nothing here imports them.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout
from platformdirs import user_cache_path

from ultraface_deploy.errors import InputError, MissingDependency, ToolFailed
from ultraface_deploy.safe.child import run_program
from ultraface_deploy.safe.files import make_folder

_VARIABLE = "ULTRAFACE_DEPLOY_TOOLS"
_TIMEOUT_S = 3600.0


@dataclass(frozen=True)
class Tool:
    """A maker's tool.

    Attributes:
        name: what `tools install` calls it.
        what: what it is.
        requirements: what pip installs, the tool itself first.
        pythons: versions that it has wheels for, the best first.
        download_mb: megabytes that pip downloads.
        disk_mb: megabytes of its environment.
        index: where pip looks besides PyPI.
    """

    name: str
    what: str
    requirements: tuple[str, ...]
    pythons: tuple[str, ...]
    download_mb: int
    disk_mb: int
    index: str | None = None

    @property
    def short(self) -> str:
        """The name of its package."""
        return self.requirements[0].partition("==")[0]

    @property
    def version(self) -> str:
        """The version of its package."""
        return self.requirements[0].partition("==")[2]


TOOLS = {
    tool.name: tool
    for tool in (
        Tool(
            "k210",
            "nncase, compiler and simulator for Kendryte's K210",
            # The last one that knows the K210. numpy 1.24 has wheels for all these Pythons.
            ("nncase==1.9.0.20230322", "numpy==1.24.4"),
            ("3.10", "3.9", "3.8"),
            30,
            125,
        ),
        Tool(
            "rknn",
            "rknn-toolkit2, compiler and simulator for Rockchip's NPUs",
            # It asks for torch up to 2.4, and imports it whatever is converted; 1.12 is the last
            # whose wheel does not bring 3 GB of CUDA's packages besides.
            ("rknn-toolkit2==2.5.0", "torch==1.12.1"),
            ("3.10", "3.9", "3.8"),
            1180,
            2400,
        ),
        Tool(
            "esp",
            "esp-ppq, which writes networks for Espressif's ESP32-P4",
            # It imports torch, and asks for none itself.
            ("esp-ppq==1.3.12", "torch==2.13.0"),
            ("3.11", "3.12", "3.10"),
            280,
            1250,
            # PyPI's torch for x86-64 brings 2 GB of CUDA's packages.
            index="https://download.pytorch.org/whl/cpu",
        ),
    )
}


ABSENT = {
    "k230": "nncase 2 compiles for it, and needs .NET 7, which is no Python package; it reads "
    "MODEL.sim.onnx",
    "edgetpu": "its compiler is a program of Google's that no package registry has; it reads "
    "what converting to tflite with `int8` makes",
    "esp32s3": "with one scale for all channels of a weight other faces are found there; of its "
    "maker's esp-ppq: it reads what `head` conv makes",
    "hailo": "its compiler is for registered users alone; it reads what `head` conv makes",
    "tensorrt": "its libraries are for machines with an NVIDIA GPU; it reads MODEL.sim.onnx",
}
"""What was looked for and is not to be had: why, and what to feed the maker's own tool."""


def find_tool(name: str) -> Tool:
    """Return a tool by its name.

    Raises:
        InputError: there is none of that name.
    """
    if name in ABSENT:
        raise InputError(f"tool {name}: not offered: {ABSENT[name]}; see docs/targets.md")
    if name not in TOOLS:
        raise InputError(f"tool {name}: unknown; choose from {', '.join(TOOLS)}")
    return TOOLS[name]


def folder_of(name: str) -> Path:
    """Return where a tool's environment stands, or would."""
    configured = os.environ.get(_VARIABLE)
    parent = Path(configured) if configured else user_cache_path("ultraface-deploy") / "tools"
    return parent.absolute() / find_tool(name).name


def installed(name: str) -> Path | None:
    """Return the Python of a tool's environment, None where it is not installed."""
    python = folder_of(name) / "bin" / "python"
    return python if python.exists() else None


def require(name: str) -> Path:
    """Return the Python of a tool's environment.

    Raises:
        MissingDependency: it is not installed; names the command that does it.
    """
    python = installed(name)
    if python is None:
        tool = find_tool(name)
        raise MissingDependency(
            f"{tool.what}, is not installed: ultraface-deploy tools install {name} "
            f"({tool.download_mb} MB, Python {' or '.join(tool.pythons)})"
        )
    return python


def find_python(tool: Tool) -> Path:
    """Return a Python that a tool has wheels for: on the PATH, or one of pyenv's.

    Raises:
        MissingDependency: there is none.
    """
    for version, candidate in _candidates(tool):
        if _is_python(candidate, version):
            return candidate
    raise MissingDependency(
        f"tool {tool.name} needs Python {' or '.join(tool.pythons)} with its module venv, and none "
        f"is on the PATH or among pyenv's; install one, for example: pyenv install "
        f"{tool.pythons[0]}"
    )


def _candidates(tool: Tool) -> Iterator[tuple[str, Path]]:
    for version in tool.pythons:
        if found := shutil.which(f"python{version}"):
            yield version, Path(found)
        for each in sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python")):
            yield version, each


def _is_python(candidate: Path, version: str) -> bool:
    """Whether a program is that Python and can make environments."""
    ask = "import sys, ensurepip, venv; print('{}.{}'.format(*sys.version_info))"
    try:
        said = run_program(
            [str(candidate), "-I", "-c", ask], what=candidate.name, cwd=Path(tempfile.gettempdir())
        )
    except ToolFailed:  # pyenv's stand-ins are on the PATH for versions that are not chosen
        return False
    return said.strip() == version


def install(name: str, report: Callable[[str], None] = lambda message: None) -> Path:
    """Make a tool's environment; it appears whole or not at all.

    Args:
        name: of the tool.
        report: told what is found, downloaded and where it goes.

    Returns:
        Its Python.

    Raises:
        InputError: there is no such tool.
        MissingDependency: there is no Python for it.
        ToolFailed: pip failed; carries its last line.
    """
    tool, target = find_tool(name), folder_of(name)
    if (there := installed(name)) is not None:
        report(f"{name} is installed already: {target}")
        return there
    python = find_python(tool)
    report(f"{tool.what}: {', '.join(tool.requirements)}")
    places = " and ".join(filter(None, ("PyPI", tool.index)))
    report(f"with {python}; {tool.download_mb} MB from {places}, {tool.disk_mb} MB in {target}")
    make_folder(target.parent, _VARIABLE)
    with alone(target, report) as scratch:
        if (there := installed(name)) is not None:
            return there
        made = scratch / name
        run_program([str(python), "-m", "venv", str(made)], what="venv", cwd=target.parent)
        pip = [str(made / "bin" / "python"), "-m", "pip", "install", "--no-input", "--quiet"]
        options = ["--disable-pip-version-check", "--only-binary", ":all:"]
        # Without it all is found on PyPI too; so nobody waits for it long.
        also = ["--extra-index-url", tool.index, "--retries", "1"] if tool.index else []
        command = [*pip, *options, *also, *tool.requirements]
        run_program(command, what="pip", cwd=target.parent, timeout=_TIMEOUT_S)
        made.rename(target)
    return require(name)


@contextmanager
def alone(target: Path, report: Callable[[str], None]) -> Iterator[Path]:
    """Yield a folder beside a folder that is to be made, while nobody else makes it.

    What killed runs left goes first.

    Args:
        target: the folder to be made.
        report: told that another run is waited for; it may have made the folder.
    """
    lock = FileLock(target.with_name(f".{target.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        report(f"another run is installing {target.name}; waiting for its end")
        lock.acquire()
    try:
        for left in target.parent.glob(f".{target.name}-*"):
            shutil.rmtree(left, ignore_errors=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as scratch:
            yield Path(scratch)
    finally:
        lock.release()


def remove(name: str) -> bool:
    """Remove a tool's environment; returns whether there was one.

    Of a link to one elsewhere the link goes.

    Raises:
        InputError: there is no such tool, or it cannot be removed, in whole or in part.
    """
    there = folder_of(name)
    if not os.path.lexists(there):
        return False
    try:
        # Under another name first: half of it must not pass for the whole.
        scratch = Path(tempfile.mkdtemp(dir=there.parent, prefix=f".{name}-"))
        try:
            there.rename(scratch / name)
        finally:
            shutil.rmtree(scratch)
    except OSError as error:
        reason = f"{error.filename or there}: {error.strerror}"
        raise InputError(f"{there}: cannot be removed ({reason}); remove it yourself") from error
    return True
