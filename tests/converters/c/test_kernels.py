"""Every instruction set that this processor has computes the integers of the NumPy reference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.converters.c.conftest import FLOAT_SETS, SETS, SIZE, Case, Library, pictures
from ultraface_deploy import models
from ultraface_deploy.converters.c import reference
from ultraface_deploy.converters.c.int8 import lower
from ultraface_deploy.converters.c.members import refuse_other_members
from ultraface_deploy.converters.onnx.network import load_network
from ultraface_deploy.errors import InputError
from ultraface_deploy.family.spec import AnchorSpec, ModelSpec
from ultraface_deploy.quantize.plan import Scheme, affine, make_plan
from ultraface_deploy.quantize.quantizer import fitting_table

NETWORKS = ("slim-320", "rfb-320")


@pytest.mark.parametrize("kernels", SETS)
@pytest.mark.parametrize("name", NETWORKS)
def test_the_same_bytes_on_every_instruction_set(
    name: str,
    kernels: str,
    make_case: Callable[..., Case],
    open_library: Callable[..., Library],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    case, library = make_case(name), open_library(name)
    monkeypatch.setenv("ULTRAFACE_KERNELS", kernels)
    if library.kernels != kernels:
        pytest.skip(f"this processor has no {kernels}")
    for picture in pictures(case.spec):
        wanted, found = reference.run(case.int8, picture), library.run(picture)
        np.testing.assert_array_equal(found["scores"], wanted["scores"])
        np.testing.assert_array_equal(found["boxes"], wanted["boxes"])


# Sides that no stride divides, and a line shorter than any kernel's tile.
def test_the_same_bytes_at_odd_sizes(
    make_case: Callable[..., Case],
    open_library: Callable[..., Library],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    size = (173, 66)
    case, library = make_case("rfb-320", size), open_library("rfb-320", "int8", size)
    picture = pictures(case.spec)[0]
    wanted = reference.run(case.int8, picture)
    for kernels in SETS:
        monkeypatch.setenv("ULTRAFACE_KERNELS", kernels)
        if library.kernels == kernels:
            found = library.run(picture, threads=2)
            np.testing.assert_array_equal(found["scores"], wanted["scores"], err_msg=kernels)
            np.testing.assert_array_equal(found["boxes"], wanted["boxes"], err_msg=kernels)


# The last map of 64x64 is one pixel, and five threads share rows that no half divides.
@pytest.mark.parametrize("size", [SIZE, (64, 64)])
def test_bands_change_nothing(
    size: tuple[int, int], make_case: Callable[..., Case], open_library: Callable[..., Library]
) -> None:
    case, library = make_case("rfb-320", size), open_library("rfb-320", "int8", size, 5)
    for picture in pictures(case.spec):
        one, faces = library.run(picture, threads=1), library.detect(picture, threshold=0.01)
        assert len(faces)
        for threads in (2, 3, 5):
            more = library.run(picture, threads=threads)
            np.testing.assert_array_equal(one["scores"], more["scores"])
            np.testing.assert_array_equal(one["boxes"], more["boxes"])
            found = library.detect(picture, threshold=0.01, threads=threads)
            np.testing.assert_array_equal(found, faces)


def test_ranges_finer_than_the_sums_are_widened(make_case: Callable[..., Case]) -> None:
    case = make_case("slim-320")
    network, _ = load_network(case.onnx_file)
    table = fitting_table(network, sorted(models.FOLDER.glob("*.calibration.json")))
    assert table is not None
    plan, topology = make_plan(network, table, Scheme()), case.int8.topology
    number = next(n for n, step in enumerate(topology.steps) if step.spatial and n > 3)
    layer = plan.network.layer(topology.steps[number].spatial[0].name)
    low, high = plan.ranges[layer.name]
    empty = topology.steps[number + 1].matrices[0].name
    narrow = {layer.name: (low / 500, high / 500), empty: (0.0, 0.0)}
    found = lower(replace(plan, ranges=plan.ranges | narrow), topology, case.spec)
    assert found.shift >= 1
    (filters,) = found.steps[number].filters
    scale, _ = affine(plan.ranges[layer.source])
    largest = np.abs(layer.weight.reshape(len(layer.weight), 9)).max(axis=1) * scale
    # No weight is cut off: 127 of what a sum stands for reach the largest.
    assert (127.0001 * filters.scale >= largest).all()
    assert np.isfinite(reference.run(found, pictures(case.spec)[0])["scores"]).all()


def test_an_unknown_instruction_set_is_refused(
    open_library: Callable[..., Library], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ULTRAFACE_KERNELS", "abacus")
    assert open_library("slim-320").kernels == "none"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"landmarks": 5}, r"landmarks, .*; convert to another format, and run that from Python"),
        ({"color": "bgr"}, r"BGR input, .*; convert to ncnn or mnn"),
        ({"color": "gray"}, r"GRAY input, .*; convert to ncnn or mnn"),
        ({"anchors": AnchorSpec(centers="stride")}, "half a stride.* from Python"),
        ({"anchors": AnchorSpec(clip=False)}, "beyond the input.* from Python"),
        ({"mean": (104.0, 117.0, 123.0)}, "a mean of .* ncnn or mnn"),
        ({"mean": (127.5,) * 3}, "a mean of .* ncnn or mnn"),
    ],
)
def test_what_c_does_not_do_is_refused(changes: dict[str, Any], reason: str) -> None:
    spec = ModelSpec("net", "slim")
    refuse_other_members(spec)
    with pytest.raises(InputError, match=reason):
        refuse_other_members(replace(spec, **changes))


@pytest.mark.parametrize("kernels", FLOAT_SETS)
@pytest.mark.parametrize("name", NETWORKS)
def test_fp32_computes_what_onnx_runtime_computes(
    name: str,
    kernels: str,
    make_case: Callable[..., Case],
    open_library: Callable[..., Library],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import onnxruntime

    case, library = make_case(name), open_library(name, "fp32")
    monkeypatch.setenv("ULTRAFACE_KERNELS", kernels)
    if library.kernels != kernels:
        pytest.skip(f"this processor has no {kernels}")
    session = onnxruntime.InferenceSession(case.onnx_file)
    for picture in pictures(case.spec):
        tensor = (picture[None, ..., ::-1].transpose(0, 3, 1, 2).astype(np.float32) - 127) / 128
        scores, boxes = session.run(["scores", "boxes"], {session.get_inputs()[0].name: tensor})
        found = library.run(picture, threads=2)
        np.testing.assert_allclose(found["scores"], scores, atol=5e-5)
        np.testing.assert_allclose(found["boxes"], boxes, atol=5e-4)
