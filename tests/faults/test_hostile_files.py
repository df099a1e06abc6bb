"""Files that were made to do harm: each would cost memory, read elsewhere, or crash a runtime."""

from __future__ import annotations

import io
import json
import os
import re
import struct
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from ultraface_deploy import Detector
from ultraface_deploy.accuracy.result import unpack
from ultraface_deploy.artifacts import recognition as foreign
from ultraface_deploy.artifacts.folder import MANIFEST, ArtifactFolder
from ultraface_deploy.converters.onnx.header import refuse_external_data
from ultraface_deploy.detect.opening import open_source
from ultraface_deploy.errors import BackendError, InputError
from ultraface_deploy.family.spec import AnchorSpec, ModelSpec
from ultraface_deploy.safe import animations
from ultraface_deploy.safe.child import run_in_child
from ultraface_deploy.safe.files import inside
from ultraface_deploy.safe.images import read_image
from ultraface_deploy.safe.limits import Limit
from ultraface_deploy.train.data.labelled import LeftOut
from ultraface_deploy.train.data.voc import read_annotations
from ultraface_deploy.train.data.wider import read_wider


@pytest.fixture
def small_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ULTRAFACE_DEPLOY_MAX_MODEL_MB", "8")


def test_limits_can_be_raised_and_say_how(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_limit: None
) -> None:
    path = tmp_path / "net.pth"
    with path.open("wb") as file:
        file.truncate(9 << 20)
    with pytest.raises(InputError, match=r"9 MiB .* set ULTRAFACE_DEPLOY_MAX_MODEL_MB"):
        Limit.MODEL.check(path)
    monkeypatch.setenv("ULTRAFACE_DEPLOY_MAX_MODEL_MB", "10")
    Limit.MODEL.check(path)
    monkeypatch.setenv("ULTRAFACE_DEPLOY_MAX_MODEL_MB", "much")
    with pytest.raises(InputError, match="give a whole number"):
        Limit.MODEL.check(path)


def test_zip_bomb_as_checkpoint(tmp_path: Path, small_limit: None) -> None:
    pytest.importorskip("torch", reason="checkpoints are read with torch")
    from ultraface_deploy.family.checkpoint import load_checkpoint

    path = tmp_path / "bomb.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(64 << 20))
    assert path.stat().st_size < 1 << 20
    with pytest.raises(InputError, match="64 MiB are more than the 8 allowed"):
        load_checkpoint(path)


@pytest.mark.parametrize("claim", ["stride", "counter", "meta"])
def test_checkpoint_whose_tensors_are_not_what_they_claim(
    make_checkpoint: Callable[..., Path], tmp_path: Path, claim: str
) -> None:
    torch = pytest.importorskip("torch", reason="checkpoints are read with torch")
    from ultraface_deploy.family.checkpoint import load_checkpoint

    state = torch.load(make_checkpoint(), weights_only=True)
    said = "not an UltraFace slim network"
    counter = next(key for key in state if key.endswith("num_batches_tracked"))
    if claim == "stride":  # 3 G values over one number
        state["classification_headers.3.bias"] = torch.zeros(1).expand(3 << 30)
    elif claim == "counter":
        state[counter] = torch.zeros((), dtype=torch.long).expand(1 << 40)
    else:
        state["base_net.0.0.weight"] = torch.empty(16, 3, 3, 3, device="meta")
        said = "holds more than tensors"
    path = tmp_path / "claims.pth"
    torch.save(state, path)
    with pytest.raises(InputError, match=said):
        load_checkpoint(path)


def _bytearray_bomb(path: Path) -> None:
    size = (2500 << 20).to_bytes(5, "little")
    with zipfile.ZipFile(path, "w") as archive:
        call = b"\x80\x02cbuiltins\nbytearray\n\x8a\x05" + size + b"\x85R."
        archive.writestr("archive/data.pkl", call)


def _old_bytearray_bomb(path: Path) -> None:
    # As Python 2 called it; the first pickle of the format before zip.
    path.write_bytes(b"\x80\x02c__builtin__\nbytearray\nJ\0\0\0\x7f\x85R.")


def _endless_pickle(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + b"]" * (20 << 20) + b".")


def _two_spellings(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02].")
        archive.writestr("archive/data/aaaaaaaa", bytes(1 << 20))


