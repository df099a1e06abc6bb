"""What runs inside the emulated machine: load, compare, mark one inference.

python -m ultraface_deploy.bench.count.guest JOB.json RESULT.json
"""

# Tested by tests/bench/count/test_instructions.py.

from __future__ import annotations

import ctypes
import gc
import json
import sys
from pathlib import Path
from typing import Any

# As in counter.c.
_MARK = 0x55460000
_WARM_UP = 2


def main() -> None:
    """Do the job and write the result; an error is a result."""
    job = json.loads(Path(sys.argv[1]).read_text())
    try:
        result = _measure(job)
    except Exception as error:  # whatever a runtime raises is one line in the report
        lines = str(error).strip().splitlines() or [type(error).__name__]
        result = {"reason": lines[0][:300]}
    Path(sys.argv[2]).write_text(json.dumps(result))


def _measure(job: dict[str, Any]) -> dict[str, Any]:
    from ultraface_deploy.agreement.faces import f1_score
    from ultraface_deploy.bench.worker import Runner
    from ultraface_deploy.pipeline import preprocess
    from ultraface_deploy.safe.images import read_image

    runner = Runner(job)
    original = runner.verify(Path(job["original"]))
    here = runner.verify(Path(job["here"]))
    session = runner.session
    tensor = preprocess(read_image(Path(job["image"])), session.spec)
    for _ in range(_WARM_UP):
        session.run(tensor)
    gc.collect()
    gc.disable()
    mark = ctypes.CDLL(None).getpgid
    mark(_MARK)
    session.run(tensor)
    mark(_MARK + 1)
    return original | {
        "reason": original["reason"] or _unlike_here(here),
        "as_here": f1_score(here["recall"], here["precision"]),
    }


def _unlike_here(here: dict[str, Any]) -> str | None:
    return None if here["passed"] else f"unlike on the machine that emulates: {here['reason']}"


if __name__ == "__main__":
    main()
