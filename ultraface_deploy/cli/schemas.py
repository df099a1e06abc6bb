"""Write the JSON Schemas of manifests and results: python -m ultraface_deploy.cli.schemas FOLDER.

They are made from the same records that read and write the files.
"""

from __future__ import annotations

import sys
from pathlib import Path

from ultraface_deploy.accuracy.result import EvalFile
from ultraface_deploy.agreement.comparison import Comparisons
from ultraface_deploy.artifacts.folder import Manifest
from ultraface_deploy.bench.count.report import CountReport
from ultraface_deploy.bench.result import BenchFile
from ultraface_deploy.bench.submission import Submission
from ultraface_deploy.safe.files import make_folder, write_text
from ultraface_deploy.safe.records import encode, json_schema

KINDS = {
    "manifest": (Manifest, "manifest.json of an artifact folder"),
    "bench": (BenchFile, "result of bench --json"),
    "count": (CountReport, "result of bench count --json"),
    "eval": (EvalFile, "result of eval --json"),
    "submission": (Submission, "result of bench submit"),
    "verify": (Comparisons, "result of verify --json"),
}


def schemas() -> dict[str, str]:
    """Return the text of each schema by its file name."""
    return {f"{name}.schema.json": encode(json_schema(*of)) for name, of in KINDS.items()}


def main(folder: str) -> None:
    """Write them all into a folder."""
    make_folder(Path(folder))
    for name, text in schemas().items():
        write_text(Path(folder) / name, text)


if __name__ == "__main__":
    main(*sys.argv[1:])
