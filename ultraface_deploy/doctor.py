"""What is installed here and what this processor can do."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ultraface_deploy import __version__
from ultraface_deploy.backends import backend_names, get_backend
from ultraface_deploy.converters import get_converter, target_names
from ultraface_deploy.errors import MissingDependency

# What the runtimes choose their kernels by, as /proc/cpuinfo spells it.
_FEATURES = (
    *("sse4_2", "avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "f16c", "fma"),
    *("neon", "asimd", "fphp", "asimdhp", "asimddp", "i8mm", "bf16", "sve", "sve2"),
)


def examine() -> dict[str, Any]:
    """Return versions, processor, backends and converters, with advice for what is missing."""
    return {
        "schema": 1,
        "version": __version__,
        "machine": {
            "python": platform.python_version(),
            "system": f"{platform.system()} {platform.machine()}",
            "cpu": cpu_model(),
            "cores": len(os.sched_getaffinity(0)),
            "features": cpu_features(),
        },
        "backends": [_backend(name) for name in backend_names()],
        "converters": [_converter(name) for name in target_names()],
    }


def cpu_model() -> str:
    """Return the processor's name: the kernel's, the board's, or the machine type."""
    names = ("model name", "Model", "Hardware")
    fields = _cpuinfo()
    return next((fields[name] for name in names if name in fields), platform.machine())


def cpu_features() -> list[str]:
    """Return those of the processor's features that decide how fast a network runs."""
    fields = _cpuinfo()
    present = set((fields.get("flags") or fields.get("Features") or "").split())
    return [feature for feature in _FEATURES if feature in present]


def _cpuinfo() -> dict[str, str]:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return {}
    pairs = (line.split(":", 1) for line in reversed(lines) if ":" in line)
    return {key.strip(): value.strip() for key, value in pairs}


def _backend(name: str) -> dict[str, str | None]:
    backend = get_backend(name)
    missing = None
    try:
        backend.require()
    except MissingDependency as error:
        missing = str(error)
    return {
        "name": name,
        "version": backend.version(),
        "reads": ", ".join(backend.formats),
        "missing": missing,
    }


def _converter(name: str) -> dict[str, str | None]:
    try:
        converter = get_converter(name)
        package = converter.missing()
    except MissingDependency as error:
        return {"name": name, "version": None, "reads": "", "missing": str(error)}
    advice = None
    if package:
        advice = str(MissingDependency.package(package, converter.extra, f"converting to {name}"))
    return {
        "name": name,
        "version": _version(converter.packages[0]),
        "reads": converter.source,
        "missing": advice,
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
