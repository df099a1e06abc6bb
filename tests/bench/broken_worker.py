"""The timing child, broken: it crashes, or its session returns garbage at once or later."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from ultraface_deploy.backends import Outputs, Session
from ultraface_deploy.backends.base import Tensor
from ultraface_deploy.bench import worker
from ultraface_deploy.bench.reference import Recorded

VERIFIED_RUNS = 30


def break_after(runs: int) -> None:
    """Let sessions of this process run so often, and then find every anchor a face."""
    run = Session.run
    done = 0

    def broken(self: Session, tensor: Tensor) -> Outputs:
        nonlocal done
        if isinstance(self, Recorded):
            return run(self, tensor)
        done += 1
        if done <= runs:
            return run(self, tensor)
        scores = np.tile(np.float32([0.1, 0.9]), (1, self.spec.num_anchors, 1))
        return {"scores": scores, "boxes": np.ones((1, self.spec.num_anchors, 4), np.float32)}

    Session.run = broken  # type: ignore[method-assign]


def crash_at_the_end(backend: str) -> None:
    """End without an answer when the last question comes, on one backend."""
    made = worker.Runner.__init__

    def init(self: worker.Runner, job: dict[str, Any]) -> None:
        made(self, job)
        if job["backend"] == backend:
            worker.peak_rss_mb = lambda: sys.exit(3)

    worker.Runner.__init__ = init  # type: ignore[method-assign]


if __name__ == "__main__":
    how = sys.argv[1]
    if how == "crash":
        sys.exit(3)
    if how.startswith("at-the-end-"):
        crash_at_the_end(how.removeprefix("at-the-end-"))
    else:
        break_after({"at-once": 0, "later": VERIFIED_RUNS}[how])
    worker.main()
