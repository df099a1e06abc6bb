"""The simulator of Kendryte's K210, by its maker: a check. It counts no cycles."""

# Tested by tests/converters/kmodel/test_kmodel.py.

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ultraface_deploy.agreement.precision import Precision
from ultraface_deploy.backends.base import Session
from ultraface_deploy.backends.tool import ToolBackend, ToolSession
from ultraface_deploy.family.spec import ModelSpec

SCRIPT = Path(__file__).with_name("k210_script.py")


class K210(ToolBackend):
    """Runs `.kmodel` files in nncase's simulator."""

    name = tool = "k210"
    formats = ("kmodel",)
    distribution = "nncase"

    def _load(
        self, files: Sequence[Path], spec: ModelSpec, threads: int, precision: Precision
    ) -> Session:
        return ToolSession(spec, self.tool, SCRIPT, ["simulate", str(files[0].resolve())])


BACKEND = K210()
