"""What is fuzzed: for each format good files to damage, and the reader that gets them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from ultraface_deploy.artifact import ArtifactFolder
from ultraface_deploy.foreign import format_and_files, load_in_child

Files = Mapping[str, bytes]


@dataclass(frozen=True)
class Target:
    """A reader under test.

    `seeds` makes good inputs, each a few files by name, from a folder of artifacts; `read` opens
    the folder that a damaged input was written to. A `native` reader may crash: the product
    lets it do so in a child process, and opens itself only what came out of that well.
    """

    seeds: Callable[[ArtifactFolder], list[Files]]
    read: Callable[[Path], object]
    native: bool = False


def _artifact(format: str, folder: ArtifactFolder) -> list[Files]:
    files = folder.files(folder.find(format))
    return [{f"net{''.join(path.suffixes[-1:])}": path.read_bytes() for path in files}]


def _load(backend: str, suffix: str, folder: Path) -> None:
    _, files = format_and_files(folder / f"net{suffix}")
    size = None if suffix == ".onnx" else (128, 96)
    reader = "onnxruntime" if suffix == ".onnx" else backend
    load_in_child([str(file) for file in files], (reader, backend), size, None, None)


def _checkpoints(folder: ArtifactFolder) -> list[Files]:
    import io

    import torch

    state = torch.load(folder.files(folder.find("torch"))[0], weights_only=True)
    seeds: list[Files] = []
    for zipped in (False, True):
        file = io.BytesIO()
        torch.save(state, file, _use_new_zipfile_serialization=zipped)
        seeds.append({"net.pth": file.getvalue()})
    return seeds


def _read_checkpoint(folder: Path) -> None:
    from ultraface_deploy.checkpoint import load_checkpoint

    load_checkpoint(folder / "net.pth").build()


def _read_onnx(folder: Path) -> None:
    from ultraface_deploy.converters import onnx as onnx_files

    model = onnx_files.load(folder / "net.onnx")
    if (spec := onnx_files.read_spec(model)) is not None:
        onnx_files.prepare(model, spec, spec)


def _read_caffe(folder: Path) -> None:
    from ultraface_deploy.caffe import read_caffe

    read_caffe(folder / "net.prototxt", folder / "net.caffemodel")


def _manifest(folder: ArtifactFolder) -> list[Files]:
    return [{"manifest.json": (folder.path / "manifest.json").read_bytes()}]


def _read_manifest(folder: Path) -> None:
    opened = ArtifactFolder.open(folder)
    for artifact in opened.artifacts:
        opened.check_files(artifact)


def _matlab(folder: ArtifactFolder) -> list[Files]:
    import io

    from scipy.io import savemat

    def column(*items: Any) -> Any:
        array = np.empty((len(items), 1), object)
        array[:, 0] = items
        return array

    boxes = column(column(np.array([[1.0, 2, 30, 40], [5, 6, 7, 8]]), np.array([[9.0, 9, 9, 9]])))
    names = {"event_list": column("0--Parade"), "file_list": column(column("a", "b"))}
    kept = names | {"gt_list": column(column(np.array([[1], [2]]), np.array([[1]])))}
    contents = {"wider_face_val.mat": names | {"face_bbx_list": boxes}} | {
        f"wider_{name}_val.mat": kept for name in ("easy", "medium", "hard")
    }
    seeds: list[Files] = []
    for compress in (False, True):
        files = {}
        for name, content in contents.items():
            file = io.BytesIO()
            savemat(file, content, do_compression=compress)
            files[name] = file.getvalue()
        seeds.append(files)
    return seeds


def _read_matlab(folder: Path) -> None:
    from ultraface_deploy.wider.ground_truth import read_in_child

    read_in_child(str(folder))


_VOC = b"""<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE a [<!ENTITY b "c">]>
<annotation><filename>a.jpg</filename><size><width>9</width><height>9</height></size>
<object><name>face</name><difficult>0</difficult><bndbox><xmin>1</xmin><ymin>2</ymin>
<xmax>30.5</xmax><ymax>40</ymax></bndbox><has_lm>1</has_lm><lm><x1>1</x1><y1>1</y1><x2>2</x2>
<y2>2</y2><x3>3</x3><y3>3</y3><x4>4</x4><y4>4</y4><x5>5</x5><y5>5</y5></lm></object></annotation>
"""
_WIDER = (
    b"a/1.jpg\n2\n1 2 30 40 0 0 0 0 0 0\n5 6 7 8 0 0 0 1 0 0\na/2.jpg\n0\n0 0 0 0 0 0 0 0 0 0\n"
)
_RETINA = b"# a/1.jpg\n1 2 30 40 5 5 0 9 5 0 7 7 0 5 9 0 9 9 0 0.9\n# a/2.jpg\n5 6 7 8\n"
_COCO = json.dumps(
    {
        "images": [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "b/c.jpg"}],
        "annotations": [{"image_id": 1, "bbox": [1, 2, 30, 40], "category_id": 1, "iscrowd": 0}],
        "categories": [{"id": 1, "name": "face"}, {"id": 2, "name": "hand"}],
    }
).encode()


def _read_labels(folder: Path) -> None:
    from ultraface_deploy.data.coco import read_coco
    from ultraface_deploy.data.voc import read_annotations
    from ultraface_deploy.data.wider import read_retinaface, read_wider

    (file,) = folder.iterdir()
    readers: dict[str, Callable[[], Any]] = {
        ".xml": lambda: read_annotations([file], folder, skip),
        ".json": lambda: read_coco(file, folder, skip),
        ".txt": lambda: read_wider(file, folder, skip),
        ".label": lambda: read_retinaface(file, folder, skip),
    }
    skip: Callable[[str], None] = lambda message: None  # noqa: E731
    for sample in readers[file.suffix]():
        assert np.isfinite(sample.boxes).all()
        assert ".." not in sample.image.parts


def _tables(folder: ArtifactFolder) -> list[Files]:
    rows = b"conv0_param_0 1.5 2.5 3.5\nconv1_param_0 9.25\nconv0 127.0\nconv1 33.5\n"
    return [{"net.table": rows}, {"net.table": rows * 20}]


def _read_table(folder: Path) -> None:
    from ultraface_deploy.quantize.ncnn_files import read_table

    read_table(folder / "net.table")


def _ncnn_weights(folder: Path) -> None:
    from ultraface_deploy.quantize.ncnn_files import read_param, read_weights

    read_weights(read_param(folder / "net.param"), folder / "net.bin")


def _predictions(folder: ArtifactFolder) -> list[Files]:
    return [{"a.txt": b"a/1.jpg\n2\n1.0 2.0 30.5 40 0.99\n5 6 7 8 0.01\n"}]


def _read_predictions(folder: Path) -> None:
    from ultraface_deploy.wider.predictions import read_file

    read_file(folder / "a.txt")


def _pictures(folder: ArtifactFolder) -> list[Files]:
    import cv2

    picture = np.random.default_rng(0).integers(0, 255, (24, 32, 3), dtype=np.uint8)
    deep = picture.astype(np.uint16) << 8
    kinds = {".jpg": picture, ".png": picture, ".bmp": picture, ".webp": picture}
    kinds |= {".tiff": picture, ".ppm": picture, "16.png": deep, "16.tiff": deep}
    return [
        {f"a{suffix}": cv2.imencode(suffix.lstrip("16"), image)[1].tobytes()}
        for suffix, image in kinds.items()
    ]


def _read_picture(folder: Path) -> None:
    from ultraface_deploy.images import read_image

    (file,) = folder.iterdir()
    assert read_image(file).shape[2] == 3


def _videos(folder: ArtifactFolder) -> list[Files]:
    import tempfile

    import cv2

    seeds: list[Files] = []
    pictures = np.random.default_rng(0).integers(0, 255, (8, 48, 64, 3), dtype=np.uint8)
    with tempfile.TemporaryDirectory() as scratch:
        for name, codec in (("a.avi", "MJPG"), ("a.mp4", "mp4v"), ("a.mkv", "MJPG")):
            writer = cv2.VideoWriter(
                f"{scratch}/{name}", cv2.VideoWriter.fourcc(*codec), 25, (64, 48)
            )
            for picture in pictures:
                writer.write(picture)
            writer.release()
            seeds.append({name: Path(scratch, name).read_bytes()})
    return seeds


def _read_video(folder: Path) -> None:
    from ultraface_deploy.frames import open_source

    (file,) = folder.iterdir()
    for frame in islice(open_source(str(file)), 64):
        assert frame.image.shape[2] == 3


TARGETS: dict[str, Target] = {
    "checkpoint": Target(_checkpoints, _read_checkpoint),
    "onnx": Target(partial(_artifact, "onnx"), _read_onnx),
    "onnx-in-onnxruntime": Target(
        partial(_artifact, "onnxsim"), partial(_load, "onnxruntime", ".onnx"), native=True
    ),
    "onnx-in-opencv": Target(
        partial(_artifact, "onnxsim"), partial(_load, "opencv", ".onnx"), native=True
    ),
    "mnn": Target(partial(_artifact, "mnn"), partial(_load, "mnn", ".mnn"), native=True),
    "ncnn": Target(partial(_artifact, "ncnn"), partial(_load, "ncnn", ".param"), native=True),
    "ncnn-for-int8": Target(partial(_artifact, "ncnn"), _ncnn_weights),
    "ncnn-table": Target(_tables, _read_table),
    "caffe": Target(partial(_artifact, "caffe"), _read_caffe),
    "caffe-in-opencv": Target(
        partial(_artifact, "caffe"), partial(_load, "opencv", ".prototxt"), native=True
    ),
    "manifest": Target(_manifest, _read_manifest),
    "matlab": Target(_matlab, _read_matlab, native=True),
    "voc": Target(
        lambda _: [
            {"a.xml": _VOC},
            {"a.xml": _VOC.replace(b"<!DOC", b"<!--").replace(b"]>", b"-->")},
        ],
        _read_labels,
    ),
    "wider-text": Target(lambda _: [{"a.txt": _WIDER}], _read_labels),
    "retinaface-text": Target(lambda _: [{"a.label": _RETINA}], _read_labels),
    "coco": Target(lambda _: [{"a.json": _COCO}], _read_labels),
    "predictions": Target(_predictions, _read_predictions),
    "picture": Target(_pictures, _read_picture),
    "video": Target(_videos, _read_video),
}
