"""Benchmarks: what one configuration costs on one machine, and whether that changed.

from ultraface_deploy.bench import configurations, measure
report = measure(configurations(["artifacts/slim-320"], backends=["ncnn"], threads=[1, 4]))
print(report.rows("inference")[0].median_ms)
"""

# Tested by tests/detect/test_detector.py.

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ultraface_deploy.bench.comparison import compare_reports
    from ultraface_deploy.bench.plan import configurations
    from ultraface_deploy.bench.result import BenchReport
    from ultraface_deploy.bench.run import BenchSettings, measure

# The timing child imports this package: its cold start must not pay for what it does not use.
_LAZY = {
    "BenchReport": "result",
    "BenchSettings": "run",
    "compare_reports": "comparison",
    "configurations": "plan",
    "measure": "run",
}

__all__ = ["BenchReport", "BenchSettings", "compare_reports", "configurations", "measure"]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
