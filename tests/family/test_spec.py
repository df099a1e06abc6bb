"""The record that says what a network is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ultraface_deploy.agreement.precision import parse_precision
from ultraface_deploy.errors import InputError
from ultraface_deploy.family.spec import AnchorSpec, ModelSpec, parse_input_size
from ultraface_deploy.pipeline import make_anchors

SPEC = ModelSpec("net", "rfb", 160, 120, num_classes=3, head="decoded")

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths of everything in a JSON document."""
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    return [path] * bool(path) + [p for key, inner in items for p in leaves(inner, (*path, key))]


@given(
    width=st.integers(64, 4096),
    height=st.integers(64, 4096),
    classes=st.integers(2, 20),
    head=st.sampled_from(["raw", "decoded"]),
    mean=st.tuples(*[st.floats(-300, 300)] * 3),
    std=st.floats(0.01, 300),
    variances=st.tuples(st.floats(0.01, 1), st.floats(0.01, 1)),
)
def test_survives_json(
    width: int,
    height: int,
    classes: int,
    head: Any,
    mean: tuple[float, float, float],
    std: float,
    variances: tuple[float, float],
) -> None:
    anchors = AnchorSpec(center_variance=variances[0], size_variance=variances[1])
    spec = ModelSpec("net", "slim", width, height, classes, head, mean, (std,) * 3, anchors=anchors)
    assert ModelSpec.from_json(json.dumps(spec.to_dict())) == spec


@given(data=st.data())
def test_damaged_description_is_an_input_error_or_a_usable_spec(data: st.DataObject) -> None:
    document = SPEC.to_dict()
    path = data.draw(st.sampled_from(leaves(document)))
    holder: Any = document
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = data.draw(JSON)
    try:
        spec = ModelSpec.from_dict(document)
    except InputError as error:
        assert "\n" not in str(error)
        return
    assert spec.num_anchors > 0
    if spec.num_anchors < 100_000:
        assert make_anchors(spec).shape == (spec.num_anchors, 4)


@pytest.mark.parametrize("key", ["name", "architecture", "num_classes", "head", "input"])
def test_missing_field(key: str) -> None:
    document = SPEC.to_dict()
    del document[key]
    with pytest.raises(InputError, match=key):
        ModelSpec.from_dict(document)


def test_anchors_may_be_left_out() -> None:
    document = SPEC.to_dict()
    del document["anchors"]
    assert ModelSpec.from_dict(document) == SPEC


@pytest.mark.parametrize(
    "changes",
    [
        {"width": 63},
        {"height": 4097},
        {"width": 0},
        {"num_classes": 1},
        {"architecture": "mobile"},
        {"head": "boxes"},
        {"color": "hsv"},
        {"std": (128.0, 128.0, 64.0)},
        {"std": (0.0, 0.0, 0.0)},
    ],
    ids=str,
)
def test_no_network_is_like_this(changes: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"model net|input size"):
        ModelSpec(**{"name": "net", "architecture": "slim", **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {"strides": (8, 0, 32, 64)},
        {"strides": (8, 16)},
        {"min_boxes": ((10,), (-1,), (64,), (128,))},
        {"size_variance": float("nan")},
    ],
    ids=str,
)
def test_no_anchors_are_like_this(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"positive|sets of anchors"):
        AnchorSpec(**changes)


@pytest.mark.parametrize(
    ("text", "size"), [("320x240", (320, 240)), ("64X64", (64, 64)), ("4096x4096", (4096, 4096))]
)
def test_input_sizes(text: str, size: tuple[int, int]) -> None:
    assert parse_input_size(text) == size


@pytest.mark.parametrize(
    "text",
    [
        *("0x0", "0x240", "63x64", "10000000x10000000", "320", "320x", "x240", "320x240x3"),
        *("-320x240", "3.2x240", "", "a x b", "320 x 240", "9" * 5000 + "x240", "²x240"),
    ],
    ids=lambda text: text[:20],
)
def test_what_is_no_input_size(text: str) -> None:
    with pytest.raises(InputError) as refused:
        parse_input_size(text)
    assert "320x240" in str(refused.value)


@given(text=st.text(max_size=12))
def test_any_text_is_a_size_or_an_input_error(text: str) -> None:
    try:
        width, height = parse_input_size(text)
    except InputError:
        return
    assert 64 <= width <= 4096
    assert 64 <= height <= 4096


def test_precisions() -> None:
    assert [parse_precision(name) for name in ("fp32", "fp16", "int8")] == ["fp32", "fp16", "int8"]
    with pytest.raises(InputError, match="fp32, fp16, int8"):
        parse_precision("int4")
