"""The benchmark itself on a board, started by `board.py` with the toolkit beside it.

python -m ultraface_deploy.bench.on_board JOB.json REPORT.json
"""

# Tested by tests/bench/test_remote.py.

from __future__ import annotations

import json
import sys
from pathlib import Path

from ultraface_deploy.artifacts.folder import ArtifactFolder
from ultraface_deploy.bench.cores import choose_cores
from ultraface_deploy.bench.plan import Configuration
from ultraface_deploy.bench.run import BenchProgress, BenchSettings, measure
from ultraface_deploy.errors import UltraFaceError


def main() -> None:
    """Measure what the job names; progress goes to standard error."""
    job = json.loads(Path(sys.argv[1]).read_text())
    try:
        folders = [ArtifactFolder.open(name) for name in job["folders"]]
        found = [
            Configuration(folders[index], folders[index].get(artifact), backend, threads, name)
            for index, artifact, backend, threads, name in job["configurations"]
        ]
        image = str(Path(job["settings"]["image"]).absolute())
        settings = BenchSettings(**(job["settings"] | {"image": image}))
        report = measure(found, settings, choose_cores(job["cores"]), _tell)
    except UltraFaceError as error:
        sys.exit(str(error))
    Path(sys.argv[2]).write_text(report.to_json())


def _tell(now: BenchProgress) -> None:
    line = f"@progress {now.done} {now.total} {now.doing}"
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
