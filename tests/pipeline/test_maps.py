"""Networks that end at their convolutions: the rest of the head, by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ultraface_deploy.backends.outputs import bind_outputs
from ultraface_deploy.errors import BackendError, InputError
from ultraface_deploy.family.landmarks import WITH_LANDMARKS
from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.pipeline.maps import join_maps, map_outputs, read_head, write_head

SPEC = ModelSpec("slim", "slim", 128, 96, head="conv")


def maps(spec: ModelSpec = SPEC, seed: int = 0) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    return {
        each.name: generator.normal(0, 2, each.shape).astype(np.float32)
        for each in map_outputs(spec)
    }


def test_names_and_shapes_of_the_published_size() -> None:
    spec = ModelSpec("slim", "slim", head="conv")
    assert [(each.name, each.shape) for each in map_outputs(spec)] == [
        ("scores_0", (1, 6, 30, 40)),
        ("scores_1", (1, 4, 15, 20)),
        ("scores_2", (1, 4, 8, 10)),
        ("scores_3", (1, 6, 4, 5)),
        ("boxes_0", (1, 12, 30, 40)),
        ("boxes_1", (1, 8, 15, 20)),
        ("boxes_2", (1, 8, 8, 10)),
        ("boxes_3", (1, 12, 4, 5)),
    ]


def test_each_value_goes_to_its_anchor() -> None:
    given, joined = maps(), join_maps(maps(), SPEC)
    assert joined["scores"].shape == (1, SPEC.num_anchors, 2)
    row = 0
    for index, (width, height) in enumerate(SPEC.feature_maps):
        anchors = len(SPEC.anchors.min_boxes[index])
        for y in range(height):
            for x in range(width):
                for anchor in range(anchors):
                    offsets = given[f"boxes_{index}"][0, 4 * anchor : 4 * anchor + 4, y, x]
                    np.testing.assert_array_equal(joined["boxes"][0, row], offsets)
                    background, face = given[f"scores_{index}"][
                        0, 2 * anchor : 2 * anchor + 2, y, x
                    ]
                    score = 1 / (1 + np.exp(float(background) - float(face)))
                    assert joined["scores"][0, row, 1] == pytest.approx(score, abs=1e-6)
                    row += 1
    assert row == SPEC.num_anchors


@given(st.permutations(range(8)), st.booleans(), st.booleans())
def test_order_layout_and_batch_make_no_difference(
    order: list[int], last: bool, batch: bool
) -> None:
    named = list(maps().values())
    foreign = {}
    for place in order:
        tensor = named[place].transpose(0, 2, 3, 1) if last else named[place]
        foreign[f"output{place}"] = tensor if batch else tensor[0]
    wanted, found = join_maps(maps(), SPEC), join_maps(foreign, SPEC)
    for name, values in wanted.items():
        np.testing.assert_array_equal(found[name], values)


def test_a_list_in_the_order_of_the_file(tmp_path: Path) -> None:
    write_head(tmp_path / "slim.head.json", SPEC)
    spec = read_head(tmp_path / "slim.head.json")
    assert spec == SPEC
    wanted, found = join_maps(maps(), SPEC), join_maps(list(maps().values()), spec)
    np.testing.assert_array_equal(found["scores"], wanted["scores"])


def test_landmarks_are_joined_too() -> None:
    spec = replace(SPEC, **WITH_LANDMARKS)
    joined = join_maps(maps(spec), spec)
    assert joined["landmarks"].shape == (1, spec.num_anchors, 10)


def test_four_classes_look_like_boxes_unless_named() -> None:
    spec = replace(SPEC, num_classes=4)
    assert join_maps(maps(spec), spec)["scores"].shape[2] == 4
    foreign = {f"output{place}": each for place, each in enumerate(maps(spec).values())}
    with pytest.raises(InputError, match="give them by these names, or in this order"):
        join_maps(foreign, spec)


def test_what_is_missing_or_of_another_size_is_refused() -> None:
    short = maps()
    del short["boxes_2"]
    with pytest.raises(InputError, match="are not those of slim"):
        join_maps(short, SPEC)
    with pytest.raises(InputError, match="7 outputs; the network has 8"):
        join_maps(list(short.values()), SPEC)
    with pytest.raises(InputError, match="are not those of slim"):
        join_maps(maps(SPEC.resized(160, 96)), SPEC)


def test_every_runtime_that_gives_maps_gives_a_raw_head() -> None:
    foreign = {f"output{place}": each for place, each in enumerate(maps().values())}
    for head in ("raw", "conv"):
        bound = bind_outputs(foreign, replace(SPEC, head=head))
        np.testing.assert_array_equal(bound["boxes"], join_maps(maps(), SPEC)["boxes"])
    # Corners are not made of offsets in silence.
    with pytest.raises(BackendError, match="8 outputs"):
        bind_outputs(foreign, replace(SPEC, head="decoded"))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "is empty"),
        ("{}", "not a description of a head"),
        ('{"schema": 9, "model": {}, "outputs": []}', "schema 9"),
        ('{"schema": 1, "model": {"name": "x"}, "outputs": []}', "convert again with `head` conv"),
    ],
)
def test_damaged_files_are_refused(tmp_path: Path, content: str, problem: str) -> None:
    file = tmp_path / "it's.head.json"
    file.write_text(content)
    with pytest.raises(InputError, match=problem) as caught:
        read_head(file)
    assert "it's.head.json" in str(caught.value)
