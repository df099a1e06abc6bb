"""What the machine is: recorded beside every result.

Every function reads below `root`, so that tests can show it another machine. What a machine does
not expose is None or absent, never a guess.
"""

from __future__ import annotations

import os
import platform
import socket
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ultraface_deploy.backends import backend_names, get_backend
from ultraface_deploy.bench.cores import allowed_cores, clusters, core_quota
from ultraface_deploy.bench.kernel import ROOT, text

# The features that decide which kernels a runtime picks, as /proc/cpuinfo spells them.
_FEATURES = frozenset(
    (
        *("sse4_2", "avx", "avx2", "fma", "f16c", "avx512f", "avx512_vnni", "avx512_bf16"),
        *("avx_vnni", "amx_int8"),
        *("neon", "asimd", "fphp", "asimdhp", "asimddp", "i8mm", "bf16", "sve", "sve2"),
    )
)


def describe(root: Path = ROOT) -> dict[str, Any]:
    """Return the facts that do not change during a run."""
    allowed = allowed_cores()
    return {
        "hostname": socket.gethostname(),
        "cpu": cpu_model(root),
        "architecture": platform.machine(),
        "features": cpu_features(root),
        "cores": os.cpu_count(),
        "allowed_cores": allowed,
        "clusters": [
            {"name": c.name, "cores": list(c.cores), "max_mhz": c.max_mhz} for c in clusters(root)
        ],
        "core_quota": core_quota(root),
        "memory_mb": _memory_mb(root),
        "board": text(root / "proc/device-tree/model"),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "libraries": library_versions(),
    }


def cpu_model(root: Path = ROOT) -> str:
    """Return the processor's name; on Arm its implementer and part numbers."""
    fields = _cpuinfo(root)
    for key in ("model name", "Model", "Hardware"):
        if name := fields.get(key):
            return name
    if part := fields.get("CPU part"):
        return f"implementer {fields.get('CPU implementer', '?')} part {part}"
    return platform.processor() or platform.machine()


def cpu_features(root: Path = ROOT) -> list[str]:
    """Return the instruction-set features that matter to inference kernels."""
    fields = _cpuinfo(root)
    found = (fields.get("flags") or fields.get("Features") or "").split()
    return sorted(_FEATURES.intersection(found))


def library_versions() -> dict[str, str]:
    """Return the versions of the packages that decide about speed."""
    backends = [get_backend(name) for name in backend_names()]
    found = {backend.distribution: backend.version() for backend in backends}
    return {"numpy": version("numpy")} | {
        name: number for name, number in found.items() if number is not None
    }


def _cpuinfo(root: Path) -> dict[str, str]:
    fields: dict[str, str] = {}
    for line in (text(root / "proc/cpuinfo") or "").splitlines():
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())
    return fields


def _memory_mb(root: Path) -> int | None:
    for line in (text(root / "proc/meminfo") or "").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) // 1024
    return None
