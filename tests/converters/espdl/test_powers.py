"""Scales that are powers of two: the same function, ranges that fill the levels, whole numbers."""

from __future__ import annotations

import numpy as np
import pytest

from ultraface_deploy.converters.espdl.powers import Powers, to_powers
from ultraface_deploy.quantize.network import Layer, Network
from ultraface_deploy.quantize.plan import Plan, quantize_weights

TOP = {"input": 1.0, "a": 5.3, "b": 0.37, "c": 3.0}


def layer(name: str, source: str, shape: tuple[int, ...], groups: int, relu: bool) -> Layer:
    generator = np.random.default_rng(len(name + source))
    weight = generator.normal(size=shape).astype(np.float32)
    bias = generator.normal(size=shape[0]).astype(np.float32)
    return Layer(name, source, weight, bias, groups, relu, positions=4)


@pytest.fixture(scope="module")
def plan() -> Plan:
    network = Network(
        (
            layer("a", "input", (4, 3, 3, 3), 1, True),
            layer("b", "a", (4, 1, 3, 3), 4, True),
            layer("c", "b", (6, 4, 1, 1), 1, False),
        )
    )
    quantized = {each.name: quantize_weights(each) for each in network.layers}
    ranges = {name: (-1.0 if name == "input" else 0.0, top) for name, top in TOP.items()}
    return Plan(network, quantized, ranges)


@pytest.fixture(scope="module")
def powers(plan: Plan) -> Powers:
    return to_powers(plan, "input")


def test_a_pixel_is_a_step_of_the_input(powers: Powers) -> None:
    assert powers.exponents["input"] == -7


def test_the_ranges_fill_the_levels(plan: Plan, powers: Powers) -> None:
    # The factor of a tensor is what its layer's bias was multiplied by.
    for name in ("a", "b"):
        factor = powers.network.layer(name).bias / plan.network.layer(name).bias
        assert np.allclose(factor, factor[0])
        assert TOP[name] * factor[0] / 127.5 == pytest.approx(2.0 ** powers.exponents[name])
    # Nothing scales back what leaves the network.
    assert powers.network.layer("c").bias == pytest.approx(plan.network.layer("c").bias)
    assert TOP["c"] / 127.5 <= 2.0 ** powers.exponents["c"] < 2 * TOP["c"] / 127.5


def test_weights_are_whole_multiples_of_a_power_of_two(powers: Powers) -> None:
    for each in powers.network.layers:
        largest = np.abs(each.weight.reshape(len(each.weight), -1)).max(axis=1)
        steps = np.exp2(np.ceil(np.log2(largest / 127.5)))[:, None, None, None]
        whole = each.weight / steps
        assert np.array_equal(whole, np.rint(whole))
        assert np.abs(whole).max() <= 127


def test_it_stays_nearly_the_same_function(plan: Plan, powers: Powers) -> None:
    # Of 1x1 inputs that are the same everywhere, a 3x3 filter is the sum of its taps.
    def outputs(network: Network) -> np.ndarray:
        values = np.array([0.3, -0.2, 0.9])
        for each in network.layers:
            taps = each.weight.sum(axis=(2, 3), dtype=np.float64)
            values = (taps[:, 0] * values if each.depthwise else taps @ values) + each.bias
            values = np.maximum(values, 0) if each.relu else values
        return values

    assert outputs(powers.network) == pytest.approx(outputs(plan.network), abs=0.1)


def test_the_mean_output_stays(plan: Plan) -> None:
    """With the means of the inputs known, biases take what rounding the weights adds."""
    means = {"input": np.array([0.1, 0.2, -0.3]), "a": np.ones(4), "b": np.full(4, 0.2)}
    corrected = Plan(plan.network, plan.quantized, plan.ranges, means)
    before, after = to_powers(plan, "input"), to_powers(corrected, "input")
    layers = [made.network.layer("c") for made in (before, after)]
    wanted = plan.quantized["c"]
    rounded = wanted.weight * wanted.scales[:, None, None, None]
    # The plan's own correction is given back: here its bias had none of it.
    factor = 2.0 ** after.exponents["b"] / (TOP["b"] / 127.5)
    taken = (wanted.layer.weight - rounded)[:, :, 0, 0] @ means["b"]
    added = (plan.network.layer("c").weight / factor - layers[1].weight)[:, :, 0, 0]
    assert layers[1].bias - layers[0].bias == pytest.approx(
        added @ (means["b"] * factor) - taken, abs=1e-6
    )