def _two_directories(path: Path) -> None:
    """What just precedes the end says 1 byte, what the end points to 64 MB."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(64 << 20))
    content = path.read_bytes()
    end = content.rindex(b"PK\x05\x06")
    (start,) = struct.unpack("<L", content[end + 16 : end + 20])
    shown = bytearray(content[start:end])
    shown[24:28] = struct.pack("<L", 1)
    path.write_bytes(content[:end] + shown + content[end:])


def _huge_header(path: Path) -> None:
    path.write_bytes(struct.pack("<Q", 90 << 20) + b"{" + b" " * 1000)


def _packed(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02].")
        archive.writestr("archive/data/0", bytes(64 << 20))


def _overlapping(path: Path) -> None:
    """Records that are all unpacked from the same megabyte."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02].")
        archive.writestr("archive/data/0", bytes(8 << 20))
    content = path.read_bytes()
    end = content.rindex(b"PK\x05\x06")
    entry = content.rindex(b"PK\x01\x02", 0, end)
    more = [content[entry:end].replace(b"data/0", b"data/%d" % each) for each in range(1, 9)]
    (start,) = struct.unpack("<L", content[end + 16 : end + 20])
    directory = content[start:end] + b"".join(more)
    counts = struct.pack("<HHLL", 10, 10, len(directory), start)
    path.write_bytes(content[:start] + directory + content[end : end + 8] + counts + b"\0\0")


def _prefixed(path: Path) -> None:
    _packed(path)
    path.write_bytes(b"PK\x03\x04" + bytes(60) + path.read_bytes())


def _commented(path: Path) -> None:
    """Its comment is the end of another directory."""
    _packed(path)
    content = path.read_bytes()
    end = content[content.rindex(b"PK\x05\x06") :]
    path.write_bytes(content[:-2] + struct.pack("<H", len(end)) + end)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (_packed, "KiB that unpack to 64 MiB"),
        (_overlapping, "KiB that unpack to 72 MiB"),
        (_prefixed, "directory is not where it says"),
        (_commented, "directory is not where it says"),
        (_bytearray_bomb, "holds more than tensors"),
        (_old_bytearray_bomb, "holds more than tensors"),
        (_endless_pickle, "more than 1000000 steps"),
        (_two_spellings, "a record named"),
        (_two_directories, "directory is not where it says"),
        (_huge_header, "90 MiB are more than the 32 allowed"),
    ],
)
def test_checkpoint_that_would_take_memory_is_refused_before_it_does(
    tmp_path: Path, make: Callable[[Path], None], said: str
) -> None:
    path = tmp_path / ("a.safetensors" if make is _huge_header else "a.pth")
    make(path)
    with pytest.raises(InputError, match=said):
        run_in_child(
            "tests.faults.misbehaving:read_checkpoint",
            {"path": str(path)},
            what="reading",
            timeout=120,
            memory=300 << 20,
        )


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("kind", ["get", "nested", "float8", "complex", "overflow"])
def test_checkpoint_of_odd_tensors(
    make_checkpoint: Callable[..., Path], tmp_path: Path, kind: str
) -> None:
    torch = pytest.importorskip("torch", reason="checkpoints are read with torch")
    from ultraface_deploy.family.checkpoint import load_checkpoint

    state, first = torch.load(make_checkpoint(), weights_only=True), "base_net.0.0.weight"
    path, weight = tmp_path / "odd.pth", state["base_net.0.0.weight"]
    if kind == "get":
        state = OrderedDict(state)
        vars(state)["get"] = 5
        torch.save(state, path)
        assert load_checkpoint(path).spec.architecture == "slim"
        return
    state[first] = {
        "nested": lambda: torch.nested.nested_tensor([torch.zeros(3)] * 2),
        "float8": lambda: weight.to(torch.float8_e4m3fn),
        "complex": lambda: weight.to(torch.complex64),
        "overflow": lambda: weight.double() * 1e300,
    }[kind]()
    torch.save(state, path)
    with pytest.raises(InputError, match=r"more than tensors|not an UltraFace|not finite"):
        load_checkpoint(path)


