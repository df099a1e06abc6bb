"""Half floats in INT8 artifacts: left on where the faces agree on an emulated core that has them.

ncnn and MNN compute in floats what an INT8 artifact leaves to floats, and on a processor with
arithmetic in half floats they can do it in halves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ultraface_deploy.artifacts.choose import runtimes_of
from ultraface_deploy.artifacts.folder import Artifact, ArtifactFolder
from ultraface_deploy.bench.count.instructions import Machine, emulated
from ultraface_deploy.bench.count.sysroot import CORES, Sysroot, cpuinfo, require_programs
from ultraface_deploy.bench.plan import Configuration
from ultraface_deploy.converters import get_format
from ultraface_deploy.errors import InputError

# Emulated, a photograph takes seconds.
_PHOTOGRAPHS = 64


def require_halves(core: str) -> None:
    """Refuse a core on which there is nothing to try, or that cannot be emulated yet.

    Raises:
        InputError: the core is unknown, or has no arithmetic in half floats.
        MissingDependency: the emulated machine is not set up.
    """
    if not _has_halves(core):
        able = ", ".join(name for name in CORES if _has_halves(name))
        raise InputError(f"`core` {core}: has no arithmetic in half floats; choose {able}")
    require_programs()
    Sysroot.default().versions()


def try_halves(
    folder: ArtifactFolder,
    core: str,
    photographs: Sequence[Path] = (),
    sysroot: Sysroot | None = None,
    formats: Sequence[str] = (),
    report: Callable[[str], None] = lambda message: None,
) -> ArtifactFolder:
    """Run each INT8 artifact on an emulated core with its runtime's half floats on.

    The manifest keeps how the faces agree with the original network's and what it saves. An
    artifact that agrees and executes fewer instructions is from then on run so, wherever the
    processor has such arithmetic.

    Args:
        folder: the artifacts.
        core: for example `cortex-a76`.
        photographs: what to compare on besides the photographs that ship; of many, some.
        sysroot: the emulated machine; None for the default one.
        formats: whose artifacts; none for all.
        report: called with a line for each artifact.

    Returns:
        The folder with what was found.

    Raises:
        InputError: no INT8 artifact of the folder runs on a runtime with half floats.
    """
    tried = [
        (artifact, backend.name)
        for artifact in folder.artifacts
        for backend in runtimes_of(artifact.format, artifact.precision)
        if artifact.precision == "int8"
        and backend.halves
        and backend.available()
        and (not formats or artifact.format in formats)
    ]
    if not tried:
        raise InputError(
            f"{folder.path}: `core` {core} is for INT8 of ncnn and MNN, and there is none; "
            "convert to ncnn with `int8`"
        )
    every = -(-len(photographs) // _PHOTOGRAPHS) or 1
    with emulated(core, sysroot, photographs[::every]) as machine:
        for artifact, backend in tried:
            found = _try(machine, folder, artifact, backend, core)
            folder = folder.amend(replace(artifact, halves={**artifact.halves, core: found}))
            report(_line(artifact.id, core, found))
    return folder


def planned_in_vain(folder: ArtifactFolder, core: str) -> list[str]:
    """Return the formats whose INT8 was planned for half floats that are off: they do not pay."""
    return [
        artifact.format
        for artifact in folder.artifacts
        if core in artifact.halves and not artifact.halves[core]["passed"]
        for int8 in (get_format(artifact.format).int8,)
        if int8 is not None and int8.budgets_in_halves
    ]


def _has_halves(core: str) -> bool:
    return "asimdhp" in cpuinfo(core).split()


def _try(
    machine: Machine, folder: ArtifactFolder, artifact: Artifact, backend: str, core: str
) -> dict[str, Any]:
    """Return the comparison with the original in half floats, and both instruction counts."""
    counts: list[int | None] = []
    result: dict[str, Any] = {}
    tries: tuple[Mapping[str, Any], ...] = ({}, {core: {"passed": True}})
    for halves in tries:
        candidate = Configuration(folder, replace(artifact, halves=halves), backend, 1)
        result, (instructions, *_) = machine.run(candidate)
        counts.append(instructions)
    before, after = counts
    reason = result["reason"]
    if reason is None and before is not None and after is not None and after >= before:
        reason = "saves no instructions"
    passed = reason is None
    found = {**result, "artifact": artifact.id, "passed": passed, "reason": reason}
    return {**found, "instructions": after, "instructions_without": before}


def _line(artifact: str, core: str, found: dict[str, Any]) -> str:
    start = f"{artifact:<14} in half floats on an emulated {core}: "
    if not found["passed"]:
        return f"{start}off, {found['reason']}"
    with_halves, without = (found[key] / 1e6 for key in ("instructions", "instructions_without"))
    return (
        f"{start}on, faces {found['detections']} of {found['reference_detections']}, "
        f"{with_halves:.1f} instead of {without:.1f} million instructions"
    )
