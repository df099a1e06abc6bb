"""The protocol: every rule by hand, against a literal re-telling, and what must always hold."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ultraface_deploy.wider import (
    SETS,
    Detections,
    TruthImage,
    match_images,
    read_ground_truth,
    score,
    tally_matches,
)

ALL = SETS


def detections(*rows: tuple[float, float, float, float, float]) -> Detections:
    """Rows of x y width height score as corners and scores."""
    values = np.array(rows, dtype=np.float64).reshape(-1, 5)
    return np.column_stack([values[:, :2], values[:, :2] + values[:, 2:4]]), values[:, 4]


# ------------------------------------------------------------------ by hand


def test_all_faces_found_and_nothing_else_is_one(make_truth) -> None:
    truth = make_truth({"e/a": [((10, 10, 20, 20), ALL), ((100, 10, 30, 30), ALL)]})
    found = {"e/a": detections((10, 10, 20, 20, 0.9), (100, 10, 30, 30, 0.6))}
    assert {name: curve.ap for name, curve in score(found, truth).items()} == dict.fromkeys(SETS, 1)


def test_no_predictions_at_all_is_zero(make_truth) -> None:
    truth = make_truth({"e/a": [((10, 10, 20, 20), ALL)]})
    assert score({}, truth)["easy"].ap == 0
    assert score({"e/a": detections()}, truth)["easy"].ap == 0


def test_false_alarm_above_the_hit_halves_the_precision(make_truth) -> None:
    truth = make_truth({"e/a": [((10, 10, 20, 20), ALL)]})
    found = {"e/a": detections((200, 200, 20, 20, 0.9), (10, 10, 20, 20, 0.5))}
    assert score(found, truth)["easy"].ap == pytest.approx(0.5)


def test_false_alarm_below_the_hit_costs_nothing(make_truth) -> None:
    truth = make_truth({"e/a": [((10, 10, 20, 20), ALL)]})
    found = {"e/a": detections((10, 10, 20, 20, 0.9), (200, 200, 20, 20, 0.5))}
    assert score(found, truth)["easy"].ap == 1


def test_second_detection_of_a_face_is_a_false_alarm(make_truth) -> None:
    truth = make_truth({"e/a": [((10, 10, 20, 20), ALL), ((100, 10, 20, 20), ALL)]})
    twice = detections((10, 10, 20, 20, 0.9), (11, 10, 20, 20, 0.8), (100, 10, 20, 20, 0.7))
    # Recall 1/2 at precision 1, then recall 1 at precision 2/3.
    assert score({"e/a": twice}, truth)["hard"].ap == pytest.approx(0.5 + 0.5 * 2 / 3)


def test_of_equal_scores_the_first_comes_first(make_truth) -> None:
    truth = make_truth({"e/a": [((10, 10, 20, 20), ALL)]})
    equal = detections((10, 10, 20, 20, 0.9), (200, 200, 20, 20, 0.9))
    assert match_images({"e/a": equal}, truth).face.tolist() == [0, -1]


def test_detection_of_an_ignored_face_is_neither_hit_nor_false_alarm(make_truth) -> None:
    truth = make_truth({"e/a": [((10, 10, 20, 20), ALL), ((100, 10, 20, 20), ["hard"])]})
    found = {
        "e/a": detections((100, 10, 20, 20, 0.9), (100, 11, 20, 20, 0.8), (10, 10, 20, 20, 0.5))
    }
    curves = score(found, truth)
    assert curves["easy"].ap == 1
    # For the hard set the first is a hit and the second a double detection.
    assert curves["hard"].ap == pytest.approx(0.5 + 0.5 * 2 / 3)


def test_detection_goes_to_the_face_it_overlaps_most_even_when_that_is_taken(make_truth) -> None:
    truth = make_truth({"e/a": [((0, 0, 20, 20), ALL), ((0, 6, 20, 20), ALL)]})
    # Both overlap the first face most; the second face, also above 0.5, stays unfound.
    matches = match_images({"e/a": detections((0, 0, 20, 20, 0.9), (0, 1, 20, 20, 0.8))}, truth)
    assert matches.face.tolist() == [0, 0]
    assert matches.first.tolist() == [True, False]


def test_equal_overlap_goes_to_the_first_face(make_truth) -> None:
    truth = make_truth({"e/a": [((0, 0, 20, 20), ["easy"]), ((0, 0, 20, 20), ["hard"])]})
    curves = score({"e/a": detections((0, 0, 20, 20, 0.9))}, truth)
    assert (curves["easy"].ap, curves["hard"].ap) == (1, 0)


def test_a_box_is_one_pixel_wider_than_its_corners_say(make_truth) -> None:
    truth = make_truth({"e/a": [((0, 0, 9, 9), ALL)]})
    # 5 of 10 columns: exactly 0.5 with the extra pixel, 4/9 without.
    assert score({"e/a": detections((0, 0, 4, 9, 0.9))}, truth)["easy"].ap == 1
    assert match_images({"e/a": detections((0, 0, 4, 9, 0.9))}, truth, pixel=0).face[0] == -1


def test_ties_in_score_are_taken_together(make_truth) -> None:
    truth = make_truth({"e/a": [((10, 10, 20, 20), ALL)], "e/b": [((10, 10, 20, 20), ALL)]})
    hit, miss = detections((10, 10, 20, 20, 0.5)), detections((99, 99, 20, 20, 0.5))
    for found in ({"e/a": hit, "e/b": miss}, {"e/a": miss, "e/b": hit}):
        # All scores are the same: one threshold, one hit among two, one face of two.
        assert score(found, truth)["easy"].ap == pytest.approx(0.25)


def test_scores_are_normalised_so_shrunk_ones_change_nothing(make_truth) -> None:
    truth = make_truth({"e/a": [((10, 10, 20, 20), ALL), ((100, 10, 20, 20), ALL)]})
    rows = [(10, 10, 20, 20, 0.8), (200, 10, 20, 20, 0.7), (100, 10, 20, 20, 0.6)]
    shrunk = [(*row[:4], row[4] / 100) for row in rows]
    assert (
        score({"e/a": detections(*rows)}, truth)["easy"].ap
        == score({"e/a": detections(*shrunk)}, truth)["easy"].ap
    )


def test_image_without_any_face_is_skipped_with_its_false_alarms(make_truth) -> None:
    truth = make_truth({"e/a": [((10, 10, 20, 20), ALL)], "e/none": []})
    found = {"e/a": detections((10, 10, 20, 20, 0.5)), "e/none": detections((0, 0, 9, 9, 0.9))}
    assert score(found, truth)["easy"].ap == 1


def test_image_whose_faces_are_all_ignored_still_has_false_alarms(make_truth) -> None:
    truth = make_truth({"e/a": [((10, 10, 20, 20), ALL)], "e/b": [((10, 10, 20, 20), ["hard"])]})
    found = {"e/a": detections((10, 10, 20, 20, 0.5)), "e/b": detections((99, 99, 9, 9, 0.9))}
    assert score(found, truth)["easy"].ap == pytest.approx(0.5)


def test_set_without_faces_has_no_ap(make_truth) -> None:
    truth = make_truth({"e/a": [((10, 10, 20, 20), ["hard"])]})
    assert np.isnan(score({"e/a": detections((10, 10, 20, 20, 0.5))}, truth)["easy"].ap)


@pytest.mark.parametrize(
    "broken",
    [
        (np.nan, 10, 20, 20, 0.9),
        (10, 10, np.inf, 20, 0.9),
        (30, 10, -20, 20, 0.9),
        (10, 10, 20, 20, np.nan),
    ],
)
def test_broken_predictions_are_counted_and_are_false_alarms(make_truth, broken) -> None:
    truth = make_truth({"e/a": [((10, 10, 20, 20), ALL)]})
    found = {"e/a": detections(broken, (10, 10, 20, 20, 0.9), (10, 99, 20, 20, 0.1))}
    matches = match_images(found, truth)
    assert matches.invalid == 1
    assert len(matches.scores) == 3 and np.isfinite(matches.scores).all()
    assert (matches.outcomes(0) == 0).sum() == 2


def test_order_of_predictions_does_not_matter(make_truth) -> None:
    truth = make_truth({"e/a": [((10, 10, 20, 20), ALL), ((100, 10, 20, 20), ALL)]})
    rows = [(10, 10, 20, 20, 0.3), (200, 10, 20, 20, 0.7), (100, 10, 20, 20, 0.6)]
    assert (
        score({"e/a": detections(*rows)}, truth)["easy"].ap
        == score({"e/a": detections(*rows[::-1])}, truth)["easy"].ap
    )


# ------------------------------------------- against the tools, told again step by step


def literal_ap(found: Mapping[str, Detections], truth: Sequence[TruthImage], subset: int) -> float:
    """AP with the loops of the official tools, one image, prediction and threshold at a time."""
    everything = [value for _, scores in found.values() for value in scores]
    low, high = min(everything), max(everything)
    faces = 0
    totals = [[0, 0] for _ in range(1000)]
    for image in truth:
        faces += int(image.kept[subset].sum())
        if image.name not in found or not len(image.boxes) or not len(found[image.name][1]):
            continue
        predictions = sorted(
            zip(*found[image.name], strict=True), key=lambda pair: pair[1], reverse=True
        )
        recalls, proposals = _literal_image(predictions, image, subset)
        for index in range(1000):
            threshold = 1 - (index + 1) / 1000
            above = [
                i for i, (_, s) in enumerate(predictions) if (s - low) / (high - low) >= threshold
            ]
            if above:
                totals[index][0] += sum(proposals[: above[-1] + 1])
                totals[index][1] += recalls[above[-1]]
    recall = [0.0, *(hits / faces for _, hits in totals), 1.0]
    precision = [0.0, *(hits / count if count else 0.0 for count, hits in totals), 0.0]
    for index in range(len(precision) - 1, 0, -1):
        precision[index - 1] = max(precision[index - 1], precision[index])
    return sum(
        (recall[i + 1] - recall[i]) * precision[i + 1]
        for i in range(len(recall) - 1)
        if recall[i + 1] != recall[i]
    )


def _literal_image(predictions, image: TruthImage, subset: int) -> tuple[list[int], list[int]]:
    state = [0] * len(image.boxes)
    recalls, proposals = [], []
    for box, _ in predictions:
        overlaps = [_literal_iou(box, face) for face in image.boxes]
        best = overlaps.index(max(overlaps))
        proposal = 1
        if overlaps[best] >= 0.5:
            if not image.kept[subset, best]:
                state[best], proposal = -1, 0
            elif state[best] == 0:
                state[best] = 1
        proposals.append(proposal)
        recalls.append(state.count(1))
    return recalls, proposals


def _literal_iou(first, second) -> float:
    width = min(first[2], second[2]) - max(first[0], second[0]) + 1
    height = min(first[3], second[3]) - max(first[1], second[1]) + 1
    if width <= 0 or height <= 0:
        return 0.0
    areas = [(box[2] - box[0] + 1) * (box[3] - box[1] + 1) for box in (first, second)]
    return width * height / (sum(areas) - width * height)


def random_case(seed: int, images: int = 6) -> tuple[dict[str, Detections], list[TruthImage]]:
    """Faces at random, predictions near them, doubled, and far from them; scores with ties."""
    random = np.random.default_rng(seed)
    truth, found = [], {}
    for index in range(images):
        count = int(random.integers(0, 6))
        corners = random.integers(0, 150, (count, 2))
        boxes = np.hstack([corners, corners + random.integers(5, 60, (count, 2))]).astype(float)
        kept = random.random((len(SETS), count)) < 0.7
        truth.append(TruthImage(f"event/{index}", boxes, kept))
        near = np.repeat(boxes, 2, axis=0) + random.normal(0, 4, (2 * count, 4))
        far = random.integers(0, 200, (3, 2))
        predicted = np.vstack([near, np.hstack([far, far + 20])])
        found[f"event/{index}"] = (predicted, np.round(random.random(len(predicted)), 2))
    return found, truth


@pytest.mark.parametrize("seed", range(12))
def test_agrees_with_the_literal_protocol(seed: int) -> None:
    found, truth = random_case(seed)
    curves = score(found, truth)
    for subset, name in enumerate(SETS):
        assert curves[name].ap == pytest.approx(literal_ap(found, truth, subset), abs=1e-12)


# ------------------------------------------------------------------ what must always hold


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.0, 1.0), st.integers(0, 5))
def test_a_false_alarm_never_raises_ap(seed: int, value: float, where: int) -> None:
    found, truth = random_case(seed)
    # Within the range of the scores, so that their normalisation stays the same.
    scores = np.concatenate([s for _, s in found.values()])
    value = scores.min() + value * (scores.max() - scores.min())
    name = f"event/{where}"
    boxes, own = found[name]
    worse = {**found, name: (np.vstack([boxes, [900, 900, 950, 950]]), np.append(own, value))}
    before, after = score(found, truth), score(worse, truth)
    for subset in SETS:
        if not np.isnan(before[subset].ap):
            assert after[subset].ap <= before[subset].ap + 1e-12


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.randoms(use_true_random=False))
def test_the_order_of_images_does_not_matter(seed: int, random) -> None:
    found, truth = random_case(seed)
    shuffled = list(truth)
    random.shuffle(shuffled)
    names = random.sample(list(found), len(found))
    before, after = score(found, truth), score({name: found[name] for name in names}, shuffled)
    for subset in SETS:
        np.testing.assert_allclose(after[subset].ap, before[subset].ap, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_curves_are_ordered_and_bounded(seed: int) -> None:
    found, truth = random_case(seed)
    for curve in score(found, truth).values():
        if not np.isnan(curve.ap):
            assert 0 <= curve.ap <= 1
            assert (np.diff(curve.recall) >= 0).all() and curve.recall[-1] <= 1
            assert (curve.precision >= 0).all() and (curve.precision <= 1).all()


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_weights_of_one_change_nothing_and_of_two_no_ap(seed: int) -> None:
    tally = tally_matches(match_images(*random_case(seed)))
    for subset in SETS:
        plain = tally.curve(subset).ap
        for weight in (1, 2):
            weights = np.full(len(tally.names), weight)
            np.testing.assert_allclose(tally.curve(subset, weights).ap, plain, atol=1e-12)


# ------------------------------------------------------------------ the official files


@pytest.mark.slow
def test_all_official_images_are_scored_in_seconds(shared: Path) -> None:
    truth = read_ground_truth(shared / "wider" / "ground_truth_full")
    random = np.random.default_rng(0)
    found = {}
    for image in truth:
        corners = random.uniform(0, 800, (250, 2))
        alarms = np.hstack([corners, corners + 40])
        boxes = np.vstack([image.boxes, alarms])
        scores = random.uniform(0, 0.5, len(boxes))
        scores[: len(image.boxes)] += 0.5
        found[image.name] = boxes, scores
    started = time.process_time()
    curves = score(found, truth)
    assert time.process_time() - started < 5
    # Every face is found before the first false alarm.
    assert all(curve.ap > 0.99 for curve in curves.values())
