"""The original network in torch: the reference that every artifact is compared with."""

# Tested by tests/backends/test_runtimes.py.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ultraface_deploy.agreement.precision import Precision
from ultraface_deploy.backends.base import Backend, Session, Tensor
from ultraface_deploy.family.spec import ModelSpec

if TYPE_CHECKING:
    from torch import nn


class _Session(Session):
    def __init__(self, spec: ModelSpec, network: nn.Module, threads: int) -> None:
        super().__init__(spec)
        self._network = network
        self.batch = None
        self._threads = threads

    def _run(self, tensor: Tensor) -> Mapping[str, Tensor]:
        import torch

        # torch has one thread pool for the whole process, which may be training beside us.
        before = torch.get_num_threads()
        torch.set_num_threads(self._threads)
        try:
            with torch.inference_mode():
                outputs = self._network(torch.from_numpy(tensor))
        finally:
            torch.set_num_threads(before)
        named = zip(self.spec.outputs, outputs, strict=True)
        return {name: output.numpy() for name, output in named}


class Torch(Backend):
    """Runs the checkpoint itself, at any input size and with either head."""

    name = "torch"
    formats = ("torch",)
    runs_original = True
    module = "torch"
    distribution = "torch"
    extra = "convert"

    def _load(
        self, files: Sequence[Path], spec: ModelSpec, threads: int, precision: Precision
    ) -> Session:
        from ultraface_deploy.family.checkpoint import load_checkpoint
        from ultraface_deploy.family.nets import deployed

        return _Session(
            spec, deployed(load_checkpoint(files[0], size_known=True).build(), spec), threads
        )


BACKEND = Torch()
