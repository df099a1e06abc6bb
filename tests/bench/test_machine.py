from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ultraface_deploy.bench import machine
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
    assert machine.governors(board) == ["powersave"]
    assert machine.frequencies_mhz(board) == dict.fromkeys("0123", 1500.0)
    assert machine.temperature_c(board) == 61.2
    # Bits 0 and 2 are now; 16 and 18 are history, which says nothing about this run.
    assert machine.throttling(board) == ["under-voltage", "throttled"]
    facts = machine.describe(board)
    assert facts["board"] == "Raspberry Pi 5 Model B"
    assert facts["memory_mb"] == 3792


def test_names_clusters(board: Path) -> None:
    little, big = machine.clusters(board)
    assert (little.name, little.cores, little.max_mhz) == ("little", (0, 1), 1800.0)
    assert (big.name, big.cores, big.max_mhz) == ("big", (2, 3), 2400.0)


def test_invents_nothing(tmp_path: Path) -> None:
    assert machine.temperature_c(tmp_path) is None
    assert machine.energy_uj(tmp_path) is None
    assert machine.governors(tmp_path) == []
    assert machine.frequencies_mhz(tmp_path) == {}
    assert machine.throttling(tmp_path) == []


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
    assert machine.energy_uj(tmp_path) == 3_000_000


@given(st.lists(st.integers(1, 999), min_size=1, unique=True))
def test_lists_of_numbers_come_back(numbers: list[int]) -> None:
    assert machine.parse_numbers(",".join(map(str, numbers)), "--threads", 1) == numbers


@pytest.mark.parametrize(
    ("text", "expected"), [("4", [4]), ("1-4", [1, 2, 3, 4]), ("1,3-4", [1, 3, 4]), ("2,2", [2])]
)
def test_number_forms(text: str, expected: list[int]) -> None:
    assert machine.parse_numbers(text, "--threads", 1) == expected


@pytest.mark.parametrize("text", ["", "0", "a", "1-", "-1", "4-1", "1,,2", "99999", "1.5"])
def test_other_text_is_refused_with_the_option(text: str) -> None:
    with pytest.raises(InputError, match="--threads"):
        machine.parse_numbers(text, "--threads", 1)


def test_cores_must_be_allowed() -> None:
    allowed = machine.allowed_cores()
    assert machine.choose_cores(None) == allowed
    assert machine.choose_cores(str(allowed[-1])) == [allowed[-1]]
    with pytest.raises(InputError, match="--cores 1000"):
        machine.choose_cores("1000")
