from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.quantize.conftest import Case
from ultraface_deploy.errors import InputError
from ultraface_deploy.quantize.equalize import equalization_factors, equalize
from ultraface_deploy.quantize.network import Layer
from ultraface_deploy.quantize.plan import (
    Scheme,
    affine,
    dequantized,
    make_plan,
    quantize_weights,
)


def random_layer(seed: int, depthwise: bool) -> Layer:
    generator = np.random.default_rng(seed)
    shape = (8, 1, 3, 3) if depthwise else (8, 5, 1, 1)
    weight = (generator.normal(size=shape) * generator.uniform(0.01, 10, (8, 1, 1, 1))).astype("f4")
    bias = np.zeros(8, np.float32)
    return Layer("layer", "input", weight, bias, 8 if depthwise else 1, True, 1)


@given(seed=st.integers(0, 1000), depthwise=st.booleans())
def test_weights_are_rounded_by_half_a_step_at_most(seed: int, depthwise: bool) -> None:
    layer = random_layer(seed, depthwise)
    quantized = quantize_weights(layer)
    error = np.abs(dequantized(quantized) - layer.weight)
    assert (error <= quantized.scales[:, None, None, None] * 0.5001).all()
    assert np.abs(quantized.weight.astype(int)).max() == 127


def test_zero_weights_survive() -> None:
    layer = replace(random_layer(0, False), weight=np.zeros((8, 5, 1, 1), np.float32))
    quantized = quantize_weights(layer)
    assert np.isfinite(quantized.scales).all()
    assert not dequantized(quantized).any()


@given(low=st.floats(-50, 0), high=st.floats(0, 50))
def test_affine_hits_zero_exactly_and_covers_the_range(low: float, high: float) -> None:
    scale, zero = affine((low, high))
    assert scale > 0
    assert 0 <= zero <= 255
    assert -zero * scale <= low + scale * 0.51
    assert (255 - zero) * scale >= high - scale * 0.51


def test_bias_correction_restores_the_mean_output(slim: Case) -> None:
    corrected = make_plan(slim.network, slim.table, Scheme())
    factors = equalization_factors(slim.network, slim.table.absmax)
    equalized = equalize(slim.network, factors)
    for name, quantized in corrected.quantized.items():
        layer = equalized.layer(name)
        mean = slim.table.mean[layer.source] * factors.get(layer.source, np.float32(1))
        mean = mean.astype(np.float64)

        def output(weight: np.ndarray, bias: np.ndarray, mean: np.ndarray = mean) -> np.ndarray:
            summed = weight.astype(np.float64).sum(axis=(2, 3))
            depthwise = summed.shape[1] == 1 and len(mean) > 1
            return np.asarray((summed[:, 0] * mean if depthwise else summed @ mean) + bias)

        wanted = output(layer.weight, layer.bias)
        before = output(dequantized(quantized), layer.bias)
        after = output(dequantized(quantized), corrected.network.layer(name).bias)
        assert np.abs(after - wanted).max() <= np.abs(before - wanted).max() + 1e-4
        np.testing.assert_allclose(after, wanted, rtol=1e-4, atol=1e-3)


def test_kept_layers_stay_fp32(slim: Case) -> None:
    plan = make_plan(slim.network, slim.table, Scheme(keep=("base_net.1.0",)))
    assert "base_net.1.0" not in plan.quantized
    assert len(plan.quantized) == len(slim.network.layers) - 1
    with pytest.raises(InputError, match="none of that name"):
        make_plan(slim.network, slim.table, Scheme(keep=("nonsense",)))


def test_table_of_another_network_is_refused(slim: Case, rfb: Case) -> None:
    with pytest.raises(InputError, match="other layers"):
        make_plan(rfb.network, slim.table, Scheme())
    layer = slim.network.layers[3]
    other = slim.network.with_parameters({layer.name: (layer.weight * 1.1, layer.bias)})
    with pytest.raises(InputError, match=r"other weights \(base_net.2.0\)"):
        make_plan(other, slim.table, Scheme())
