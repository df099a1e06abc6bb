from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ultraface_deploy.bench import cores, machine, meters
from ultraface_deploy.errors import InputError


@pytest.fixture
def board(tmp_path: Path) -> Path:
    """The files that a board with two little and two big cores shows."""
    files = {
        "proc/cpuinfo": "processor\t: 0\nFeatures\t: fp asimd asimddp crc32\n"
        "CPU implementer\t: 0x41\nCPU part\t: 0xd0b\n",
        "proc/meminfo": "MemTotal:        3884012 kB\n",
        "proc/device-tree/model": "Raspberry Pi 5 Model B\0",
        "sys/class/thermal/thermal_zone0/temp": "48300\n",
        "sys/class/thermal/thermal_zone1/temp": "61200\n",
        "sys/devices/platform/soc/soc:firmware/get_throttled": "50005\n",
    }
    for core in range(4):
        cpu = f"sys/devices/system/cpu/cpu{core}"
        files |= {
            f"{cpu}/cpu_capacity": "1024" if core >= 2 else "446",
            f"{cpu}/cpufreq/cpuinfo_max_freq": "2400000" if core >= 2 else "1800000",
            f"{cpu}/cpufreq/scaling_cur_freq": "1500000",
            f"{cpu}/cpufreq/scaling_governor": "powersave\n",
        }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_reads_a_board(board: Path) -> None:
    assert machine.cpu_model(board) == "implementer 0x41 part 0xd0b"
    assert machine.cpu_features(board) == ["asimd", "asimddp"]
    assert meters.governors(board) == ["powersave"]
    assert meters.frequencies_mhz(board) == dict.fromkeys("0123", 1500.0)
    assert meters.temperature_c(board) == 61.2
    # Bits 0 and 2 are now; 16 and 18 are history.
    assert meters.throttle_bits(board) == 0x50005
    assert meters.power_saving(board) == ["powersave"]
    facts = machine.describe(board)
    assert facts["board"] == "Raspberry Pi 5 Model B"
    assert facts["memory_mb"] == 3792


@pytest.mark.parametrize(
    ("cpuinfo", "model", "features"),
    [
        (
            "processor : 0\nmodel name : Some CPU @ 2 GHz\nflags : fpu avx2 fma f16c avx512_vnni\n",
            "Some CPU @ 2 GHz",
            ["avx2", "avx512_vnni", "f16c", "fma"],
        ),
        (
            "processor\t: 0\nModel name\t: ignored\n"
            "Features\t: fp asimd asimddp\n\nModel\t\t: Pi\n",
            "Pi",
            ["asimd", "asimddp"],
        ),
        ("flags : amx_int8 avx avx512_bf16\n", None, ["amx_int8", "avx", "avx512_bf16"]),
        ("", None, []),
    ],
    ids=["x86", "arm", "all that any reader knew", "nothing"],
)
def test_processor(tmp_path: Path, cpuinfo: str, model: str | None, features: list[str]) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text(cpuinfo)
    assert machine.cpu_model(tmp_path) == model or (model is None and machine.cpu_model(tmp_path))
    assert machine.cpu_features(tmp_path) == features


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (0x50005, 0x50005, ["under-voltage", "throttled"]),
        (0x50000, 0x50000, []),
        # It came and went between two looks: only the memory of it is new.
        (0x10000, 0x50000, ["throttled"]),
        (0, 0xE0008, ["frequency capped", "throttled", "soft temperature limit"]),
        (None, None, []),
    ],
)
def test_throttling_between_two_readings(
    before: int | None, after: int | None, expected: list[str]
) -> None:
    assert meters.throttling(before, after) == expected


