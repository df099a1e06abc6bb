"""The cores that a process may use: their kinds, their numbers, how a user names them."""

# Tested by tests/bench/test_machine.py.

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ultraface_deploy.bench.kernel import CPU, ROOT, core_numbers, number, text
from ultraface_deploy.errors import InputError

# Cores whose speed differs by less are of one kind: preferred cores and speed bins.
_SAME_KIND = 1.15


@dataclass(frozen=True)
class Cluster:
    """Cores of one kind on a big.LITTLE machine; one cluster holds all cores elsewhere."""

    name: str
    cores: tuple[int, ...]
    max_mhz: float | None


def allowed_cores() -> list[int]:
    """Return the cores this process may run on."""
    return sorted(os.sched_getaffinity(0))


def clusters(root: Path = ROOT) -> list[Cluster]:
    """Return the kinds of cores, slowest first, named little, mid and big where they differ."""
    speeds = {}
    for core in allowed_cores() if root == ROOT else core_numbers(root):
        folder = root / CPU / f"cpu{core}"
        capacity = number(folder / "cpu_capacity")
        khz = number(folder / "cpufreq/cpuinfo_max_freq")
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


def choose_cores(given: str | None, root: Path = ROOT) -> list[int]:
    """Read `--cores`: numbers as in `0,2-3`, or the name of a cluster; None for all allowed.

    Raises:
        InputError: it is neither, or names a core this process may not use.
    """
    allowed = allowed_cores()
    if given is None:
        return allowed
    named = {cluster.name: list(cluster.cores) for cluster in clusters(root)}
    cores = named.get(given) or parse_numbers(given, "cores")
    if unknown := [core for core in cores if core not in allowed]:
        raise InputError(
            f"`cores` {given}: core {unknown[0]} is not among those this process may use "
            f"({_ranges(allowed)}); clusters here: {', '.join(named)}"
        )
    return cores


def parse_numbers(given: str, name: str, smallest: int = 0) -> list[int]:
    """Read `1,2,4`, `1-4` or a mixture, in order and without repeats.

    Raises:
        InputError: it is none of these; says which parameter.
    """
    numbers: list[int] = []
    for part in given.split(","):
        first, dash, last = part.strip().partition("-")
        ends = (first, last if dash else first)
        if not all(end.isdecimal() and len(end) < 5 for end in ends):
            raise InputError(f"`{name}` {given!r}: give numbers such as 1,2,4 or 1-4")
        numbers += range(int(ends[0]), int(ends[1]) + 1)
    if not numbers or min(numbers) < smallest or max(numbers) > 1024:
        raise InputError(f"`{name}` {given!r}: give numbers from {smallest} to 1024, rising")
    return list(dict.fromkeys(numbers))


def core_quota(root: Path = ROOT) -> float | None:
    """Return how many cores' time this process may use (cgroup v2, `docker --cpus`); None for all.

    Only the cgroup that a container sees as its own is read.
    """
    quota, _, period = (text(root / "sys/fs/cgroup/cpu.max") or "max").partition(" ")
    return float(quota) / float(period) if quota.isdecimal() and period.isdecimal() else None


def _ranges(numbers: Sequence[int]) -> str:
    if len(numbers) > 1 and list(numbers) == list(range(numbers[0], numbers[-1] + 1)):
        return f"{numbers[0]}-{numbers[-1]}"
    return ",".join(map(str, numbers))
