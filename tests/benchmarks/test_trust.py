from __future__ import annotations

import time

import numpy as np

from ultraface_deploy.artifacts.folder import ArtifactFolder
from ultraface_deploy.bench.plan import configurations
from ultraface_deploy.benchmarks.trust import _Spin, overhead


def test_the_known_inference_takes_its_millisecond(folder: ArtifactFolder) -> None:
    spin = _Spin(folder.spec)
    began = time.perf_counter()
    outputs = spin.run(np.zeros(folder.spec.input_shape, np.float32))
    assert time.perf_counter() - began >= 1e-3
    assert outputs["scores"].shape == (1, folder.spec.num_anchors, folder.spec.num_classes)


def test_the_overhead_is_a_share_of_it(folder: ArtifactFolder) -> None:
    (configuration,) = configurations([folder.path], ["onnxruntime"])
    # The clock cannot run less than the spin; how much more is for the suite to say, not a test.
    assert overhead(configuration) >= 0
