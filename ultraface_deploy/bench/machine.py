"""What the machine is and what it was doing: recorded beside every result.

Every function reads below `root`, so that tests can show it another machine. What a machine does
not expose is None or absent, never a guess.
"""

from __future__ import annotations

import os
import platform
import shutil
import socket
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ultraface_deploy.backends import backend_names, get_backend
from ultraface_deploy.errors import InputError

ROOT = Path("/")
_CPU = "sys/devices/system/cpu"
_POWER_SAVING = frozenset({"powersave", "conservative"})
# With these drivers `powersave` is the usual governor, which scales up to full speed; kernel
# documentation, admin-guide/pm/intel_pstate and amd-pstate.
_SCALES_IN_POWERSAVE = frozenset({"intel_pstate", "amd-pstate-epp"})
# Cores whose speed differs by less are of one kind: preferred cores and speed bins.
_SAME_KIND = 1.15
# The features that decide which kernels a runtime picks, as /proc/cpuinfo spells them.
_FEATURES = frozenset(
    (
        *("sse4_2", "avx", "avx2", "fma", "f16c", "avx512f", "avx512_vnni", "avx512_bf16"),
        *("avx_vnni", "amx_int8"),
        *("neon", "asimd", "fphp", "asimdhp", "asimddp", "i8mm", "bf16", "sve", "sve2"),
    )
)
_VCGENCMD_TIMEOUT_S = 5.0
# Meaning of the bits of `vcgencmd get_throttled`, Raspberry Pi documentation.
_THROTTLED_BITS = {
    0: "under-voltage",
    1: "frequency capped",
    2: "throttled",
    3: "soft temperature limit",
}


@dataclass(frozen=True)
class Cluster:
    """Cores of one kind on a big.LITTLE machine; one cluster holds all cores elsewhere."""

    name: str
    cores: tuple[int, ...]
    max_mhz: float | None


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
        "board": _text(root / "proc/device-tree/model"),
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


def allowed_cores() -> list[int]:
    """Return the cores this process may run on."""
    return sorted(os.sched_getaffinity(0))


def clusters(root: Path = ROOT) -> list[Cluster]:
    """Return the kinds of cores, slowest first, named little, mid and big where they differ."""
    speeds = {}
    for core in allowed_cores() if root == ROOT else _core_numbers(root):
        folder = root / _CPU / f"cpu{core}"
        capacity = _number(folder / "cpu_capacity")
        khz = _number(folder / "cpufreq/cpuinfo_max_freq")
        speeds[core] = (capacity or 0.0, 0.0 if khz is None else khz / 1000)
    kinds: list[list[int]] = []
    for core in sorted(speeds, key=lambda core: (speeds[core], core)):
        if kinds and _one_kind(speeds[kinds[-1][0]], speeds[core]):
            kinds[-1].append(core)
        else:
            kinds.append([core])
    names = {1: ["all"], 2: ["little", "big"], 3: ["little", "mid", "big"]}.get(
        len(kinds), [f"cluster{index}" for index in range(len(kinds))]
    )
    return [
        Cluster(name, tuple(sorted(cores)), max(speeds[core][1] for core in cores) or None)
        for name, cores in zip(names, kinds, strict=True)
    ]


def _one_kind(slow: tuple[float, float], fast: tuple[float, float]) -> bool:
    return all(b <= a * _SAME_KIND for a, b in zip(slow, fast, strict=True))


def choose_cores(text: str | None, root: Path = ROOT) -> list[int]:
    """Read `--cores`: numbers as in `0,2-3`, or the name of a cluster; None for all allowed.

    Raises:
        InputError: the text is neither, or names a core this process may not use.
    """
    allowed = allowed_cores()
    if text is None:
        return allowed
    named = {cluster.name: list(cluster.cores) for cluster in clusters(root)}
    cores = named.get(text) or parse_numbers(text, "cores")
    if unknown := [core for core in cores if core not in allowed]:
        raise InputError(
            f"`cores` {text}: core {unknown[0]} is not among those this process may use "
            f"({_ranges(allowed)}); clusters here: {', '.join(named)}"
        )
    return cores


def parse_numbers(text: str, name: str, smallest: int = 0) -> list[int]:
    """Read `1,2,4`, `1-4` or a mixture, in order and without repeats.

    Raises:
        InputError: it is none of these; says which parameter.
    """
    numbers: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        ends = (first, last if dash else first)
        if not all(end.isdecimal() and len(end) < 5 for end in ends):
            raise InputError(f"`{name}` {text!r}: give numbers such as 1,2,4 or 1-4")
        numbers += range(int(ends[0]), int(ends[1]) + 1)
    if not numbers or min(numbers) < smallest or max(numbers) > 1024:
        raise InputError(f"`{name}` {text!r}: give numbers from {smallest} to 1024, rising")
    return list(dict.fromkeys(numbers))


def governors(root: Path = ROOT, cores: Sequence[int] | None = None) -> list[str]:
    """Return the frequency governors of some cores or of all; empty where the kernel shows none."""
    chosen = _core_numbers(root) if cores is None else cores
    texts = (_text(root / _CPU / f"cpu{core}/cpufreq/scaling_governor") for core in chosen)
    return sorted({text for text in texts if text})


