"""What a machine is doing: governors, frequencies, temperature, throttling, energy."""

# Tested by tests/bench/test_machine.py.

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from ultraface_deploy.bench.kernel import CPU, ROOT, core_numbers, number, text

_POWER_SAVING = frozenset({"powersave", "conservative"})
# With these drivers `powersave` is the usual governor, which scales up to full speed; kernel
# documentation, admin-guide/pm/intel_pstate and amd-pstate.
_SCALES_IN_POWERSAVE = frozenset({"intel_pstate", "amd-pstate-epp"})
_VCGENCMD_TIMEOUT_S = 5.0
# Meaning of the bits of `vcgencmd get_throttled`, Raspberry Pi documentation.
_THROTTLED_BITS = {
    0: "under-voltage",
    1: "frequency capped",
    2: "throttled",
    3: "soft temperature limit",
}


def governors(root: Path = ROOT, cores: Sequence[int] | None = None) -> list[str]:
    """Return the frequency governors of some cores or of all; empty where the kernel shows none."""
    chosen = core_numbers(root) if cores is None else cores
    texts = (text(root / CPU / f"cpu{core}/cpufreq/scaling_governor") for core in chosen)
    return sorted({said for said in texts if said})


def power_saving(root: Path = ROOT, cores: Sequence[int] | None = None) -> list[str]:
    """Return those of the governors in use that keep a core from its full speed."""
    if text(root / CPU / "cpu0/cpufreq/scaling_driver") in _SCALES_IN_POWERSAVE:
        return []
    return sorted(_POWER_SAVING.intersection(governors(root, cores)))


def frequencies_mhz(root: Path = ROOT) -> dict[str, float]:
    """Return the present frequency of each core that shows it."""
    found = {}
    for core in core_numbers(root):
        khz = number(root / CPU / f"cpu{core}/cpufreq/scaling_cur_freq")
        if khz is not None:
            found[str(core)] = round(khz / 1000, 1)
    return found


def temperature_c(root: Path = ROOT) -> float | None:
    """Return the hottest thermal zone in degrees Celsius."""
    zones = (root / "sys/class/thermal").glob("thermal_zone*/temp")
    values = [value / 1000 for zone in zones if (value := number(zone)) is not None]
    return max(values) if values else None


def throttle_bits(root: Path = ROOT) -> int | None:
    """Return what `vcgencmd get_throttled` says; None where the machine has no such thing.

    The low bits hold now, those from 16 on have held since start-up.
    """
    if said := text(root / "sys/devices/platform/soc/soc:firmware/get_throttled"):
        return _hexadecimal(said)
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
    paths = (root / CPU).glob("cpu[0-9]*/thermal_throttle/core_throttle_count")
    counts = [count for path in paths if (count := number(path)) is not None]
    return int(sum(counts)) if counts else None


def energy_uj(root: Path = ROOT) -> float | None:
    """Return the energy meters' reading in microjoules; only differences mean something.

    RAPL packages, or else hwmon energy meters; None where neither can be read.
    """
    zones = sorted((root / "sys/class/powercap").glob("intel-rapl:[0-9]*/energy_uj"))
    # A zone `psys` holds the packages too, and zones below a package are parts of it.
    rapl = [zone for zone in zones if (text(zone.parent / "name") or "").startswith("package")]
    meters = rapl or sorted((root / "sys/class/hwmon").glob("hwmon*/energy*_input"))
    values = [number(path) for path in meters]
    if not values or any(value is None for value in values):
        return None
    return float(sum(value for value in values if value is not None))


def _hexadecimal(said: str) -> int | None:
    try:
        return int(said, 16)
    except ValueError:
        return None
