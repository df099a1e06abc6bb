"""The emulated machine: what is said before anything is downloaded, and what each core shows."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ultraface_deploy.bench.count import sysroot
from ultraface_deploy.bench.count.sysroot import (
    Sysroot,
    cpuinfo,
    describe_setup,
    missing_programs,
    require_programs,
)
from ultraface_deploy.errors import InputError, MissingDependency


def test_each_core_shows_its_own_part() -> None:
    assert "CPU part\t: 0xd08" in cpuinfo("cortex-a72")
    assert "asimddp" in cpuinfo("cortex-a76")
    assert "asimddp" not in cpuinfo("cortex-a53")
    with pytest.raises(InputError, match="cortex-a57"):
        cpuinfo("cortex-a57")


def test_without_set_up_it_says_how(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = Sysroot(tmp_path / "arm")
    with pytest.raises(MissingDependency, match="bench count --setup"):
        empty.versions()
    assert "about 90 MB" in describe_setup(empty)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert missing_programs() == ["qemu-user", "mmdebstrap", "gcc"]
    with pytest.raises(MissingDependency, match="apt-get install"):
        require_programs()


def test_a_machine_without_what_the_package_needs_is_renewed(tmp_path: Path) -> None:
    (tmp_path / "wheels.json").write_text(json.dumps({"numpy": "2.0"}))
    with pytest.raises(MissingDependency, match=r"lacks msgspec; renew it with: .* --setup"):
        Sysroot(tmp_path).versions()


def test_of_two_set_ups_at_once_the_second_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits, tools = threading.Event(), []

    def tool(command: Sequence[str]) -> None:
        tools.append(command[0])
        assert waits.wait(10)

    def report(message: str) -> None:
        if "another run" in message:
            waits.set()

    monkeypatch.setattr(sysroot, "run_tool", tool)
    monkeypatch.setattr(sysroot, "missing_programs", list)
    monkeypatch.setattr(sysroot, "require_programs", lambda: None)
    there = Sysroot(tmp_path / "arm")
    (there.path / "old").mkdir(parents=True)
    with ThreadPoolExecutor(2) as threads:
        for run in [threads.submit(sysroot.set_up, there, report) for _ in range(2)]:
            run.result()
    assert tools == ["mmdebstrap", sys.executable]
    assert sysroot.is_current(there) and not (there.path / "old").exists()
    assert [path.name for path in tmp_path.glob("[!.]*")] == ["arm"]
