"""Run artifacts on an emulated Arm core: the same faces, and how many instructions it took."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import ultraface_deploy
from ultraface_deploy.bench.emulate.sysroot import Sysroot, cpuinfo, require_programs, run_tool
from ultraface_deploy.bench.plan import Configuration
from ultraface_deploy.child import run_in_child
from ultraface_deploy.images import DEMO_PHOTO

_SOURCE = Path(__file__).with_name("counter.c")
_TIMEOUT_S = 600
# What `counter.c` counts, in its order.
_CLASSES = ("instructions", "fma", "dot_product", "integer_multiply", "load_store")


@dataclass(frozen=True)
class Count:
    """One artifact on one emulated core, one thread.

    Instructions executed by one inference, by class (Advanced SIMD and floating point), beside
    `floor`: the multiply-accumulate instructions that the network's MACs need at the least, with
    all lanes of the widest instruction for this precision that the core has. None where the
    artifact did not run; `reason` says why it did not run or does not agree.
    """

    core: str
    model: str
    artifact: str
    backend: str
    precision: str
    passed: bool
    reason: str | None
    instructions: int | None
    fma: int | None
    dot_product: int | None
    integer_multiply: int | None
    load_store: int | None
    floor: int | None
    recall: float | None
    max_abs_scores: float | None
    max_abs_boxes: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return asdict(self)


def count_instructions(
    configurations: Sequence[Configuration],
    core: str,
    macs: int | None = None,
    sysroot: Sysroot | None = None,
    on_progress: Callable[[Configuration], None] = lambda configuration: None,
) -> list[Count]:
    """Run each configuration on an emulated core, compare it with the original, and count.

    Args:
        configurations: what to run; thread counts do not matter, one thread is used.
        core: `cortex-a53`, `cortex-a72` or `cortex-a76`.
        macs: multiply-accumulates of the network, for the floor.
        sysroot: the emulated machine; None for the default one.
        on_progress: called before each configuration.

    Raises:
        MissingDependency: the emulated machine is not set up, or a program is missing.
        InputError: the core is unknown.
    """
    cpuinfo(core)
    require_programs()
    sysroot = sysroot or Sysroot.default()
    sysroot.versions()
    with tempfile.TemporaryDirectory(prefix="ultraface-arm-") as folder:
        machine = _Machine(core, sysroot, Path(folder))
        found = []
        for configuration in configurations:
            on_progress(configuration)
            found.append(machine.count(configuration, macs))
        return found


class _Machine:
    """An emulated core with the counting plugin, and a scratch folder."""

    def __init__(self, core: str, sysroot: Sysroot, scratch: Path) -> None:
        self._core = core
        self._scratch = scratch
        self._plugin = build_plugin(scratch)
        self._root = sysroot.view(core, scratch)
        self._site = sysroot.site
        self._references: dict[Path, str] = {}

    def count(self, configuration: Configuration, macs: int | None) -> Count:
        """Run one configuration; a failure is a result."""
        result, counts = self._run(self._job(configuration))
        c = configuration
        return Count(
            core=self._core,
            model=c.folder.spec.name,
            artifact=c.artifact.id,
            backend=c.backend,
            precision=c.artifact.precision,
            passed=bool(result["passed"]),
            reason=result["reason"],
            **dict(zip(_CLASSES, counts, strict=True)),
            floor=None if macs is None else floor(macs, c.artifact.precision, self._core),
            recall=result.get("recall"),
            max_abs_scores=result.get("max_abs_scores"),
            max_abs_boxes=result.get("max_abs_boxes"),
        )

    def _job(self, configuration: Configuration) -> dict[str, Any]:
        c = configuration
        return {
            "backend": c.backend,
            "files": [str(path.absolute()) for path in c.folder.files(c.artifact)],
            "spec": c.folder.spec.to_dict(),
            "precision": c.artifact.precision,
            "threads": 1,
            "image": str(DEMO_PHOTO),
            "reference": self._reference(c.folder.path),
        }

    def _reference(self, folder: Path) -> str:
        if folder not in self._references:
            target = str(self._scratch / f"{len(self._references)}.npz")
            run_in_child(
                "ultraface_deploy.bench.reference:record",
                {"folder": str(folder.absolute()), "image": str(DEMO_PHOTO), "target": target},
                what="the original network",
            )
            self._references[folder] = target
        return self._references[folder]

    def _run(self, job: dict[str, Any]) -> tuple[dict[str, Any], Sequence[int | None]]:
        paths = {name: self._scratch / name for name in ("job.json", "result.json", "counts")}
        for path in paths.values():
            path.unlink(missing_ok=True)
        paths["job.json"].write_text(json.dumps(job))
        answer = subprocess.run(
            self._command(*paths.values()),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_S,
            check=False,
        )
        nothing = (None,) * len(_CLASSES)
        if not paths["result.json"].is_file():
            lines = [line for line in answer.stderr.splitlines() if line.strip()]
            last = lines[-1].strip()[:200] if lines else "no message"
            return {"passed": False, "reason": f"exit code {answer.returncode}: {last}"}, nothing
        result = json.loads(paths["result.json"].read_text())
        if not paths["counts"].is_file():
            return result, nothing
        return result, [int(word) for word in paths["counts"].read_text().split()]

    def _command(self, job: Path, result: Path, counts: Path) -> list[str]:
        package = Path(ultraface_deploy.__file__).resolve().parent.parent
        environment = {
            "PYTHONPATH": f"{self._site}{os.pathsep}{package}",
            "PYTHONHASHSEED": "0",
            "PYTHONDONTWRITEBYTECODE": "1",
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        }
        return [
            "qemu-aarch64",
            *("-cpu", self._core, "-L", str(self._root)),
            *("-plugin", f"{self._plugin},out={counts}"),
            *(word for key, value in environment.items() for word in ("-E", f"{key}={value}")),
            str(self._root / "usr/bin/python3.11"),
            *("-m", "ultraface_deploy.bench.emulate.guest", str(job), str(result)),
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


def floor(macs: int, precision: str, core: str) -> int:
    """Return the fewest instructions that do so many multiply-accumulates.

    FMLA does 4 in FP32. Only the Cortex-A76 has FMLA on 8 halves and SDOT, which does 16 in INT8;
    the older cores do 8 in INT8 with SMLAL.
    """
    modern = core == "cortex-a76"
    lanes = {"fp32": 4, "fp16": 8 if modern else 4, "int8": 16 if modern else 8}[precision]
    return macs // lanes
