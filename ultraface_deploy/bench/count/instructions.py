"""Run artifacts on an emulated Arm core: the same faces, and how many instructions it took."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ultraface_deploy.agreement.precision import precision_record
from ultraface_deploy.artifacts.folder import ArtifactFolder
from ultraface_deploy.bench.cost import cost_of_onnx
from ultraface_deploy.bench.count.sysroot import (
    Sysroot,
    cpuinfo,
    emulated_backends,
    require_programs,
    run_tool,
)
from ultraface_deploy.bench.layout import installed_files
from ultraface_deploy.bench.plan import Configuration
from ultraface_deploy.errors import BackendError, InputError, MissingDependency, ToolFailed
from ultraface_deploy.safe.child import run_in_child
from ultraface_deploy.safe.files import make_folder
from ultraface_deploy.safe.images import DEMO_PHOTO
from ultraface_deploy.safe.records import Amount, Natural, Strict

_SOURCE = Path(__file__).with_name("counter.c")
_TIMEOUT_S = 600
# What `counter.c` counts, in its order.
_CLASSES = ("instructions", "fma", "dot_product", "integer_multiply", "load_store")
_NOTHING: Sequence[int | None] = (None,) * len(_CLASSES)


@dataclass(frozen=True)
class Count(Strict):
    """One artifact on one emulated core, one thread.

    Instructions executed by one inference, by class (Advanced SIMD and floating point), beside
    `floor`: the multiply-accumulate instructions that the network's MACs need at the least, with
    all lanes of the widest instruction for this precision that the core has. None where the
    artifact did not run.

    It passed when it agrees with the original network and with what the same artifact computes
    on this machine; `reason` says what is wrong. Recall and differences are from the original,
    `as_here` is the F1 of the faces against those that the artifact finds here. `halves` says that
    the rest of an INT8 artifact was computed in half floats.
    """

    core: str
    model: str
    artifact: str
    backend: str
    precision: str
    passed: bool
    reason: str | None
    instructions: Natural | None
    fma: Natural | None
    dot_product: Natural | None
    integer_multiply: Natural | None
    load_store: Natural | None
    floor: Natural | None
    recall: Amount | None
    max_abs_scores: Amount | None
    max_abs_boxes: Amount | None
    as_here: Amount | None
    images: Natural | None
    sha256: dict[str, str]
    halves: bool = False


def count_instructions(
    configurations: Sequence[Configuration],
    core: str,
    sysroot: Sysroot | None = None,
    photographs: Sequence[Path] = (),
    on_progress: Callable[[Configuration], None] = lambda configuration: None,
) -> list[Count]:
    """Run each configuration on an emulated core, compare it with the original, and count.

    Args:
        configurations: what to run; thread counts do not matter, one thread is used.
        core: `cortex-a53`, `cortex-a72` or `cortex-a76`.
        sysroot: the emulated machine; None for the default one.
        photographs: what to compare on besides the photographs that ship.
        on_progress: called before each configuration.

    Raises:
        MissingDependency: the emulated machine is not set up, or a program is missing.
        InputError: the core is unknown, or a backend cannot run there.
    """
    cpuinfo(core)
    for name in dict.fromkeys(configuration.backend for configuration in configurations):
        if name not in emulated_backends():
            raise InputError(
                f"bench count: {name} does not come for emulated cores; "
                f"choose from {', '.join(emulated_backends())}"
            )
    with emulated(core, sysroot, photographs) as machine:
        found = []
        for configuration in configurations:
            on_progress(configuration)
            found.append(machine.count(configuration))
        return found


@contextmanager
def emulated(
    core: str, sysroot: Sysroot | None = None, photographs: Sequence[Path] = ()
) -> Iterator[Machine]:
    """Yield an emulated core; the arguments are those of `count_instructions`.

    Raises:
        MissingDependency: the emulated machine is not set up, or a program is missing.
    """
    require_programs()
    sysroot = sysroot or Sysroot.default()
    sysroot.versions()
    with tempfile.TemporaryDirectory(prefix="ultraface-arm-") as scratch:
        yield Machine(core, sysroot, photographs, scratch)


class Machine:
    """An emulated core with the counting plugin, and a scratch folder."""

    def __init__(
        self, core: str, sysroot: Sysroot, photographs: Sequence[Path], scratch: str
    ) -> None:
        self._core = core
        self._photographs = [str(path.absolute()) for path in photographs]
        self._scratch = Path(scratch)
        self._plugin = build_plugin(self._scratch)
        self._python = emulated_python(core, sysroot, self._scratch)
        self._recorded: dict[tuple[str | None, ...], str] = {}

    def count(self, configuration: Configuration) -> Count:
        """Run one configuration; a failure is a result."""
        c = configuration
        result, counts = self.run(c)
        macs = _macs(c.folder)
        return Count(
            core=self._core,
            model=c.model,
            artifact=c.artifact.id,
            backend=c.backend,
            precision=c.artifact.precision,
            passed=result["reason"] is None,
            reason=result["reason"],
            **dict(zip(_CLASSES, counts, strict=True)),
            floor=None if macs is None else floor(macs, c.artifact.precision, self._core),
            recall=result.get("recall"),
            max_abs_scores=result.get("max_abs_scores"),
            max_abs_boxes=result.get("max_abs_boxes"),
            as_here=result.get("as_here"),
            images=result.get("images"),
            sha256=dict(c.artifact.sha256),
            halves=result.get("halves", False),
        )

    def run(self, configuration: Configuration) -> tuple[dict[str, Any], Sequence[int | None]]:
        """Run one configuration; return how it agrees, `reason` where not, and the counts."""
        try:
            return self._run(self._job(configuration))
        except (BackendError, ToolFailed) as error:
            return {"reason": str(error)}, _NOTHING

    def _job(self, configuration: Configuration) -> dict[str, Any]:
        c = configuration
        return {
            "backend": c.backend,
            "files": [str(path.absolute()) for path in c.folder.files(c.artifact)],
            "spec": c.folder.spec.to_dict(),
            "precision": c.artifact.precision,
            "halves": c.artifact.passed_in_halves,
            "threads": 1,
            "image": str(DEMO_PHOTO),
            "original": self._record(c.folder.path),
            "here": self._record(c.folder.path, c.artifact.id, c.backend),
        }

    def _record(self, folder: Path, artifact: str | None = None, backend: str | None = None) -> str:
        """Return the file with what the original, or an artifact, computes on this machine."""
        key = (str(folder.absolute()), artifact, backend)
        if key not in self._recorded:
            target = str(self._scratch / f"{len(self._recorded)}.npz")
            arguments = {
                "folder": key[0],
                "images": self._photographs,
                "target": target,
                "artifact": artifact,
                "backend": backend,
            }
            what = "the original network" if backend is None else f"{artifact} on {backend}"
            run_in_child("ultraface_deploy.bench.reference:record", arguments, what=what)
            self._recorded[key] = target
        return self._recorded[key]

    def _run(self, job: dict[str, Any]) -> tuple[dict[str, Any], Sequence[int | None]]:
        paths = {name: self._scratch / name for name in ("job.json", "result.json", "counts")}
        for path in paths.values():
            path.unlink(missing_ok=True)
        paths["job.json"].write_text(json.dumps(job))
        try:
            answer = subprocess.run(
                self._command(*paths.values()),
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return {"reason": f"took longer than {_TIMEOUT_S} s"}, _NOTHING
        if not paths["result.json"].is_file():
            lines = [line for line in answer.stderr.splitlines() if line.strip()]
            last = lines[-1].strip()[:200] if lines else "no message"
            return {"reason": f"exit code {answer.returncode}: {last}"}, _NOTHING
        result = json.loads(paths["result.json"].read_text())
        if not paths["counts"].is_file():
            return result, _NOTHING
        return result, [int(word) for word in paths["counts"].read_text().split()]

    def _command(self, job: Path, result: Path, counts: Path) -> list[str]:
        return [
            *self._python[:1],
            *("-plugin", f"{self._plugin},out={counts}"),
            *self._python[1:],
            *("-m", "ultraface_deploy.bench.count.guest", str(job), str(result)),
        ]


def emulated_python(core: str, sysroot: Sysroot, scratch: Path) -> list[str]:
    """Return the command of a Python on an emulated core, which can import this package.

    Args:
        core: for example `cortex-a72`.
        sysroot: the emulated machine.
        scratch: folder for its root, and for a copy of the package in the layout of an install.
    """
    root, package = sysroot.view(core, scratch), scratch / "package"
    for name, path in installed_files():
        make_folder((package / name).parent)
        shutil.copyfile(path, package / name)
    environment = {
        "PYTHONPATH": f"{sysroot.site}{os.pathsep}{package}",
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    return [
        *("qemu-aarch64", "-cpu", core, "-L", str(root)),
        *(word for key, value in environment.items() for word in ("-E", f"{key}={value}")),
        str(root / "usr/bin/python3.11"),
    ]


def build_plugin(folder: Path) -> Path:
    """Compile the counting plugin, a second's work.

    Raises:
        ToolFailed: the compiler refused it.
    """
    plugin = folder / "counter.so"
    command = ["cc", "-shared", "-fPIC", "-O2", "-fvisibility=hidden", "-Wall", "-Wextra"]
    run_tool([*command, "-o", str(plugin), str(_SOURCE)])
    return plugin


def _macs(folder: ArtifactFolder) -> int | None:
    if not folder.has("onnx"):
        return None
    try:
        return cost_of_onnx(folder.files(folder.find("onnx"))[0]).macs
    except MissingDependency:
        return None


def floor(macs: int, precision: str, core: str) -> int:
    """Return the fewest instructions that do so many multiply-accumulates.

    Of these cores only the Cortex-A76 has arithmetic in halves and dot products.
    """
    return macs // precision_record(precision).macs[core == "cortex-a76"]
