"""The labels people really have: one fault, and the same answer in every form."""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from ultraface_deploy.accuracy.own_data import read_truth
from ultraface_deploy.errors import InputError
from ultraface_deploy.train.data import Classes, read_dataset
from ultraface_deploy.train.data.prepare import prepare
from ultraface_deploy.train.data.source import read_splits

WIDTH, HEIGHT = 100, 80
Box = tuple[float, float, float, float, str]  # x1 y1 x2 y2 in pixels, and the class
Write = Callable[[Path, Sequence[Sequence[Box]]], Path]
FACE = (10, 20, 40, 60, "face")


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
    assert cv2.imwrite(str(path), noise)
    return path


def voc_object(box: Box) -> str:
    x1, y1, x2, y2, name = box
    shift = 1 if x2 > x1 and y2 > y1 else 0
    return (
        f"<object><name>{name}</name><bndbox><xmin>{x1 + shift}</xmin><ymin>{y1 + shift}</ymin>"
        f"<xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>"
    )


def write_voc(folder: Path, images: Sequence[Sequence[Box]]) -> Path:
    (folder / "xml").mkdir()
    for number, boxes in enumerate(images):
        text = "".join(map(voc_object, boxes))
        (folder / f"xml/p{number}.xml").write_text(
            f"<annotation><filename>p{number}.jpg</filename>{text}</annotation>"
        )
    return folder / "xml"


def write_coco(folder: Path, images: Sequence[Sequence[Box]]) -> Path:
    names = list(dict.fromkeys(box[4] for boxes in images for box in boxes))
    data = {
        "images": [{"id": n, "file_name": f"p{n}.jpg"} for n in range(len(images))],
        "annotations": [
            {
                "image_id": number,
                "category_id": names.index(name),
                "bbox": [x1, y1, x2 - x1, y2 - y1],
            }
            for number, boxes in enumerate(images)
            for x1, y1, x2, y2, name in boxes
        ],
        "categories": [{"id": n, "name": name} for n, name in enumerate(names)],
    }
    (folder / "labels.json").write_text(json.dumps(data))
    return folder / "labels.json"


def write_yolo(folder: Path, images: Sequence[Sequence[Box]]) -> Path:
    names = list(dict.fromkeys(box[4] for boxes in images for box in boxes))
    (folder / "yolo").mkdir()
    (folder / "yolo/classes.txt").write_text("".join(f"{name}\n" for name in names))
    for number, boxes in enumerate(images):
        rows = [
            f"{names.index(name)} {(x1 + x2) / 2 / WIDTH} {(y1 + y2) / 2 / HEIGHT} "
            f"{(x2 - x1) / WIDTH} {(y2 - y1) / HEIGHT}\n"
            for x1, y1, x2, y2, name in boxes
        ]
        (folder / f"yolo/p{number}.txt").write_text("".join(rows))
    return folder / "yolo"


def write_wider(folder: Path, images: Sequence[Sequence[Box]]) -> Path:
    rows = []
    for number, boxes in enumerate(images):
        rows += [f"p{number}.jpg", f"{len(boxes)}"]
        rows += [f"{x1} {y1} {x2 - x1} {y2 - y1} 0 0 0 0 0 0" for x1, y1, x2, y2, _ in boxes]
    (folder / "labels.txt").write_text("\n".join(rows) + "\n")
    return folder / "labels.txt"


NAMED = {"voc": write_voc, "coco": write_coco, "yolo": write_yolo}
FORMS = NAMED | {"wider": write_wider}


def read(
    folder: Path, write: Write, images: Sequence[Sequence[Box]], *classes: str
) -> tuple[list[list[list[float]]], list[str]]:
    """Return the boxes of each picture as an evaluation takes them, and what was said."""
    for number in range(len(images)):
        picture(folder / f"p{number}.jpg")
    said: list[str] = []
    chosen = Classes.parse(classes) if classes else None
    _, truth = read_truth(folder, write(folder, images), said.append, chosen)
    return [np.round(image.boxes, 2).tolist() for image in truth], said


@pytest.mark.parametrize("form", NAMED)
@pytest.mark.parametrize("name", ["Face", " face ", "FACE"])
def test_a_face_is_a_face_in_any_case(tmp_path: Path, form: str, name: str) -> None:
    boxes, said = read(tmp_path, NAMED[form], [[(*FACE[:4], name), (0, 0, 9, 9, "hat")]])
    assert boxes == [[[10, 20, 40, 60]]]
    assert said == ["left out, objects of other classes: 1 'hat'"]