@pytest.mark.parametrize(
    "script", ["exit 255", "echo 'VCHI initialization failed'", "echo throttled=soon", "sleep 9"]
)
def test_a_vcgencmd_that_does_not_tell_is_no_answer(
    script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "vcgencmd"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(meters, "_VCGENCMD_TIMEOUT_S", 0.2)
    assert meters.throttle_bits() is None


def test_powersave_of_a_driver_that_scales_by_itself_saves_nothing(board: Path) -> None:
    (board / "sys/devices/system/cpu/cpu0/cpufreq/scaling_driver").write_text("intel_pstate\n")
    assert meters.governors(board) == ["powersave"]
    assert meters.power_saving(board) == []


def test_only_the_governors_of_the_cores_in_use_count(board: Path) -> None:
    for core in (2, 3):
        path = board / f"sys/devices/system/cpu/cpu{core}/cpufreq/scaling_governor"
        path.write_text("performance\n")
    assert meters.power_saving(board, [2, 3]) == []
    assert meters.power_saving(board, [0, 2]) == ["powersave"]


def test_preferred_cores_are_no_cluster_of_their_own(tmp_path: Path) -> None:
    for core, khz in enumerate((5_137_000, 5_137_000, 5_010_000, 4_890_000)):
        path = tmp_path / f"sys/devices/system/cpu/cpu{core}/cpufreq/cpuinfo_max_freq"
        path.parent.mkdir(parents=True)
        path.write_text(str(khz))
    (cluster,) = cores.clusters(tmp_path)
    assert (cluster.name, cluster.cores, cluster.max_mhz) == ("all", (0, 1, 2, 3), 5137.0)


@pytest.mark.parametrize(
    ("text", "expected"), [("150000 100000", 1.5), ("max 100000", None), ("", None)]
)
def test_quota_of_a_container(text: str, expected: float | None, tmp_path: Path) -> None:
    path = tmp_path / "sys/fs/cgroup/cpu.max"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert cores.core_quota(tmp_path) == expected


def test_names_clusters(board: Path) -> None:
    little, big = cores.clusters(board)
    assert (little.name, little.cores, little.max_mhz) == ("little", (0, 1), 1800.0)
    assert (big.name, big.cores, big.max_mhz) == ("big", (2, 3), 2400.0)


def test_invents_nothing(tmp_path: Path) -> None:
    assert meters.temperature_c(tmp_path) is None
    assert meters.energy_uj(tmp_path) is None
    assert meters.governors(tmp_path) == []
    assert meters.frequencies_mhz(tmp_path) == {}
    assert meters.throttle_bits(tmp_path) is None
    assert meters.throttle_count(tmp_path) is None
    assert cores.core_quota(tmp_path) is None
    assert cores.clusters(tmp_path) == []


@pytest.mark.parametrize(
    "names",
    [
        ["powercap/intel-rapl:0/energy_uj", "powercap/intel-rapl:1/energy_uj"],
        ["hwmon/hwmon0/energy1_input", "hwmon/hwmon0/energy2_input"],
    ],
)
def test_sums_energy_meters(names: list[str], tmp_path: Path) -> None:
    for value, name in enumerate(names, start=1):
        path = tmp_path / "sys/class" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{value}000000\n")
        (path.parent / "name").write_text(f"package-{value - 1}\n")
    psys = tmp_path / "sys/class/powercap/intel-rapl:9"
    psys.mkdir(parents=True)
    (psys / "name").write_text("psys\n")
    (psys / "energy_uj").write_text("9000000\n")
    assert meters.energy_uj(tmp_path) == 3_000_000


@given(st.lists(st.integers(1, 999), min_size=1, unique=True))
def test_lists_of_numbers_come_back(numbers: list[int]) -> None:
    assert cores.parse_numbers(",".join(map(str, numbers)), "threads", 1) == numbers


@pytest.mark.parametrize(
    ("text", "expected"), [("4", [4]), ("1-4", [1, 2, 3, 4]), ("1,3-4", [1, 3, 4]), ("2,2", [2])]
)
def test_number_forms(text: str, expected: list[int]) -> None:
    assert cores.parse_numbers(text, "threads", 1) == expected


@pytest.mark.parametrize("text", ["", "0", "a", "1-", "-1", "4-1", "1,,2", "99999", "1.5"])
def test_other_text_is_refused_with_the_option(text: str) -> None:
    with pytest.raises(InputError, match="`threads`"):
        cores.parse_numbers(text, "threads", 1)


def test_cores_must_be_allowed() -> None:
    allowed = cores.allowed_cores()
    assert cores.choose_cores(None) == allowed
    assert cores.choose_cores(str(allowed[-1])) == [allowed[-1]]
    with pytest.raises(InputError, match="`cores` 1000"):
        cores.choose_cores("1000")
