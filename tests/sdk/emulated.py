"""The Python pipeline on an emulated Arm core, for the C++ on that core to be compared with."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from ultraface_deploy.agreement.precision import Precision
from ultraface_deploy.bench.count.instructions import emulated_python
from ultraface_deploy.bench.count.sysroot import Sysroot, require_programs
from ultraface_deploy.errors import MissingDependency
from ultraface_deploy.pipeline import Faces
from ultraface_deploy.sdk import Runtime

GUEST = Path(__file__).with_name("guest.py")


def faces_on(
    core: str,
    artifacts: Path,
    runtime: Runtime,
    precision: Precision,
    photographs: Sequence[Path],
    scratch: Path,
) -> list[Faces]:
    """Return the faces of photographs; skips the test where there is no emulated machine."""
    try:
        require_programs()
        sysroot = Sysroot.default()
        sysroot.versions()
    except MissingDependency as error:
        pytest.skip(str(error))
    done = subprocess.run(
        [
            *emulated_python(core, sysroot, scratch),
            str(GUEST),
            *(str(artifacts), runtime, precision, *map(str, photographs)),
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return [
        Faces(np.array(boxes, np.float32).reshape(-1, 4), np.array(scores), np.array(labels))
        for boxes, scores, labels in json.loads(done.stdout.splitlines()[-1])
    ]
