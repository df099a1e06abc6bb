from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.quantize.conftest import Case
from tests.quantize.helpers import run_onnx, tensor_of
from ultraface_deploy.quantize.equalize import equalization_factors, equalize


def test_keeps_the_function(case: Case, photos: list[Path]) -> None:
    factors = equalization_factors(case.network, case.table.absmax)
    equalized = equalize(case.network, factors)
    tensor = tensor_of(photos[0], case.spec)
    wanted, found = run_onnx(case.model, tensor), run_onnx(case.onnx(equalized), tensor)
    np.testing.assert_allclose(found["scores"], wanted["scores"], atol=2e-5)
    np.testing.assert_allclose(found["boxes"], wanted["boxes"], atol=2e-4)
    assert factors


def test_channels_that_depthwise_layers_read_get_one_range(slim: Case) -> None:
    factors = equalization_factors(slim.network, slim.table.absmax)
    for name, factor in factors.items():
        readers = slim.network.readers(name)
        assert readers
        if not all(reader.depthwise for reader in readers):
            continue
        scaled = slim.table.absmax[name] * factor
        free = (slim.table.absmax[name] > 0) & (factor < 64)
        np.testing.assert_allclose(scaled[free], scaled.max(), rtol=1e-5)


def test_dead_channels_stay_as_they_are(slim: Case) -> None:
    absmax = {name: values * 0 for name, values in slim.table.absmax.items()}
    for factor in equalization_factors(slim.network, absmax).values():
        np.testing.assert_array_equal(factor, 1)
