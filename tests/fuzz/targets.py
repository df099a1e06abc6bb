"""What is fuzzed: for each format good files to damage, and the reader that gets them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from itertools import islice, product
from pathlib import Path
from typing import Any

import numpy as np

from tests.fuzz import structure
from tests.fuzz.mutation import one_file
from ultraface_deploy.artifacts.folder import ArtifactFolder
from ultraface_deploy.artifacts.recognition import format_and_files, load_in_child

Files = Mapping[str, bytes]


@dataclass(frozen=True)
class Target:
    """A reader under test.

    `seeds` makes good inputs, each of a few files by name, from a folder of artifacts; `read` opens
    the folder that a damaged input was written to. A `native` reader may crash: the product
    lets it do so in a child process, and opens itself only what came out of that well. `damage`
    makes of good files, by a seed, damaged ones.
    """

    seeds: Callable[[ArtifactFolder], list[Files]]
    read: Callable[[Path], object]
    native: bool = False
    damage: structure.Damage = one_file


def _artifact(format: str, folder: ArtifactFolder) -> list[Files]:
    files = folder.files(folder.find(format))
    return [{f"net{''.join(path.suffixes[-1:])}": path.read_bytes() for path in files}]


def _load(backend: str, suffix: str, folder: Path) -> None:
    record, files = format_and_files(folder / f"net{suffix}")
    size = None if suffix == ".onnx" else (128, 96)
    load_in_child([str(file) for file in files], backend, record.name, size, None, None, {})


def _checkpoints(folder: ArtifactFolder) -> list[Files]:
    import io

    import torch

    state = torch.load(folder.files(folder.find("torch"))[0], weights_only=True)
    seeds: list[Files] = []
    for zipped, protocol in product((False, True), (2, 4)):
        file = io.BytesIO()
        torch.save(state, file, _use_new_zipfile_serialization=zipped, pickle_protocol=protocol)
        seeds.append({"net.pth": file.getvalue()})
    return seeds


def _read_checkpoint(folder: Path) -> None:
    from ultraface_deploy.family.checkpoint import load_checkpoint

    load_checkpoint(folder / "net.pth").build()


def _read_onnx(folder: Path) -> None:
    from ultraface_deploy.converters.onnx.files import load
    from ultraface_deploy.converters.onnx.metadata import read_spec
    from ultraface_deploy.converters.onnx.prepare import prepare

    model = load(folder / "net.onnx")
    if (spec := read_spec(model)) is not None:
        prepare(model, spec, spec)
        prepare(model, spec, spec.resized(64, 64))


def _read_caffe(folder: Path) -> None:
    from ultraface_deploy.converters.caffe import read_caffe

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
_PLAIN_VOC = _VOC.replace(b"<!DOC", b"<!--").replace(b"]>", b"-->")
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
    from ultraface_deploy.errors import InputError
    from ultraface_deploy.train.data.classes import Classes
    from ultraface_deploy.train.data.coco import read_coco
    from ultraface_deploy.train.data.labelled import LeftOut, to_samples
    from ultraface_deploy.train.data.voc import read_annotations
    from ultraface_deploy.train.data.wider import read_retinaface, read_wider

    (file,) = folder.iterdir()
    readers: dict[str, Callable[[], Any]] = {
        ".xml": lambda: read_annotations([file], folder, skip),
        ".json": lambda: read_coco(file, folder, skip),
        ".txt": lambda: read_wider(file, folder, skip),
        ".label": lambda: read_retinaface(file, folder, skip),
    }
    skip = LeftOut()
    found = list(readers[file.suffix]())
    try:
        samples, _ = to_samples(found, Classes(), skip)
    except InputError:
        samples = []
    for image in found:
        assert ".." not in image.image.parts
    for sample in samples:
        assert np.isfinite(sample.boxes).all()
        assert ".." not in sample.image.parts


def _tables(folder: ArtifactFolder) -> list[Files]:
    rows = b"conv0_param_0 1.5 2.5 3.5\nconv1_param_0 9.25\nconv0 127.0\nconv1 33.5\n"
    return [{"net.table": rows}, {"net.table": rows * 20}]


def _read_table(folder: Path) -> None:
    from ultraface_deploy.converters.ncnn.files import read_table

    read_table(folder / "net.table")


def _calibrations(folder: ArtifactFolder) -> list[Files]:
    from ultraface_deploy import models

    table = json.loads((models.FOLDER / "slim-320.calibration.json").read_text())
    return [{"a.json": json.dumps(_first(table)).encode()}]


def _first(value: Any) -> Any:
    """A table with few of its tensors and channels, so that damage hits all kinds of entries."""
    if isinstance(value, dict):
        return {key: _first(each) for key, each in islice(value.items(), 8)}
    return value[:3] if isinstance(value, list) else value


def _read_calibration(folder: Path) -> None:
    from ultraface_deploy.quantize.table import CalibrationTable

    CalibrationTable.load(folder / "a.json").save(folder / "b.json")


def _recipes(folder: ArtifactFolder) -> list[Files]:
    from ultraface_deploy.train.recipe import FOLDER

    return [{"a.toml": path.read_bytes()} for path in sorted(FOLDER.glob("*.toml"))]


def _read_recipe(folder: Path) -> None:
    """Read a recipe and ask of it what training asks first."""
    import torch

    from ultraface_deploy.train.augment import Colours, Draws, draw_windows
    from ultraface_deploy.train.recipe import load_recipe
    from ultraface_deploy.train.stage import learning_rate

    recipe = load_recipe(folder / "a.toml")
    assert recipe.spec.num_anchors
    for stage in recipe.stages:
        assert 100 // stage.batch_size >= 0
        assert np.isfinite(learning_rate(1 / stage.epochs, 3, stage) * stage.lr)
        draws = Draws(0, 4)
        draw_windows(_pool(), torch.zeros(4, dtype=torch.int64), 64, 64, stage.augment, draws)
        Colours.draw(stage.augment, draws)


@cache
def _pool() -> Any:
    """One picture with one face, as training holds it."""
    import tempfile

    from ultraface_deploy.train.data.cache import ImageCache
    from ultraface_deploy.train.pool import Pool

    with tempfile.TemporaryDirectory() as scratch:
        samples = [_sample(Path(scratch))]
        return Pool(samples, ImageCache(samples, Path(scratch), 64, store="ram"))


def _sample(folder: Path) -> Any:
    import cv2

    from ultraface_deploy.train.data import Sample

    cv2.imwrite(str(folder / "a.png"), np.zeros((64, 64, 3), np.uint8))
    return Sample(folder / "a.png", np.float32([[9, 9, 50, 50]]), np.zeros(1, bool))


def _runs(folder: ArtifactFolder) -> list[Files]:
    """The `last.pth` of a run of one step, made in a child: forks want no threads."""
    import tempfile

    from ultraface_deploy.safe.child import run_in_child

    with tempfile.TemporaryDirectory() as scratch:
        run_in_child("tests.fuzz.targets:run_once", {"folder": scratch}, what="training")
        return [{"last.pth": Path(scratch, "last.pth").read_bytes()}]


def run_once(folder: str) -> None:
    _trainer(Path(folder)).fit()


@cache
def _trainer(folder: Path) -> Any:
    from ultraface_deploy.train.loop import Trainer
    from ultraface_deploy.train.recipe import Recipe, Stage

    recipe = Recipe("slim", 64, 64, (Stage("only", 1, batch_size=1),), holdouts=(0.0,))
    return Trainer(recipe, [[_sample(folder)]], folder)


def _resume(folder: Path) -> None:
    _trainer(folder).resume(folder / "last.pth")


def _benchmarks(folder: ArtifactFolder) -> list[Files]:
    from ultraface_deploy.bench.measurement import Launch, Measurement, Round
    from ultraface_deploy.bench.result import BenchReport, Failure

    rounds = [Round([5.0] * 4, [20.0, 21.5, 20, 30], [1.0] * 4, [3], 12.5)] * 2
    measurement = Measurement(
        *("slim-320", "out", 320, 240, "mnn", "mnn", "3.6", "fp32", 1, [0], {"a.mnn": "ab"}),
        *("cd", 9, {"recall": 1.0}, [Launch(3.0, 80.0, rounds)] * 2, ["warm"]),
    )
    failure = Failure("slim-320", "ncnn", "ncnn", "fp32", 1, "no time")
    machine = {"hostname": "pi", "cpu": "A72", "cores": 4, "allowed_cores": [0, 1]}
    report = BenchReport(machine, {"round_seconds": 0.1}, (measurement,), (failure,))
    return [{"a.json": report.to_json().encode()}]


def _read_benchmark(folder: Path) -> None:
    """Read a result, and compute and print all that does not need matplotlib."""
    from ultraface_deploy.bench.collection import boards_table
    from ultraface_deploy.bench.comparison import compare_reports
    from ultraface_deploy.bench.recommend import Limits, recommend
    from ultraface_deploy.bench.result import BenchReport
    from ultraface_deploy.bench.submission import Submission
    from ultraface_deploy.bench.tables import machine_line, to_csv, to_markdown

    report = BenchReport.load(folder / "a.json")
    report.to_json(), to_csv(report), to_markdown(report), machine_line(report)
    recommend(report, Limits(1e9, 99))
    compare_reports(report, report)
    boards_table([Submission.load(folder / "a.json")])


def _evaluations(folder: ArtifactFolder) -> list[Files]:
    from ultraface_deploy.accuracy.result import Result
    from ultraface_deploy.wider import SETS, Tally

    rows = np.array([0, 1, 1], np.int64)
    counts = np.ones((3, 3), np.int64)
    tally = Tally(SETS, ("a/1", "a/2"), 1000, rows, rows * 7, counts, counts, counts[:, :2] * 3)
    size = {"width": 320, "height": 240}
    point = {"score": 0.5, "recall": 0.5, "precision": None}
    subject = {"model": "slim-320", "artifact": "mnn", "backend": "mnn", "precision": "fp32"}
    details = {"operating_points": [point], "agreement": {"f1": 0.9}}
    result = Result(subject | {"input": size, "bytes": 9}, tally, details=details)
    data = {"schema": 1, "protocol": {"name": "WIDER FACE"}, "results": [result.to_dict()]}
    return [{"a.json": json.dumps(data).encode()}]


def _read_evaluation(folder: Path) -> None:
    """Read a result, compare it with itself and print it in every way."""
    from ultraface_deploy.accuracy import compare_results, pair_up, read_results
    from ultraface_deploy.accuracy.markdown import accuracy_table
    from ultraface_deploy.accuracy.text import pairing_table
    from ultraface_deploy.bench.accuracy import Accuracies

    Accuracies.load(folder / "a.json")
    _, found = read_results(folder / "a.json")
    for before, after in pair_up(found, found):
        pairing_table(compare_results(before, after, 100), 0.95)
    accuracy_table([(None, found)])


def _voc_lists(folder: ArtifactFolder) -> list[Files]:
    return [{"ImageSets/Main/train.txt": b"a\nb\n", "Annotations/a.xml": _PLAIN_VOC}]


def _read_voc_list(folder: Path) -> None:
    from ultraface_deploy.train.data import read_dataset

    for sample in read_dataset(folder, "train", lambda message: None):
        assert sample.image.is_relative_to(folder)


def _ncnn_weights(folder: Path) -> None:
    from ultraface_deploy.converters.ncnn.files import read_param, read_weights

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
    suffixes = (".jpg", ".png", ".bmp", ".webp", ".tiff", ".ppm", ".gif", ".avif", ".hdr", ".ras")
    kinds = dict.fromkeys((*suffixes, ".pam"), picture) | {"16.png": deep, "16.tiff": deep}
    # An older OpenCV knows neither GIF nor AVIF.
    return [
        {f"a{suffix}": cv2.imencode(suffix.lstrip("16"), image)[1].tobytes()}
        for suffix, image in kinds.items()
        if cv2.haveImageWriter(f"a{suffix}")
    ]


def _read_picture(folder: Path) -> None:
    from ultraface_deploy.safe.images import read_image

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
    from ultraface_deploy.detect.opening import open_source

    (file,) = folder.iterdir()
    for frame in islice(open_source(str(file)), 64):
        assert frame.image.shape[2] == 3


def _safetensors(folder: ArtifactFolder) -> list[Files]:
    import tempfile

    from ultraface_deploy.family.checkpoint import load_checkpoint

    checkpoint = load_checkpoint(folder.files(folder.find("torch"))[0])
    with tempfile.TemporaryDirectory() as scratch:
        checkpoint.save(Path(scratch, "net.safetensors"))
        return [{"net.safetensors": Path(scratch, "net.safetensors").read_bytes()}]


def _read_safetensors(folder: Path) -> None:
    from ultraface_deploy.family.checkpoint import load_checkpoint

    load_checkpoint(folder / "net.safetensors").build()


def _yolo(folder: ArtifactFolder) -> list[Files]:
    rows = b"0 0.5 0.5 0.25 0.25\n1 0.1 0.2 0.1 0.1 0.1 0.2 2 0.1 0.2 2 0.1 0.2 2 0.1 0.2 1 0 0 0\n"
    polygon = b"0 0.1 0.1 0.9 0.1 0.9 0.9\n"
    picture = _pictures(folder)[0]["a.jpg"]
    names = b"names:\n  0: face\n  1: hand\n"
    paths = {"images/train/a.jpg": picture, "images/train/b.jpg": picture}
    labels = {"labels/train/a.txt": rows, "labels/train/b.txt": polygon}
    return [
        {**paths, **labels, "data.yaml": names},
        {**paths, **labels, "data.yaml": b"names: [face, hand]\n"},
        {**paths, **labels, "labels/classes.txt": b"face\nhand\n"},
    ]


def _read_yolo(folder: Path) -> None:
    from ultraface_deploy.train.data import read_dataset

    for sample in read_dataset(folder, "train", lambda message: None):
        assert np.isfinite(sample.boxes).all()
        assert sample.image.is_relative_to(folder)


def _answers(folder: ArtifactFolder) -> list[Files]:
    (report,) = _benchmarks(folder)
    return [{"a.json": json.dumps({"report": json.loads(report["a.json"])}).encode()}]


def _read_answer(folder: Path) -> None:
    """Take what a board answers, and print it."""
    from ultraface_deploy.bench.recommend import Limits, recommend
    from ultraface_deploy.bench.result import merged
    from ultraface_deploy.bench.tables import machine_line, to_csv, to_markdown
    from ultraface_deploy.bench.talk import read_answer

    answer = (folder / "a.json").read_text(errors="replace")
    report = merged({"board": read_answer("board", answer, 0, [])})
    report.to_json(), to_csv(report), to_markdown(report), machine_line(report)
    recommend(report, Limits(1e9, 99))


def _read_c(folder: Path) -> None:
    """Decide whether a C file is one of ours; what is, is compiled."""
    from ultraface_deploy.backends.native import require_our_code
    from ultraface_deploy.converters import get_format

    files = (folder / "net.c", folder / "net.h")
    require_our_code(files)
    get_format("c").stated_spec(files)


_SETTINGS = b"""
[detect]
model = "out/mine"
backend = ["ncnn"]
threshold = 0.5

