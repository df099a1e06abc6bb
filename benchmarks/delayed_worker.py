"""The timing child with a delay in every inference: a slow-down of known size to be found.

python -m ultraface_deploy.benchmarks.delayed_worker 1.10
"""

# Tested by tests/bench/test_run.py.

from __future__ import annotations

import sys
import time

from ultraface_deploy.backends import Outputs, Session
from ultraface_deploy.backends.base import Tensor
from ultraface_deploy.bench import worker


def delay(factor: float) -> None:
    """Make every session of this process take `factor` times as long, by spinning."""
    run = Session.run
    clock = time.perf_counter_ns

    def delayed(self: Session, tensor: Tensor) -> Outputs:
        start = clock()
        outputs = run(self, tensor)
        end = clock()
        until = end + (end - start) * (factor - 1)
        while clock() < until:
            pass
        return outputs

    Session.run = delayed  # type: ignore[method-assign]


if __name__ == "__main__":
    delay(float(sys.argv[1]))
    worker.main()