@pytest.mark.parametrize("form", NAMED)
def test_the_only_class_is_the_face_and_that_is_said(tmp_path: Path, form: str) -> None:
    boxes, said = read(tmp_path, NAMED[form], [[(*FACE[:4], "with_mask")] * 2, []])
    assert boxes == [[[10, 20, 40, 60]] * 2, []]
    assert len(said) == 1 and "'with_mask'" in said[0] and "(2)" in said[0]


@pytest.mark.parametrize("form", NAMED)
def test_several_classes_and_no_face_lists_them(tmp_path: Path, form: str) -> None:
    objects = [(*FACE[:4], "head"), (*FACE[:4], "head"), (*FACE[:4], "hat")]
    with pytest.raises(InputError, match=r"2 'head', 1 'hat'; choose with `class`"):
        read(tmp_path, NAMED[form], [objects])
    for path in tmp_path.rglob("*"):
        if path.is_file():
            path.unlink()


@pytest.mark.parametrize("form", NAMED)
def test_a_chosen_class_is_used_and_the_others_are_counted(tmp_path: Path, form: str) -> None:
    objects = [(*FACE[:4], "head"), (1, 2, 9, 9, "hat"), (0, 0, 5, 5, "coat")]
    boxes, said = read(tmp_path, NAMED[form], [objects], "Head", "HAT")
    assert boxes == [[[10, 20, 40, 60], [1, 2, 9, 9]]]
    assert said == ["left out, objects of other classes: 1 'coat'"]


@pytest.mark.parametrize("form", FORMS)
def test_labels_without_any_face_are_refused(tmp_path: Path, form: str) -> None:
    with pytest.raises(InputError, match="no face"):
        read(tmp_path, FORMS[form], [[], []])


BAD = {
    "no width": (30, 20, 30, 60, "face"),
    "swapped": (40, 60, 10, 20, "face"),
    "outside right": (WIDTH, 10, WIDTH + 30, 30, "face"),
    "outside above": (10, -30, 40, 0, "face"),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("bad", BAD)
def test_a_box_that_is_none_is_left_out_and_told(tmp_path: Path, form: str, bad: str) -> None:
    boxes, said = read(tmp_path, FORMS[form], [[FACE, BAD[bad]], [BAD[bad]] * 4])
    assert boxes == [[[10, 20, 40, 60]], []]
    assert len(said) == 1 and ": 5 (" in said[0] and said[0].endswith(", ...)")
    assert said[0].count("p") >= 3 or said[0].count("labels") == 3


@pytest.mark.parametrize("form", FORMS)
def test_a_box_that_is_partly_outside_stays_as_it_is(tmp_path: Path, form: str) -> None:
    boxes, said = read(tmp_path, FORMS[form], [[(-5, 70, 40, 95, "face")]])
    assert boxes == [[[-5, 70, 40, 95]]] and not said


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "crlf"])
def test_marks_of_windows_editors_lose_nothing(tmp_path: Path, form: str, encoding: str) -> None:
    def write(folder: Path, images: Sequence[Sequence[Box]]) -> Path:
        labels = FORMS[form](folder, images)
        for path in labels.iterdir() if labels.is_dir() else [labels]:
            text = path.read_text()
            if encoding == "crlf":
                path.write_bytes(text.replace("\n", "\r\n").encode())
            else:
                path.write_text(text, encoding=encoding)
        return labels

    assert read(tmp_path, write, [[FACE], [FACE]])[0] == [[[10, 20, 40, 60]]] * 2


def voc_set(root: Path, names: Sequence[str], xml: str = "", bom: bytes = b"") -> Path:
    """A VOC data set of pictures that are listed by these names; `xml` has the file name."""
    for name in names:
        picture(root / f"JPEGImages/{name}.jpg")
        (root / "Annotations").mkdir(exist_ok=True)
        (root / f"Annotations/{name}.xml").write_text(
            f"<annotation>{xml}{voc_object(FACE)}</annotation>"
        )
    (root / "ImageSets/Main").mkdir(parents=True)
    listing = "".join(f"{name}\n" for name in names).encode()
    (root / "ImageSets/Main/train.txt").write_bytes(bom + listing)
    return root


@pytest.mark.parametrize("names", [["a b", "c"], ["a  b (1)"], ["x.y", "z"]])
def test_voc_names_with_blanks_and_dots(tmp_path: Path, names: list[str]) -> None:
    said: list[str] = []
    samples = read_dataset(voc_set(tmp_path, names), report=said.append)
    assert [sample.image.stem for sample in samples] == names
    assert all(len(sample) == 1 and sample.image.is_file() for sample in samples) and not said


