"""What the machine does meanwhile: processor, memory, temperature."""

# Tested by tests/serve/test_app.py.

from __future__ import annotations

from pathlib import Path

import psutil

from ultraface_deploy.bench.kernel import ROOT
from ultraface_deploy.bench.meters import temperature_c


class Board:
    """Reads them; the processor's load is that since the last reading."""

    def __init__(self, root: Path = ROOT) -> None:
        self._root = root
        self._process = psutil.Process()
        self.read()

    def read(self) -> dict[str, float | None]:
        """Return percent of all cores, percent of one core, MB, and degrees Celsius where known."""
        return {
            "cpu_percent": psutil.cpu_percent(),
            "own_cpu_percent": self._process.cpu_percent(),
            "own_memory_mb": round(self._process.memory_info().rss / 1e6, 1),
            "temperature_c": temperature_c(self._root),
        }