def power_saving(root: Path = ROOT, cores: Sequence[int] | None = None) -> list[str]:
    """Return those of the governors in use that keep a core from its full speed."""
    if _text(root / _CPU / "cpu0/cpufreq/scaling_driver") in _SCALES_IN_POWERSAVE:
        return []
    return sorted(_POWER_SAVING.intersection(governors(root, cores)))


def core_quota(root: Path = ROOT) -> float | None:
    """Return how many cores' time this process may use (cgroup v2, `docker --cpus`); None for all.

    Only the cgroup that a container sees as its own is read.
    """
    quota, _, period = (_text(root / "sys/fs/cgroup/cpu.max") or "max").partition(" ")
    return float(quota) / float(period) if quota.isdecimal() and period.isdecimal() else None


def frequencies_mhz(root: Path = ROOT) -> dict[str, float]:
    """Return the present frequency of each core that shows it."""
    found = {}
    for core in _core_numbers(root):
        khz = _number(root / _CPU / f"cpu{core}/cpufreq/scaling_cur_freq")
        if khz is not None:
            found[str(core)] = round(khz / 1000, 1)
    return found


def temperature_c(root: Path = ROOT) -> float | None:
    """Return the hottest thermal zone in degrees Celsius."""
    zones = (root / "sys/class/thermal").glob("thermal_zone*/temp")
    values = [value / 1000 for zone in zones if (value := _number(zone)) is not None]
    return max(values) if values else None


def throttle_bits(root: Path = ROOT) -> int | None:
    """Return what `vcgencmd get_throttled` says; None where the machine has no such thing.

    The low bits hold now, those from 16 on have held since start-up.
    """
    if text := _text(root / "sys/devices/platform/soc/soc:firmware/get_throttled"):
        return _hexadecimal(text)
    if root != ROOT or shutil.which("vcgencmd") is None:
        return None
    try:
        answer = subprocess.run(
            ["vcgencmd", "get_throttled"],
            capture_output=True,
            text=True,
            timeout=_VCGENCMD_TIMEOUT_S,
            check=False,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    name, _, value = answer.strip().partition("=")
    return _hexadecimal(value) if name == "throttled" else None


def throttling(before: int | None, after: int | None) -> list[str]:
    """Say what slowed the processor down between two readings of `throttle_bits`."""
    first, last = before or 0, after or 0
    happened = first | last | (last & ~first) >> 16
    return [meaning for bit, meaning in _THROTTLED_BITS.items() if happened >> bit & 1]


def throttle_count(root: Path = ROOT) -> int | None:
    """Return how often x86 cores throttled since start-up; None where it is not counted."""
    paths = (root / _CPU).glob("cpu[0-9]*/thermal_throttle/core_throttle_count")
    counts = [count for path in paths if (count := _number(path)) is not None]
    return int(sum(counts)) if counts else None


def energy_uj(root: Path = ROOT) -> float | None:
    """Return the energy meters' reading in microjoules; only differences mean something.

    RAPL packages, or else hwmon energy meters; None where neither can be read.
    """
    zones = sorted((root / "sys/class/powercap").glob("intel-rapl:[0-9]*/energy_uj"))
    # A zone `psys` holds the packages too, and zones below a package are parts of it.
    rapl = [zone for zone in zones if (_text(zone.parent / "name") or "").startswith("package")]
    meters = rapl or sorted((root / "sys/class/hwmon").glob("hwmon*/energy*_input"))
    values = [_number(path) for path in meters]
    if not values or any(value is None for value in values):
        return None
    return float(sum(value for value in values if value is not None))


def library_versions() -> dict[str, str]:
    """Return the versions of the packages that decide about speed."""
    backends = [get_backend(name) for name in backend_names()]
    found = {backend.distribution: backend.version() for backend in backends}
    return {"numpy": version("numpy")} | {
        name: number for name, number in found.items() if number is not None
    }


def _hexadecimal(text: str) -> int | None:
    try:
        return int(text, 16)
    except ValueError:
        return None


def _cpuinfo(root: Path) -> dict[str, str]:
    fields: dict[str, str] = {}
    for line in (_text(root / "proc/cpuinfo") or "").splitlines():
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())
    return fields


def _core_numbers(root: Path) -> list[int]:
    names: Iterable[str] = (path.name[3:] for path in (root / _CPU).glob("cpu[0-9]*"))
    return sorted(int(name) for name in names if name.isdecimal())


def _memory_mb(root: Path) -> int | None:
    for line in (_text(root / "proc/meminfo") or "").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) // 1024
    return None


def _number(path: Path) -> float | None:
    text = _text(path)
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


def _text(path: Path) -> str | None:
    try:
        return path.read_text().strip("\0\n ")
    except (OSError, UnicodeDecodeError):
        return None


def _ranges(numbers: Sequence[int]) -> str:
    if len(numbers) > 1 and list(numbers) == list(range(numbers[0], numbers[-1] + 1)):
        return f"{numbers[0]}-{numbers[-1]}"
    return ",".join(map(str, numbers))