@pytest.mark.parametrize("line", ["{} 1", "{}  -1", "{}.jpg", "JPEGImages/{}.jpg", "{}.xml"])
def test_voc_list_lines_of_other_tools(tmp_path: Path, line: str) -> None:
    voc_set(tmp_path, ["one", "two"])
    listing = tmp_path / "ImageSets/Main/train.txt"
    listing.write_text("".join(line.format(name) + "\n" for name in ("one", "two")))
    assert [sample.image.stem for sample in read_dataset(tmp_path)] == ["one", "two"]


def test_a_voc_list_with_a_byte_order_mark_keeps_its_first_picture(tmp_path: Path) -> None:
    assert len(read_dataset(voc_set(tmp_path, ["a", "b"], bom=codecs.BOM_UTF8))) == 2


@pytest.mark.parametrize(
    "stated",
    ["stale.jpg", "a", "", "C:\\photos\\a.JPG", "/home/me/a.jpeg", "../../a.jpg", "A.JPG", "other"],
)
def test_voc_pictures_are_found_by_the_annotation_s_own_name(tmp_path: Path, stated: str) -> None:
    xml = f"<filename>{stated}</filename>"
    (sample,) = read_dataset(voc_set(tmp_path, ["a"], xml))
    assert sample.image == tmp_path / "JPEGImages/a.jpg"


@pytest.mark.parametrize("suffix", [".JPG", ".png", ".jpeg", ".bmp", ".webp"])
def test_voc_pictures_may_have_any_suffix(tmp_path: Path, suffix: str) -> None:
    voc_set(tmp_path, ["a"], "<filename>a.jpg</filename>")
    (tmp_path / "JPEGImages/a.jpg").unlink()
    picture(tmp_path / f"JPEGImages/a{suffix}")
    (sample,) = read_dataset(tmp_path)
    assert sample.image.name == f"a{suffix}"


def test_wider_zero_count_with_and_without_its_row(tmp_path: Path) -> None:
    (tmp_path / "with.txt").write_text("p0.jpg\n0\n0 0 0 0 0 0 0 0 0 0\np1.jpg\n1\n10 20 30 40\n")
    (tmp_path / "without.txt").write_text("p0.jpg\n0\np1.jpg\n1\n10 20 30 40\np2.jpg\n0\n")
    for number in range(3):
        picture(tmp_path / f"p{number}.jpg")
    said: list[str] = []
    for name, faces in (("with", [0, 1]), ("without", [0, 1, 0])):
        _, truth = read_truth(tmp_path, tmp_path / f"{name}.txt", said.append)
        assert [len(image.boxes) for image in truth] == faces
    assert not said


