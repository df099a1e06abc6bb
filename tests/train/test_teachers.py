"""Teachers' answers on the student's anchors, worked by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ultraface_deploy.errors import InputError
from ultraface_deploy.family.checkpoint import Checkpoint
from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.train.matching import Anchors, FaceList
from ultraface_deploy.train.recipe import load_recipe, shipped_recipes
from ultraface_deploy.train.run import find_teachers, train
from ultraface_deploy.train.teachers import answer_of_faces, merged

ANCHORS = Anchors(ModelSpec("slim-320", "slim"))
# The 10-pixel anchor of column 5, row 3 of the first map; the 16-pixel one follows it.
NUMBER = (3 * 40 + 5) * 3
FACE = [39 / 320, 23 / 240, 49 / 320, 33 / 240]


def faces(*rows: tuple[list[float], int, bool, float]) -> FaceList:
    boxes, samples, ignored, scores = zip(*rows, strict=True)
    sample, sure = torch.tensor(samples), torch.tensor(scores)
    labels = torch.ones_like(sample)
    return FaceList(torch.tensor(boxes), sample, torch.tensor(ignored), sure, labels)


def test_anchors_say_what_the_face_they_overlap_scores() -> None:
    scores, offsets, known = answer_of_faces(faces((FACE, 1, False, 0.7)), 2, ANCHORS)
    assert known.all() and not scores[0, :, 1].any()
    assert scores[1, :, 1].nonzero().ravel().tolist() == [NUMBER, NUMBER + 1]
    torch.testing.assert_close(scores[1, NUMBER], torch.tensor([0.3, 0.7]))
    torch.testing.assert_close(offsets[1, NUMBER], torch.zeros(4), atol=1e-4, rtol=0)


def test_the_surest_face_speaks_and_an_ignored_one_leaves_its_anchors_unknown() -> None:
    wider = [35 / 320, 19 / 240, 53 / 320, 37 / 240]
    scores, _, _ = answer_of_faces(faces((FACE, 0, False, 0.4), (wider, 0, False, 0.9)), 1, ANCHORS)
    torch.testing.assert_close(scores[0, NUMBER + 1, 1], torch.tensor(0.9))
    scores, _, known = answer_of_faces(faces((FACE, 0, True, 0.9)), 1, ANCHORS)
    assert not scores[..., 1].any()
    assert (known[0] == 0).nonzero().ravel().tolist() == [NUMBER, NUMBER + 1]


def test_no_faces_is_all_background() -> None:
    nothing = torch.zeros(0, dtype=torch.int64)
    empty = FaceList(torch.zeros(0, 4), nothing, nothing.bool(), torch.zeros(0), nothing)
    scores, _, known = answer_of_faces(empty, 2, ANCHORS)
    assert known.all() and (scores[..., 0] == 1).all()


def test_answers_are_averaged_where_both_know() -> None:
    score, offset = torch.tensor([[[0.2, 0.8]] * 2]), torch.full((1, 2, 4), 1.0)
    other, elsewhere = torch.tensor([[[1.0, 0.0]] * 2]), torch.full((1, 2, 4), 3.0)
    everywhere, first = torch.ones(1, 2), torch.tensor([[1.0, 0.0]])
    scores, offsets, known = merged(
        [(3.0, (score, offset, everywhere)), (1.0, (other, elsewhere, first))]
    )
    torch.testing.assert_close(scores[0, :, 1], torch.tensor([0.6, 0.8]))
    # The second teacher is not sure of a face, so its boxes count for nothing.
    torch.testing.assert_close(offsets, torch.ones(1, 2, 4), atol=1e-4, rtol=0)
    assert known.all()


def test_a_model_that_ships_teaches_without_being_given() -> None:
    (teacher,) = find_teachers(load_recipe(shipped_recipes()["both"]), []).values()
    assert isinstance(teacher, Checkpoint)
    assert (teacher.spec.name, teacher.spec.width) == ("rfb-640", 640)


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        ("slim-320", "published-rfb-640, published-slim-320 are not on this machine; download "),
        ("aspect", "teacher yunet_n_dynamic of the recipe: give its file by `teacher`"),
    ],
)
def test_all_teachers_that_are_missing_are_named_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recipe: str, said: str
) -> None:
    monkeypatch.setenv("ULTRAFACE_DEPLOY_CACHE", str(tmp_path))
    with pytest.raises(InputError, match=said):
        train([tmp_path], tmp_path / "run", load_recipe(shipped_recipes()[recipe]))
    assert list(tmp_path.iterdir()) == []
