"""The suites: what is measured for the tables that people compare boards by.

python -m ultraface_deploy.benchmarks.suites published-table
python -m ultraface_deploy.benchmarks.suites size-sweep --json sweep.json
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from ultraface_deploy.agreement.precision import Precision
from ultraface_deploy.bench.plan import configurations
from ultraface_deploy.bench.result import BenchReport
from ultraface_deploy.bench.run import measure
from ultraface_deploy.bench.tables import to_markdown
from ultraface_deploy.benchmarks.command import command
from ultraface_deploy.safe.files import write_text


@dataclass(frozen=True)
class Suite:
    """A set of configurations; `backends` None means every installed one."""

    about: str
    models: tuple[str, ...]
    backends: tuple[str, ...] | None
    precisions: tuple[Precision, ...] = ("fp32",)
    threads: tuple[int, ...] = (1,)
    input_sizes: tuple[tuple[int, int], ...] = ()


SUITES = {
    "published-table": Suite(
        "the published Raspberry Pi table: MNN INT8 at 320x240 on 1 to 4 cores",
        models=("slim-320", "rfb-320"),
        backends=("mnn",),
        precisions=("int8",),
        threads=(1, 2, 3, 4),
    ),
    "size-sweep": Suite(
        "one core, from 128x96 to 640x480",
        models=("slim-320",),
        backends=("onnxruntime", "mnn", "ncnn"),
        input_sizes=((128, 96), (160, 120), (320, 240), (480, 360), (640, 480)),
    ),
    "all-backends": Suite(
        "every backend on one core",
        models=("slim-320", "rfb-320"),
        backends=None,
    ),
}


def run(suite: Suite) -> BenchReport:
    """Convert what is missing, then measure."""
    found = configurations(
        suite.models, suite.backends, suite.precisions, suite.threads, suite.input_sizes, _note
    )
    return measure(found, on_progress=lambda now: _note(f"{now.done}/{now.total} {now.doing}"))


def _note(message: str) -> None:
    print(message, file=sys.stderr)


def main() -> None:
    """Run the suite that was named and print its table."""
    about = "\n".join(f"{name}: {suite.about}" for name, suite in SUITES.items())
    form = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, epilog=about, formatter_class=form)
    parser.add_argument("suite", choices=SUITES)
    parser.add_argument("--json", type=Path, help="keep the result in this file")
    asked = parser.parse_args()
    report = run(SUITES[asked.suite])
    if asked.json:
        write_text(asked.json, report.to_json())
    print(to_markdown(report), end="")
    sys.exit(bool(report.failures))


if __name__ == "__main__":
    command(main)