def test_wider_with_fewer_rows_than_its_count_loses_no_picture(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("p0.jpg\n3\n1 2 30 40\np1.jpg\n1\n10 20 30 40\n")
    said: list[str] = []
    _, truth = read_truth(tmp_path, tmp_path / "labels.txt", said.append)
    assert [len(image.boxes) for image in truth] == [1, 1]
    assert len(said) == 1 and "labels.txt:4" in said[0]


@pytest.mark.parametrize("layout", ["images/{}|labels/{}", "{}/images|{}/labels"])
def test_a_yolo_data_set(tmp_path: Path, layout: str) -> None:
    for split, folder in (("train", "train"), ("val", "valid" if layout[0] == "{" else "val")):
        pictures, labels = (tmp_path / part.format(folder) for part in layout.split("|"))
        labels.mkdir(parents=True)
        picture(pictures / f"{split}.jpg")
        picture(pictures / "background.jpg")
        (labels / f"{split}.txt").write_text("1 0.5 0.5 0.2 0.5\n0 0.1 0.1 0.1 0.1\n")
    (tmp_path / "data.yaml").write_text("train: x\nnames: {0: hat, 1: Face}\n")
    for samples in read_splits(tmp_path).values():
        by_name = {sample.image.stem: sample for sample in samples}
        assert len(by_name.pop("background")) == 0
        (sample,) = by_name.values()
        np.testing.assert_allclose(sample.boxes, [[40, 20, 60, 60]])


def test_yolo_landmarks_polygons_and_rows_that_are_neither(tmp_path: Path) -> None:
    points = [0.45, 0.4, 0.55, 0.4, 0.5, 0.5, 0.46, 0.6, 0.54, 0.6]
    flagged = " ".join(f"{points[i]} {points[i + 1]} 2" for i in range(0, 10, 2))
    rows = [
        "0 0.5 0.5 0.2 0.5 " + " ".join(map(str, points)),
        f"0 0.5 0.5 0.2 0.5 {flagged}",
        "0 0.1 0.2 0.3 0.2 0.3 0.6",
        "0 0.1 0.2 0.3",
        "face 0.1 0.2 0.3 0.3",
    ]
    root = tmp_path
    picture(root / "images/train/a.jpg")
    (root / "labels/train").mkdir(parents=True)
    (root / "labels/train/a.txt").write_text("\n".join(rows))
    said: list[str] = []
    (sample,) = read_dataset(root, report=said.append)
    np.testing.assert_allclose(
        sample.boxes, [[40, 20, 60, 60], [40, 20, 60, 60], [10, 16, 30, 48]], atol=1e-4
    )
    expected = np.array(points).reshape(5, 2) * (WIDTH, HEIGHT)
    np.testing.assert_allclose(sample.landmarks[:2], [expected, expected], rtol=1e-5)
    assert np.isnan(sample.landmarks[2]).all()
    assert any(": 2 (a.txt:4, a.txt:5)" in line for line in said)


def test_yolo_rows_in_pixels_are_no_boxes(tmp_path: Path) -> None:
    """As shares the second would be a box over the whole picture."""
    picture(tmp_path / "a.jpg")
    labels = tmp_path / "labels"
    labels.mkdir()
    (labels / "a.txt").write_text("0 40 20 60 60\n0 3 3 9 9\n")
    with pytest.raises(InputError, match=r"no face at all; .*in pixels.*: 2 \(a.txt:1, a.txt:2\)"):
        read_truth(tmp_path, labels)


def test_labels_of_crowds_alone_measure_nothing(tmp_path: Path) -> None:
    picture(tmp_path / "a.jpg")
    box = {"image_id": 1, "category_id": 1, "bbox": [1, 2, 30, 30], "iscrowd": 1}
    labels = tmp_path / "a.json"
    labels.write_text(
        json.dumps(
            {
                "images": [{"id": 1, "file_name": "a.jpg"}],
                "annotations": [box],
                "categories": [{"id": 1, "name": "face"}],
            }
        )
    )
    with pytest.raises(InputError, match="every face is marked as a crowd"):
        read_truth(tmp_path, labels)


def test_several_labels_are_kept_apart_and_survive_prepare(tmp_path: Path) -> None:
    boxes = [(*FACE[:4], "Face"), (1, 2, 30, 30, "mask"), (0, 0, 50, 50, "hat")]
    root = voc_set(tmp_path / "voc", ["a"])
    (root / "Annotations/a.xml").write_text(
        f"<annotation>{''.join(map(voc_object, boxes))}</annotation>"
    )
    classes = Classes.parse(["mask=2,face=1"])
    (sample,) = read_dataset(root, classes=classes)
    assert sample.labels.tolist() == [1, 2] and classes.count == 3
    prepare({"train": [sample]}, tmp_path / "out", class_names={1: "face", 2: "mask"})
    (again,) = read_dataset(tmp_path / "out", classes=classes)
    assert again.labels.tolist() == [1, 2]


@pytest.mark.parametrize("text", ["", "a=0", "a=2", "a=x", "a=1,b=3", "a,A", "=1", "a=-1", "a=999"])
def test_classes_that_make_no_sense_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="class"):
        Classes.parse([text])


@pytest.mark.parametrize("text", ["", "a,,b", "a,A"])
def test_an_order_of_classes_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="classes"):
        Classes.in_order(text)


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [x, x, x]\nb: &b [*a, *a, *a]\nnames: [*b]",
        "a: &a {x: 1}\nb: &b {<<: [*a, *a]}\nnames: *b",
    ],
    ids=["nested", "merged"],
)
def test_names_that_grow_by_references_are_refused(tmp_path: Path, text: str) -> None:
    """Ten such lines become a billion names."""
    with pytest.raises(InputError, match="refers to other places in itself"):
        read_truth(tmp_path, yolo_with_names(tmp_path, text))


def test_names_that_are_no_words_are_none(tmp_path: Path) -> None:
    folder = yolo_with_names(tmp_path, "names: [face, [a, b], {c: d}]")
    _, truth = read_truth(tmp_path, folder)
    assert [len(image.boxes) for image in truth] == [1]


def yolo_with_names(folder: Path, text: str) -> Path:
    picture(folder / "a.jpg")
    (folder / "yolo").mkdir()
    (folder / "yolo/a.txt").write_text("0 0.5 0.5 0.2 0.5\n")
    (folder / "yolo/data.yaml").write_text(text)
    return folder / "yolo"


def test_a_list_of_names_that_is_no_yaml_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"data\.yaml"):
        read_truth(tmp_path, yolo_with_names(tmp_path, "names: [a\n"))