[bench]
threads = "1-4"
"""


def _read_settings(folder: Path) -> None:
    from ultraface_deploy.cli.config import defaults

    defaults(_command_line(), folder / "a.toml")


@cache
def _command_line() -> Any:
    import typer

    from ultraface_deploy.cli.app import build_app

    return typer.main.get_command(build_app())


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
    "tflite": Target(
        partial(_artifact, "tflite"), partial(_load, "litert", ".tflite"), native=True
    ),
    "openvino": Target(
        partial(_artifact, "openvino"), partial(_load, "openvino", ".xml"), native=True
    ),
    "openvino-by-structure": Target(
        partial(_artifact, "openvino"),
        partial(_load, "openvino", ".xml"),
        native=True,
        damage=structure.openvino_pair,
    ),
    "c": Target(partial(_artifact, "c"), _read_c),
    "c-by-structure": Target(partial(_artifact, "c"), _read_c, damage=structure.c_pair),
    "settings": Target(lambda _: [{"a.toml": _SETTINGS}], _read_settings),
    "settings-by-structure": Target(
        lambda _: [{"a.toml": _SETTINGS}], _read_settings, damage=structure.toml_file
    ),
    "ncnn-for-int8": Target(partial(_artifact, "ncnn"), _ncnn_weights),
    "ncnn-table": Target(_tables, _read_table),
    "caffe": Target(partial(_artifact, "caffe"), _read_caffe),
    "caffe-in-opencv": Target(
        partial(_artifact, "caffe"), partial(_load, "opencv", ".prototxt"), native=True
    ),
    "manifest": Target(_manifest, _read_manifest),
    "matlab": Target(_matlab, _read_matlab, native=True),
    "calibration": Target(_calibrations, _read_calibration),
    "recipe": Target(_recipes, _read_recipe),
    "last-pth": Target(_runs, _resume),
    "bench-result": Target(_benchmarks, _read_benchmark),
    "eval-result": Target(_evaluations, _read_evaluation),
    "voc-list": Target(_voc_lists, _read_voc_list),
    "voc": Target(
        lambda _: [
            {"a.xml": _VOC},
            {"a.xml": _PLAIN_VOC},
        ],
        _read_labels,
    ),
    "wider-text": Target(lambda _: [{"a.txt": _WIDER}], _read_labels),
    "retinaface-text": Target(lambda _: [{"a.label": _RETINA}], _read_labels),
    "coco": Target(lambda _: [{"a.json": _COCO}], _read_labels),
    "predictions": Target(_predictions, _read_predictions),
    "safetensors": Target(_safetensors, _read_safetensors),
    "yolo": Target(_yolo, _read_yolo),
    "board-answer": Target(_answers, _read_answer),
    "onnx-by-structure": Target(partial(_artifact, "onnx"), _read_onnx, damage=structure.onnx_file),
    "onnxruntime-by-structure": Target(
        partial(_artifact, "onnxsim"),
        partial(_load, "onnxruntime", ".onnx"),
        native=True,
        damage=structure.onnx_file,
    ),
    "opencv-by-structure": Target(
        partial(_artifact, "onnxsim"),
        partial(_load, "opencv", ".onnx"),
        native=True,
        damage=structure.onnx_file,
    ),
    "mnn-by-structure": Target(
        partial(_artifact, "mnn"),
        partial(_load, "mnn", ".mnn"),
        native=True,
        damage=structure.mnn_file,
    ),
    "ncnn-by-structure": Target(
        partial(_artifact, "ncnn"),
        partial(_load, "ncnn", ".param"),
        native=True,
        damage=structure.ncnn_pair,
    ),
    "tflite-by-structure": Target(
        partial(_artifact, "tflite"),
        partial(_load, "litert", ".tflite"),
        native=True,
        damage=structure.tflite_file,
    ),
    "caffe-by-structure": Target(
        partial(_artifact, "caffe"), _read_caffe, damage=structure.caffe_pair
    ),
    "caffe-in-opencv-by-structure": Target(
        partial(_artifact, "caffe"),
        partial(_load, "opencv", ".prototxt"),
        native=True,
        damage=structure.caffe_pair,
    ),
    "safetensors-by-structure": Target(
        _safetensors, _read_safetensors, damage=structure.safetensors_file
    ),
    "yolo-by-structure": Target(_yolo, _read_yolo, damage=structure.word_files),
    "board-answer-by-structure": Target(_answers, _read_answer, damage=structure.json_file),
    "manifest-by-structure": Target(_manifest, _read_manifest, damage=structure.json_file),
    "picture": Target(_pictures, _read_picture),
    "video": Target(_videos, _read_video),
}
