"""ncnn on the CPU."""

# Tested by tests/backends/test_runtimes.py.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ultraface_deploy.agreement.precision import Precision
from ultraface_deploy.backends.base import Backend, Session, Tensor
from ultraface_deploy.errors import BackendError
from ultraface_deploy.family.spec import ModelSpec


class _Session(Session):
    def __init__(self, spec: ModelSpec, net: Any) -> None:
        super().__init__(spec)
        self._net = net
        self._input = net.input_names()[0]
        # The order of output_names() is not fixed: everything is bound by name or by shape.
        self._outputs = list(net.output_names())

    def _run(self, tensor: Tensor) -> Mapping[str, Tensor]:
        import ncnn

        outputs = {}
        with self._net.create_extractor() as extractor:
            extractor.input(self._input, ncnn.Mat(tensor[0]))
            for name in self._outputs:
                status, mat = extractor.extract(name)
                if status != 0:
                    raise BackendError(f"ncnn cannot compute {name}, status {status}")
                outputs[name] = np.array(mat, dtype=np.float32)
        return outputs


class Ncnn(Backend):
    """Runs `.param` + `.bin` pairs."""

    name = "ncnn"
    formats = ("ncnn",)
    halves = True
    module = "ncnn"
    distribution = "ncnn"
    extra = "ncnn"
    wheels = ("ncnn",)

    def _load(
        self, files: Sequence[Path], spec: ModelSpec, threads: int, precision: Precision
    ) -> Session:
        import ncnn

        net = ncnn.Net()
        # Options count only before load_param. ncnn computes in fp16 by itself on cores that
        # can; an artifact stored in fp32 is promised to compute in fp32.
        half = precision == "fp16"
        net.opt.num_threads = threads
        net.opt.use_vulkan_compute = False
        net.opt.use_fp16_packed = half
        net.opt.use_fp16_storage = half
        net.opt.use_fp16_arithmetic = half
        net.opt.use_bf16_storage = False
        param, weights = files
        if net.load_param(str(param)) != 0:
            raise BackendError(f"ncnn cannot read {param.name}; convert it again")
        if net.load_model(str(weights)) != 0:
            raise BackendError(f"ncnn cannot read {weights.name}; convert it again")
        return _Session(spec, net)


BACKEND = Ncnn()