@pytest.mark.parametrize("where", ["initializer", "constant", "subgraph"])
def test_onnx_that_reads_another_file(tmp_path: Path, where: str) -> None:
    onnx = pytest.importorskip("onnx", reason="makes the file")
    secret = tmp_path / "secret.bin"
    secret.write_bytes(bytes(16))
    tensor = onnx.TensorProto(name="w", data_type=1, dims=[4], data_location=1)
    tensor.external_data.add(key="location", value="../secret.bin")
    constant = onnx.helper.make_node("Constant", [], ["w"], value=tensor)
    add = onnx.helper.make_node("Add", ["x", "w"], ["y"])
    x, y = (onnx.helper.make_tensor_value_info(name, 1, [4]) for name in "xy")
    inner = onnx.helper.make_graph([constant, add], "inner", [], [y])
    graph = {
        "initializer": onnx.helper.make_graph([add], "g", [x], [y], [tensor]),
        "constant": onnx.helper.make_graph([constant, add], "g", [x], [y]),
        "subgraph": onnx.helper.make_graph(
            [onnx.helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner)],
            *("g", [x], [y]),
        ),
    }[where]
    path = tmp_path / "folder" / "net.onnx"
    path.parent.mkdir()
    path.write_bytes(onnx.helper.make_model(graph).SerializeToString())
    with pytest.raises(InputError, match="keeps its weights in other files"):
        refuse_external_data(path)
    with pytest.raises(InputError, match="keeps its weights in other files"):
        Detector.open(path)


def test_onnx_with_a_tensor_called_location_is_no_such_file(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="makes the file")
    x, y = (onnx.helper.make_tensor_value_info(name, 1, [4]) for name in ("location", "y"))
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Relu", ["location"], ["y"])], "g", [x], [y]
    )
    path = tmp_path / "net.onnx"
    path.write_bytes(onnx.helper.make_model(graph).SerializeToString())
    refuse_external_data(path)


def test_file_that_crashes_mnn_is_one_line(folder: ArtifactFolder, tmp_path: Path) -> None:
    """The crash happens in a child process; this one lives to tell."""
    pytest.importorskip("MNN", reason="MNN reads it")
    content = folder.files(folder.find("mnn"))[0].read_bytes()
    for number in range(6):
        path = tmp_path / f"{number}.mnn"
        damaged = bytearray(content)
        damaged[number * 8 + 4 : number * 8 + 12] = b"\xff" * 8
        path.write_bytes(damaged)
        with pytest.raises((BackendError, InputError)) as refused:
            Detector.open(path, input_size=(128, 96))
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("step", "said"), [("segfault", "SIGSEGV"), ("eat_memory", "exit code 1: MemoryError")]
)
def test_runtime_that_crashes_or_eats_memory_does_so_in_the_child(
    folder: ArtifactFolder, monkeypatch: pytest.MonkeyPatch, step: str, said: str
) -> None:
    real = foreign.run_in_child
    monkeypatch.setattr(
        foreign,
        "run_in_child",
        lambda target, arguments, **rest: real(f"tests.faults.misbehaving:{step}", {}, **rest),
    )
    foreign._recognised_in_child.cache_clear()
    path = folder.path / "copy.onnx"
    path.write_bytes(folder.files(folder.find("onnxsim"))[0].read_bytes())
    with pytest.raises(BackendError, match=said):
        Detector.open(path)


