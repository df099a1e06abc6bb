"""Running Vela, and what it reports."""

from __future__ import annotations

import csv
import json
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ultraface_deploy.errors import InputError, ToolFailed
from ultraface_deploy.safe.child import run_program
from ultraface_deploy.safe.text import counted

ACCELERATORS = (
    *(f"ethos-u55-{macs}" for macs in (32, 64, 128, 256)),
    *(f"ethos-u65-{macs}" for macs in (256, 512)),
    *(f"ethos-u85-{macs}" for macs in (128, 256, 512, 1024, 2048)),
)
_ON_CPU = re.compile(r"^CPU operators = (\d+)", re.MULTILINE)
_ON_NPU = re.compile(r"^NPU operators = (\d+)", re.MULTILINE)


def require_accelerator(name: str) -> None:
    """Refuse an accelerator that Vela does not know.

    Raises:
        InputError: names those that it does.
    """
    if name not in ACCELERATORS:
        raise InputError(f"`accelerator` {name}: unknown; choose from {', '.join(ACCELERATORS)}")


def compile_for(accelerator: str, source: Path, target: Path, report: Path) -> None:
    """Compile an INT8 `.tflite` and write Vela's estimate as JSON.

    Raises:
        ToolFailed: Vela failed, or left operators to the processor beside the NPU.
    """
    folder = target.parent / "vela"
    folder.mkdir()
    try:
        command = [sys.executable, "-m", "ethosu.vela", str(source)]
        options = ["--accelerator-config", accelerator, "--output-dir", str(folder)]
        output = run_program([*command, *options], what="Vela", cwd=folder)
        made = folder / f"{source.stem}_vela.tflite"
        summaries = list(folder.glob("*_summary_*.csv"))
        on_cpu, on_npu = _ON_CPU.search(output), _ON_NPU.search(output)
        if not (made.is_file() and len(summaries) == 1 and on_cpu and on_npu):
            raise ToolFailed("Vela ended without a file, or without its report")
        if int(on_cpu[1]):
            raise ToolFailed(
                f"Vela leaves {counted(int(on_cpu[1]), 'operator')} to the processor beside the NPU"
            )
        (row,) = csv.DictReader(summaries[0].read_text().splitlines())
        report.write_text(json.dumps(_estimate(row, int(on_npu[1])), indent=2) + "\n")
        shutil.move(made, target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _estimate(row: Mapping[str, str], operators: int) -> dict[str, Any]:
    def kilobytes(*kinds: str) -> float:
        return round(sum(float(row[f"{kind}_memory_used"]) for kind in kinds), 1)

    return {
        "by": "Vela, not measured",
        "accelerator": row["accelerator_configuration"],
        "system": row["system_config"],
        "memory_mode": row["memory_mode"],
        "clock_mhz": float(row["core_clock"]) / 1e6,
        # Vela 4 writes it with a decimal point.
        "cycles": round(float(row["cycles_total"])),
        "milliseconds": round(float(row["inference_time"]) * 1e3, 3),
        "sram_kib": kilobytes("sram"),
        "dram_kib": kilobytes("dram"),
        "flash_kib": kilobytes("on_chip_flash", "off_chip_flash"),
        "npu_operators": operators,
        "cpu_operators": 0,
    }


def read_estimate(report: Path) -> Mapping[str, Any]:
    """Read what `compile_for` wrote just now."""
    estimate: Mapping[str, Any] = json.loads(report.read_text())
    return estimate
