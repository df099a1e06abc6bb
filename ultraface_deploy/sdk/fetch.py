"""The source of the runtime that a project is built against, downloaded when the user asks."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from ultraface_deploy.backends import get_backend
from ultraface_deploy.errors import InputError, ToolFailed
from ultraface_deploy.sdk.project import Runtime

SOURCE = "ncnn-source"
_TIMEOUT_S = 600.0
Run = Callable[..., "subprocess.CompletedProcess[str]"]


def require_fetchable(runtime: Runtime) -> None:
    """Refuse a runtime whose source no package registry has.

    Raises:
        InputError: it is MNN; says where its source is. It is C; it needs none.
        MissingDependency: ncnn is not installed, so that nothing says which version.
    """
    if runtime == "c":
        raise InputError("`fetch_runtime`: c needs no runtime; leave it out")
    if runtime != "ncnn":
        raise InputError(
            f"`fetch_runtime`: the source of {runtime} is in no package registry; get a release "
            "from https://github.com/alibaba/MNN"
        )
    get_backend(runtime).require()


def fetch_ncnn(target: Path, run: Run = subprocess.run) -> None:
    """Download the source of the installed version of ncnn and unpack it.

    pip alone refuses it: the setup.py of ncnn states the day of the build as its version, which is
    not the one that was asked for. With --no-clean pip leaves what it unpacked all the same.

    Args:
        target: folder to create.
        run: what starts pip, like `subprocess.run`.

    Raises:
        InputError: the folder is there already.
        ToolFailed: pip did not get it; carries pip's last line.
    """
    if target.exists():
        raise InputError(f"{target}: is there already; remove it first")
    wanted = f"ncnn=={get_backend('ncnn').version()}"
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".ncnn.") as scratch:
        try:
            pip = run(
                [
                    *(sys.executable, "-m", "pip", "download", "--no-clean", "--no-deps"),
                    *("--no-binary", "ncnn", wanted, "--dest", f"{scratch}/wheels"),
                ],
                env={**os.environ, "TMPDIR": scratch},
                capture_output=True,
                text=True,
                timeout=_TIMEOUT_S,
            )
        except subprocess.TimeoutExpired as error:
            raise ToolFailed(f"pip download {wanted}: no end after {_TIMEOUT_S:.0f} s") from error
        found = [path.parent for path in Path(scratch).glob("pip-*/ncnn_*/CMakeLists.txt")]
        if not found:
            last = (pip.stderr.strip().splitlines() or ["pip said nothing"])[-1]
            raise ToolFailed(f"pip download {wanted}: {last}; is there a network?")
        shutil.move(found[0], target)
