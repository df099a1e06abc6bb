"""Readers and the VOC writer: what goes in comes out, and damage is told, not fatal."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ultraface_deploy.errors import InputError, NoSuchSplit
from ultraface_deploy.train.data import Classes, Sample, read_dataset
from ultraface_deploy.train.data.cache import ImageCache, read_image
from ultraface_deploy.train.data.labelled import LeftOut, to_samples
from ultraface_deploy.train.data.prepare import prepare
from ultraface_deploy.train.data.source import read_splits
from ultraface_deploy.train.data.voc import read_voc, write_annotation
from ultraface_deploy.train.data.wider import read_retinaface, read_wider

WIDER = """\
0--Parade/a.jpg
2
10 20 30 40 0 0 0 0 0 0
5 6 12 14 2 0 0 1 0 0
0--Parade/empty.jpg
0
0 0 0 0 0 0 0 0 0 0
1--Talk/b.jpg
1
1 2 20 10 0 0 0 0 0 0
"""
LANDMARKS = "15 30 0 35 30 0 25 40 0 18 50 0 33 50 0"


def write_wider(root: Path, text: str = WIDER) -> Path:
    """A WIDER FACE folder of three small images."""
    (root / "wider_face_split").mkdir(parents=True)
    (root / "wider_face_split" / "wider_face_train_bbx_gt.txt").write_text(text)
    noise = np.random.default_rng(0).integers(0, 255, (80, 100, 3), np.uint8)
    for name in ("0--Parade/a", "0--Parade/empty", "1--Talk/b"):
        path = root / "WIDER_train" / "images" / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), noise)
    return root


def test_wider_text_gives_corners_and_ignores_what_is_marked_invalid(tmp_path: Path) -> None:
    first, empty, last = read_dataset(write_wider(tmp_path))
    assert first.image == tmp_path / "WIDER_train/images/0--Parade/a.jpg"
    np.testing.assert_array_equal(first.boxes, [[10, 20, 40, 60], [5, 6, 17, 20]])
    np.testing.assert_array_equal(first.ignored, [False, True])
    assert len(empty) == 0
    np.testing.assert_array_equal(last.boxes, [[1, 2, 21, 12]])


def test_retinaface_text_with_and_without_landmarks(tmp_path: Path) -> None:
    labels = tmp_path / "label.txt"
    labels.write_text(
        f"# 0--Parade/a.jpg\n10 20 30 40 {LANDMARKS} 0.9\n5 6 12 14 {'-1 ' * 15}0.2\n"
        "# 1--Talk/b.jpg\n1 2 20 10\n"
    )
    found = list(read_retinaface(labels, tmp_path, LeftOut()))
    (first, last), remarks = to_samples(found, Classes(), LeftOut())
    assert not remarks
    np.testing.assert_array_equal(first.boxes, [[10, 20, 40, 60], [5, 6, 17, 20]])
    np.testing.assert_array_equal(
        first.landmarks[0], [[15, 30], [35, 30], [25, 40], [18, 50], [33, 50]]
    )
    assert np.isnan(first.landmarks[1]).all()
    np.testing.assert_array_equal(last.boxes, [[1, 2, 21, 12]])


@pytest.mark.parametrize("row", ["1 2 3", "a b c d", "1 2 nan 4", "5 5 -3 4 0 0 0 0 0 0"])
def test_a_damaged_row_is_told_with_its_line_and_skipped(tmp_path: Path, row: str) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text(f"a.jpg\n2\n{row}\n1 2 20 10 0 0 0 0 0 0\n")
    left_out = LeftOut()
    (sample,), _ = to_samples(read_wider(labels, tmp_path, left_out), Classes(), left_out)
    np.testing.assert_array_equal(sample.boxes, [[1, 2, 21, 12]])
    assert len(left_out) == 1 and "labels.txt:3" in left_out.lines()[0]


def test_a_file_that_is_no_label_file_is_refused(tmp_path: Path) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("hello\n")
    with pytest.raises(InputError, match=r"labels\.txt:1"):
        list(read_wider(labels, tmp_path, LeftOut()))


def test_a_folder_without_the_split_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(NoSuchSplit, match=r"ImageSets/Main/val\.txt"):
        read_dataset(write_wider(tmp_path), "val")


@pytest.mark.parametrize("layout", ["official", "retinaface"])
def test_voc_agrees_with_the_labels_it_was_made_from(tmp_path: Path, layout: str) -> None:
    root = write_wider(tmp_path / "wider")
    if layout == "retinaface":
        (root / "wider_face_split/wider_face_train_bbx_gt.txt").unlink()
        labels = root / "retinaface_labels/train/label.txt"
        labels.parent.mkdir(parents=True)
        labels.write_text(
            f"# 0--Parade/a.jpg\n10 20 30 40 {LANDMARKS}\n# 1--Talk/b.jpg\n1 2 20 10\n"
        )
    expected = [sample for sample in read_dataset(root) if len(sample)]
    prepare(read_splits(root), tmp_path / "voc", min_face=0)
    found = read_dataset(tmp_path / "voc")
    assert len(found) == len(expected) == 2
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.image.read_bytes() == theirs.image.read_bytes()
        np.testing.assert_allclose(ours.boxes, theirs.boxes, atol=1e-4)
        np.testing.assert_array_equal(ours.ignored, theirs.ignored)
        np.testing.assert_array_equal(ours.landmarks, theirs.landmarks)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(*[st.floats(0, 4000, width=32)] * 2, *[st.floats(1.5, 900, width=32)] * 2),
        max_size=6,
    )
)
def test_any_boxes_survive_the_voc_format(faces: list[tuple[float, ...]]) -> None:
    import tempfile

    boxes = np.array(faces, np.float32).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "Annotations").mkdir()
        (root / "ImageSets/Main").mkdir(parents=True)
        (root / "ImageSets/Main/train.txt").write_text("x\n")
        sample = Sample(root / "x.jpg", boxes, np.zeros(len(boxes), bool))
        write_annotation(root / "Annotations/x.xml", sample, (640, 480))
        (image,) = read_voc(root, "train", LeftOut())
        assert image.image == root / "JPEGImages" / "x.jpg"
        found = np.array([box.corners for box in image.boxes]).reshape(-1, 4)
    np.testing.assert_allclose(found, boxes, rtol=1e-6, atol=1e-3)


def test_prepare_reports_what_it_leaves_out_and_is_idempotent(tmp_path: Path) -> None:
    root = write_wider(tmp_path / "wider")
    (root / "WIDER_train/images/1--Talk/b.jpg").write_bytes(b"no image")
    told: list[str] = []
    summary = prepare(read_splits(root), tmp_path / "voc", min_face=13, report=told.append)
    assert summary.images == {"train": 1} and summary.faces == {"train": 1}
    assert (summary.dropped_faces, summary.empty_images, summary.damaged_images) == (2, 2, 0)
    assert any("empty.jpg" in line for line in told)
    assert sum(summary.histogram.values()) == 1 and summary.histogram["32-64"] == 1
    image = next((tmp_path / "voc/JPEGImages").iterdir())
    before = image.stat().st_mtime_ns
    assert prepare(read_splits(root), tmp_path / "voc", min_face=13) == summary
    assert image.stat().st_mtime_ns == before
    listing = tmp_path / "voc/ImageSets/Main"
    assert (listing / "trainval.txt").read_text() == (listing / "train.txt").read_text()


def test_prepare_replaces_no_other_data_set(tmp_path: Path) -> None:
    root = write_wider(tmp_path / "wider")
    own = tmp_path / "voc/ImageSets/Main/train.txt"
    own.parent.mkdir(parents=True)
    own.write_text("000012\n000017\n")
    with pytest.raises(InputError, match=r"train\.txt: would be replaced.* another folder"):
        prepare(read_splits(root), tmp_path / "voc")
    assert own.read_text() == "000012\n000017\n"


def test_a_damaged_image_is_reported_and_skipped(tmp_path: Path) -> None:
    root = write_wider(tmp_path / "wider")
    (root / "WIDER_train/images/1--Talk/b.jpg").write_bytes(b"no image")
    told: list[str] = []
    summary = prepare(read_splits(root), tmp_path / "voc", report=told.append)
    assert summary.damaged_images == 1 and any("b.jpg" in line for line in told)
    assert [s.image.stem for s in read_dataset(tmp_path / "voc")] == ["0--Parade__a"]


def test_xml_that_expands_entities_is_refused(tmp_path: Path) -> None:
    root = write_wider(tmp_path / "wider")
    prepare(read_splits(root), tmp_path / "voc")
    annotation = tmp_path / "voc/Annotations/0--Parade__a.xml"
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaa">]>'
    annotation.write_text(bomb + annotation.read_text().replace("face", "&a;"))
    told: list[str] = []
    assert len(read_dataset(tmp_path / "voc", report=told.append)) == 1
    assert any("0--Parade__a" in line for line in told)


def test_cache_gives_the_decoded_images_and_notices_a_change(tmp_path: Path) -> None:
    root = write_wider(tmp_path / "wider")
    samples = read_dataset(root)
    cache = ImageCache(samples, tmp_path / "cache", max_side=50)
    for number, sample in enumerate(samples):
        image, factor = cache[number]
        np.testing.assert_array_equal(image, read_image(sample.image, 50)[0])
        assert image.shape == (40, 50, 3) and factor == 0.5
    cv2.imwrite(str(samples[0].image), np.zeros((80, 100, 3), np.uint8))
    assert ImageCache(samples, tmp_path / "cache", max_side=50)[0][0].max() < 5


def test_readers_agree_on_the_real_labels(shared: Path) -> None:
    root = shared / "wider"
    official = read_dataset(root)
    images = root / "WIDER_train/images"
    labels = root / "retinaface_labels/train/label.txt"
    other, _ = to_samples(read_retinaface(labels, images, LeftOut()), Classes(), LeftOut())
    by_image = {sample.image: sample.boxes for sample in other}
    assert len(official) == 2026
    for sample in official:
        np.testing.assert_array_equal(sample.boxes, by_image.get(sample.image, np.empty((0, 4))))