def test_child_that_was_asked_once_is_not_asked_again(
    folder: ArtifactFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    real = foreign.run_in_child
    monkeypatch.setattr(
        foreign,
        "run_in_child",
        lambda *arguments, **rest: asked.append(arguments) or real(*arguments, **rest),
    )
    foreign._recognised_in_child.cache_clear()
    path = folder.path / "copy.onnx"
    path.write_bytes(folder.files(folder.find("onnxsim"))[0].read_bytes())
    for _ in range(2):
        assert Detector.open(path).spec == folder.spec
    assert len(asked) == 1
    path.write_bytes(folder.files(folder.find("onnx"))[0].read_bytes())
    Detector.open(path).close()
    assert len(asked) == 2


def test_file_swapped_within_a_folder_is_not_opened(folder: ArtifactFolder) -> None:
    (path,) = folder.files(folder.find("onnxsim"))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    for model in (path, folder.path):
        with pytest.raises(InputError, match="is not the file that was converted"):
            Detector.open(model, backend="onnxruntime")


def test_folder_that_claims_but_was_never_verified_is_tried_in_a_child(
    folder: ArtifactFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(foreign, "prove_harmless", lambda *arguments: asked.append(arguments))
    Detector.open(folder.path, backend="onnxruntime").close()
    assert not asked
    manifest = json.loads((folder.path / MANIFEST).read_text())
    for record in manifest["artifacts"]:
        record["verification"] = None
    (folder.path / MANIFEST).write_text(json.dumps(manifest))
    Detector.open(folder.path, backend="onnxruntime").close()
    assert len(asked) == 1


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/x", "", "a\0b", "..\\x", "a" * 300])
def test_names_that_lead_out(name: str) -> None:
    with pytest.raises(InputError):
        inside(Path("folder"), name)


@pytest.mark.parametrize("name", ["../x", "a/b", "", 'a"; system("x', ".hidden", "a\nb", "a" * 101])
def test_model_names_that_would_become_paths_or_code(name: str) -> None:
    with pytest.raises(InputError, match="model name"):
        ModelSpec(name, "slim")


def test_description_that_asks_for_too_many_anchors() -> None:
    anchors = AnchorSpec(strides=(1,), min_boxes=((8.0,) * 50,))
    with pytest.raises(InputError, match="anchors are too many"):
        ModelSpec("net", "slim", 4096, 4096, anchors=anchors)
    with pytest.raises(InputError, match="classes"):
        replace(ModelSpec("net", "slim"), num_classes=10**9)


def test_labels_that_lead_out(tmp_path: Path) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("../../secret.jpg\n1\n1 2 30 40\n")
    with pytest.raises(InputError, match="leads out"):
        list(read_wider(labels, tmp_path, LeftOut()))


@pytest.mark.parametrize(
    "head",
    [
        '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE a [<!ENTITY b "ha"><!ENTITY c "&b;&b;&b;&b;&b;&b;">]>',
    ],
    ids=["external", "laughs"],
)
def test_entities_are_not_expanded(tmp_path: Path, head: str) -> None:
    pytest.importorskip("defusedxml", reason="reads VOC files")
    path = tmp_path / "a.xml"
    path.write_text(f"{head}<annotation><filename>&b;</filename></annotation>")
    left_out = LeftOut()
    assert list(read_annotations([path], tmp_path, left_out)) == []
    assert len(left_out) == 1


def test_annotation_of_a_million_elements_is_not_parsed(tmp_path: Path) -> None:
    """As a tree, 9 MB of them are 900."""
    pytest.importorskip("defusedxml", reason="reads VOC files")
    path = tmp_path / "a.xml"
    path.write_text("<a>" * 3_000_000)
    left_out = LeftOut()
    assert list(read_annotations([path], tmp_path, left_out)) == []
    assert "8789 KiB are more than the 4096" in left_out.lines()[0]


def test_matlab_file_that_unpacks_to_too_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("scipy", reason="reads MAT-files")
    from scipy.io import savemat

    from ultraface_deploy.wider import ground_truth

    monkeypatch.setenv("ULTRAFACE_DEPLOY_MAX_MODEL_MB", "400")
    bomb = {"face_bbx_list": np.zeros((1, 50 << 20))}
    for name in ("face", *(f"{name}" for name in ground_truth.SETS)):
        savemat(tmp_path / f"wider_{name}_val.mat", bomb, do_compression=True)
        bomb = {}
    assert (tmp_path / "wider_face_val.mat").stat().st_size < 1 << 20
    with pytest.raises(InputError, match="not an official WIDER FACE ground-truth file"):
        ground_truth.read_ground_truth(tmp_path)


def test_counts_that_unpack_to_too_much() -> None:
    import base64

    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("image.npy", bytes(257 << 20))
    with pytest.raises(ValueError, match="unpack"):
        unpack(base64.b64encode(file.getvalue()).decode())


def _png(width: int, height: int, depth: int = 8, kind: int = 2) -> bytes:
    """The header of a PNG picture with the data of one row."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    rows = zlib.compress(bytes(1 + width * 8))
    parts = (b"IHDR", header), (b"IDAT", rows), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def test_picture_with_too_many_pixels(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(_png(20_000, 20_000))
    with pytest.raises(InputError, match=r"pixels; .* set OPENCV_IO_MAX_IMAGE_PIXELS"):
        read_image(path)


def test_picture_that_claims_a_huge_chunk(tmp_path: Path) -> None:
    """OpenCV would allocate and clear four gigabytes."""
    path = tmp_path / "a.png"
    path.write_bytes(re.sub(rb"\0..\x0cIDAT", b"\xff\xff\xff\xffIDAT", _png(32, 24)))
    assert b"\xff\xff\xff\xffIDAT" in path.read_bytes()
    with pytest.raises(InputError, match="damaged"):
        read_image(path)


def test_animation_of_many_pictures_on_a_large_canvas(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of 3 kB whose hundred pictures of one pixel are shown on four million.

    Refused after a hundredth of the pixels that are allowed otherwise: the test is to be short.
    """
    if not hasattr(cv2, "Animation"):
        pytest.skip("this OpenCV reads no animations")
    monkeypatch.setattr(animations, "_MOST_ANIMATED", animations._MOST_ANIMATED // 100)
    canvas = b"GIF89a" + struct.pack("<HHBBB", 2000, 2000, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    place = b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0)
    picture = b"\x21\xf9\x04\x04\x01\0\0\0" + place + b"\x02\x02\x44\x01\0"
    path = tmp_path / "a.gif"
    path.write_bytes(canvas + picture * 100 + b"\x3b")
    with pytest.raises(InputError, match="pictures of 4000000 pixels take too long"):
        open_source(str(path))


def test_video_with_too_many_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (64, 48))
    writer.write(np.zeros((48, 64, 3), np.uint8))
    writer.release()
    monkeypatch.setenv("OPENCV_IO_MAX_IMAGE_PIXELS", str(64 * 48 - 1))
    with pytest.raises(InputError, match=r"64x48 pixels.* set OPENCV_IO_MAX_IMAGE_PIXELS"):
        open_source(str(path))


def test_picture_that_is_a_pipe(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    os.mkfifo(path)
    with pytest.raises(InputError, match="is not a file"):
        read_image(path)


def test_pictures_of_every_kind(tmp_path: Path) -> None:
    """One pixel, one row, grey, 16 bits, alpha: each becomes BGR of its size."""
    random = np.random.default_rng(0)
    kinds = {
        "pixel.png": random.integers(0, 255, (1, 1, 3), np.uint8),
        "row.png": random.integers(0, 255, (1, 20_000, 3), np.uint8),
        "gray.png": random.integers(0, 255, (30, 40), np.uint8),
        "alpha.png": random.integers(0, 255, (30, 40, 4), np.uint8),
        "deep.png": random.integers(0, 65535, (30, 40, 3), np.uint16),
        "deep.tiff": random.integers(0, 65535, (30, 40), np.uint16),
    }
    with Detector.open() as detector:
        for name, image in kinds.items():
            cv2.imwrite(str(tmp_path / name), image)
            read = read_image(tmp_path / name)
            assert (read.shape, read.dtype) == ((*image.shape[:2], 3), np.uint8)
            assert np.isfinite(detector.detect(read).boxes).all()


def _many_layers(folder: Path) -> None:
    (folder / "a.prototxt").write_text("layer{}" * 400_000)


def _many_dimensions(folder: Path) -> None:
    sides = ",".join(["1"] * 400_000)
    text = f'layer {{ name: "a" type: "Input" input_param {{ shape {{ dim: [{sides}] }} }} }}'
    (folder / "a.prototxt").write_text(text)


def _many_lines(folder: Path) -> None:
    (folder / "a.prototxt").write_text("#\n" * (3 << 20))


def _long_text(folder: Path) -> None:
    (folder / "a.prototxt").write_text(" " * (5 << 20))


def _many_trained_layers(folder: Path) -> None:
    (folder / "a.caffemodel").write_bytes(b"\xa2\x06\x00" * (20 << 20))


def _many_blobs(folder: Path) -> None:
    length = bytes((8 << 20) >> shift & 0x7F | 0x80 for shift in (0, 7, 14)) + b"\x04"
    (folder / "a.caffemodel").write_bytes(b"\xa2\x06" + length + b"\x3a\x00" * (4 << 20))


@pytest.mark.parametrize(
    "make",
    [_many_layers, _many_dimensions, _many_lines, _long_text, _many_trained_layers, _many_blobs],
)
def test_caffe_pair_of_millions_of_nothings(tmp_path: Path, make: Callable[[Path], None]) -> None:
    """As objects they took 4 GB and a minute."""
    pytest.importorskip("onnx", reason="makes ONNX of it")
    (tmp_path / "a.prototxt").write_text('layer { name: "a" type: "Input" top: "a" }')
    (tmp_path / "a.caffemodel").write_bytes(b"\xa2\x06\x00")
    make(tmp_path)
    arguments = {"prototxt": str(tmp_path / "a.prototxt")}
    with pytest.raises(InputError, match=r"more than 300000|larger than 4 MiB"):
        run_in_child(
            "tests.faults.misbehaving:read_caffe_pair",
            arguments,
            what="reading",
            timeout=120,
            memory=300 << 20,
        )


def test_ncnn_file_of_millions_of_layers(tmp_path: Path) -> None:
    from ultraface_deploy.converters.ncnn.files import read_param

    count = 600_000
    path = tmp_path / "a.param"
    path.write_text(f"7767517\n{count} {count}\n" + "a b 0 0\n" * count)
    with pytest.raises(InputError, match="larger than 4 MiB"):
        read_param(path)
