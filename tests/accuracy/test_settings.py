"""The resize policies: what the network sees and how its boxes come back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ultraface_deploy.accuracy import EvalSettings
from ultraface_deploy.accuracy.settings import fit, tensor_of
from ultraface_deploy.errors import InputError
from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.pipeline import preprocess

SPEC = ModelSpec("test", "slim", 320, 240)


def picture(width: int, height: int) -> np.ndarray:
    return np.full((height, width, 3), 200, dtype=np.uint8)


def test_the_default_is_what_the_pipeline_does() -> None:
    bgr = np.random.default_rng(0).integers(0, 256, (90, 160, 3), dtype=np.uint8)
    fitted = fit(bgr, SPEC, EvalSettings())
    assert fitted.extent == (160, 90)
    np.testing.assert_array_equal(tensor_of(fitted, SPEC), preprocess(bgr, SPEC))


def test_padding_is_zero_to_the_network() -> None:
    tensor = tensor_of(fit(picture(320, 120), SPEC, EvalSettings(keep_aspect=True)), SPEC)
    assert tensor.shape == (1, 3, 240, 320)
    assert (tensor[:, :, 120:] == 0).all() and (tensor[:, :, :120] != 0).all()


@settings(max_examples=50, deadline=None)
@given(
    st.integers(1, 700),
    st.integers(1, 700),
    st.sampled_from(
        [EvalSettings(keep_aspect=True), EvalSettings(scale="original"), EvalSettings(scale=256)]
    ),
)
def test_the_far_corner_of_the_picture_comes_back_to_itself(
    width: int, height: int, policy: EvalSettings
) -> None:
    fitted = fit(picture(width, height), SPEC, policy)
    filled = np.argwhere(fitted.image[..., 0] == 200).max(axis=0) + 1
    # A box is a share of the canvas times the extent; see `postprocess`.
    assert filled[1] / fitted.width * fitted.extent[0] == pytest.approx(width)
    assert filled[0] / fitted.height * fitted.extent[1] == pytest.approx(height)


def test_full_size_inputs_lie_on_the_grid_of_the_strides() -> None:
    fitted = fit(picture(500, 300), SPEC, EvalSettings(scale="original"))
    assert (fitted.width, fitted.height) == (512, 320)
    assert fit(picture(5000, 10), SPEC, EvalSettings(scale="original")).width == 4096


@pytest.mark.parametrize(("keep_aspect", "scale"), [(True, 640), (False, 5), (False, 99999)])
def test_policies_that_make_no_sense_are_refused(keep_aspect: bool, scale: int) -> None:
    with pytest.raises(InputError, match="`scale`"):
        EvalSettings(keep_aspect=keep_aspect, scale=scale)


@pytest.mark.parametrize("wrong", [{"nms": "Soft"}, {"score_threshold": 2}, {"top_k": 0}])
def test_settings_that_no_network_is_run_with(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=f"`{next(iter(wrong))}`"):
        EvalSettings(**wrong)
