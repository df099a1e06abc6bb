"""Runs commands on disks that are too small, as root: `python -m tests.faults.full`.

Each ends in one line and leaves what is whole; with more room the same command succeeds.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.conftest import ROOT
from tests.faults.kill import VICTIMS, Victim

# Half of what a complete result takes fills up in its middle; 8 kB at its first file.
_SHARES = (0.0, 0.25, 0.5, 0.75, 0.95)


def fill(victim: Victim) -> list[str]:
    """Run a command on disks of several sizes and return how each run ended.

    Raises:
        AssertionError: a traceback, half a file, or no success where there is room.
    """
    victim.target.mkdir(exist_ok=True)
    _mount(victim.target, 64 << 10)
    code, said = _run(victim)
    assert code == 0, said
    used = sum(path.stat().st_size for path in victim.target.rglob("*") if path.is_file()) // 1024
    expected = victim.result(victim.target)
    _unmount(victim.target)
    outcomes = []
    for share in _SHARES:
        _mount(victim.target, 8 + int(share * used))
        try:
            outcomes.append(_full_then_roomy(victim, expected))
        finally:
            _unmount(victim.target)
    return outcomes


def _full_then_roomy(victim: Victim, expected: object) -> str:
    code, said = _run(victim)
    # 1: MNN's converter writes half a file and reports success; comparing it tells.
    outcome, last = code, (said.strip().splitlines() or [""])[-1]
    assert code in (0, 1, 2) and "Traceback" not in said, said
    assert code == 0 or last.startswith("error: "), said
    assert victim.problem(victim.target) is None
    subprocess.run(["mount", "-o", "remount,size=64m", victim.target], check=True)
    code, said = _run(victim)
    assert code == 0, said
    assert victim.result(victim.target) == expected
    return f"{outcome}: {last}"


def _mount(target: Path, kilobytes: int) -> None:
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", target], check=True
    )


def _unmount(target: Path) -> None:
    subprocess.run(["umount", target], check=True)


def _run(victim: Victim) -> tuple[int, str]:
    environment = {"PYTHONPATH": str(ROOT), "ULTRAFACE_DEPLOY_CACHE": str(victim.target)}
    done = subprocess.run(
        [sys.executable, "-m", *victim.command],
        cwd=ROOT,
        env=os.environ | environment | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stderr


def main() -> None:
    """Print one line of JSON a command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--command", action="append", choices=sorted(VICTIMS))
    for name in parser.parse_args().command or VICTIMS:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps({"command": name, "ended": fill(VICTIMS[name](Path(folder)))}))


if __name__ == "__main__":
    main()
