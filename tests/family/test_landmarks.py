"""The second member of the family: slim and RFB with five landmarks, BGR, anchors by stride."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import Convert, random_network
from ultraface_deploy import models
from ultraface_deploy.artifacts.convert import convert
from ultraface_deploy.artifacts.folder import ArtifactFolder
from ultraface_deploy.artifacts.source import resolve_source
from ultraface_deploy.backends import get_backend
from ultraface_deploy.detect.detector import Detector
from ultraface_deploy.errors import BackendError, InputError
from ultraface_deploy.family.anchors import make_anchors
from ultraface_deploy.family.boxes import decode_points
from ultraface_deploy.family.checkpoint import load_checkpoint
from ultraface_deploy.family.known import Known, parse_known
from ultraface_deploy.family.landmarks import WITH_LANDMARKS
from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.pipeline import PostprocessOptions, postprocess, preprocess
from ultraface_deploy.safe.images import DEMO_PHOTO, read_image

torch = pytest.importorskip("torch", reason="the networks are torch's")

_THEIR_HEADS = {
    "classification_headers": "conf",
    "regression_headers": "loc",
    "landmark_headers": "landm",
}


def network(architecture: Any) -> Any:
    """A network with random weights that finds a few faces, and landmarks for them."""
    from ultraface_deploy.family.nets import UltraFace

    torch.manual_seed(2)
    net = UltraFace(architecture, 2, landmarks=5).eval()
    net.load_state_dict(random_network(architecture).state_dict(), strict=False)
    for head in net.landmark_headers:
        torch.nn.init.normal_((head if hasattr(head, "weight") else head[-1]).weight, 0, 0.01)
    # These networks read whole grey levels.
    net.base_net[0][0].weight.data /= 128
    return net


def their_names(state: dict[str, Any]) -> dict[str, Any]:
    """The names that the published code for these networks gives its parameters."""
    named = {}
    for name, value in state.items():
        part, rest = name.split(".", 1)
        if part == "base_net":
            number, rest = rest.split(".", 1)
            part = f"conv{int(number) + 1}"
        elif part == "extras":
            part, rest = "conv14", rest.split(".", 1)[1]
        named[f"module.{_THEIR_HEADS.get(part, part)}.{rest}"] = value
    return named


@pytest.fixture(scope="module", params=["slim", "rfb"])
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("landmarks") / f"{request.param}.pth"
    torch.save(their_names(network(request.param).state_dict()), path)
    return path


def test_their_checkpoints_are_recognised_by_their_names(checkpoint: Path) -> None:
    loaded = load_checkpoint(checkpoint, size_known=True)
    spec = loaded.spec
    assert (spec.architecture, spec.landmarks, spec.color) == (checkpoint.stem, 5, "bgr")
    assert (spec.mean, spec.std) == ((104, 117, 123), (1, 1, 1))
    tensor = torch.zeros(spec.input_shape)
    with torch.no_grad():
        wanted = network(checkpoint.stem).with_landmarks(tensor)
        found = loaded.build().with_landmarks(tensor)
    for ours, theirs in zip(found, wanted, strict=True):
        assert torch.equal(ours, theirs)


def test_preprocessing_is_bgr_minus_the_means() -> None:
    spec = ModelSpec("net", "slim", **WITH_LANDMARKS)
    image = np.random.default_rng(0).integers(0, 255, (240, 320, 3), np.uint8)
    wanted = (image.astype(np.float32) - [104, 117, 123]).transpose(2, 0, 1)[None]
    np.testing.assert_array_equal(preprocess(image, spec), wanted.astype(np.float32))


def test_anchors_sit_by_the_stride_and_are_not_clipped() -> None:
    anchors = make_anchors(ModelSpec("net", "slim", **WITH_LANDMARKS))
    last = anchors[-60:].reshape(4, 5, 3, 4)  # stride 64: 5x4 cells, three sides
    np.testing.assert_allclose(last[3, 4, 2], [4.5 * 64 / 320, 3.5 * 64 / 240, 0.8, 256 / 240])


def test_points_are_coded_like_the_centres_of_boxes() -> None:
    anchor = np.float32([[0.5, 0.4, 0.2, 0.1]])
    offsets = np.float32([[1, 2, -1, 0, 0, 0, 5, 5, 0, 10]])
    points = decode_points(offsets, anchor, 0.1).reshape(5, 2)
    wanted = [[0.52, 0.42], [0.48, 0.4], [0.5, 0.4], [0.6, 0.45], [0.5, 0.5]]
    np.testing.assert_allclose(points, wanted, rtol=1e-6)


@pytest.mark.parametrize("kind", ["hard", "soft", "blend"])
def test_nms_keeps_each_face_s_own_landmarks(kind: Any) -> None:
    spec = ModelSpec("net", "slim", head="decoded", **WITH_LANDMARKS)
    count = spec.num_anchors
    scores = np.zeros((1, count, 2), np.float32)
    boxes = np.zeros((1, count, 4), np.float32)
    points = np.zeros((1, count, 10), np.float32)
    for number, (index, score) in enumerate(((7, 0.9), (900, 0.95))):
        scores[0, index, 1] = score
        boxes[0, index] = [0.1 + number / 2, 0.1, 0.3 + number / 2, 0.3]
        points[0, index] = number + 1
    options = PostprocessOptions(0.5, nms=kind)
    faces = postprocess(scores, boxes, spec, (100, 100), options, points)
    assert faces.landmarks is not None and faces.landmarks.shape == (2, 5, 2)
    np.testing.assert_allclose(faces.landmarks[:, 0, 0], [200, 100], rtol=1e-5)
    assert len(faces[0].landmarks or ()) == 5


@pytest.fixture(scope="module")
def raw(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> ArtifactFolder:
    """A folder with a format for each runtime; its tests do not change it."""
    targets = {"onnx", "onnxsim", *(get_backend(name).formats[0] for name in runtimes())}
    out = tmp_path_factory.mktemp("raw") / "out"
    return convert(resolve_source(checkpoint, (128, 96)), sorted(targets), output=out)


def runtimes() -> list[str]:
    names = ("onnxruntime", "opencv", "mnn", "ncnn", "caffe")
    return [name for name in names if get_backend(name).available()]


@pytest.mark.slow
def test_every_format_gives_the_landmarks_of_the_checkpoint(raw: ArtifactFolder) -> None:
    image = read_image(DEMO_PHOTO)
    options = PostprocessOptions(0.0, candidates=20, top_k=5)
    wanted = Detector.open(raw.path, "torch", options=options).detect(image)
    assert len(wanted) and wanted.landmarks is not None
    for name in runtimes():
        found = Detector.open(raw.path, name, options=options).detect(image)
        assert found.landmarks is not None
        np.testing.assert_allclose(found.landmarks, wanted.landmarks, atol=0.1)


@pytest.mark.slow
def test_a_decoded_head_decodes_landmarks_too(
    checkpoint: Path, raw: ArtifactFolder, tmp_path: Path
) -> None:
    decoded = convert(
        resolve_source(checkpoint, (128, 96), "decoded"), ["onnx"], output=tmp_path / "decoded"
    )
    image, options = read_image(DEMO_PHOTO), PostprocessOptions(0.0, candidates=20, top_k=5)
    for backend in ("torch", "onnxruntime"):
        first, second = (
            Detector.open(folder.path, backend, options=options).detect(image)
            for folder in (raw, decoded)
        )
        assert first.landmarks is not None and second.landmarks is not None
        np.testing.assert_allclose(first.landmarks, second.landmarks, atol=0.05)


def foreign(converted: Convert, path: Path, width: int, name: str = "more") -> Path:
    """An ONNX of slim without our metadata, with a further output (1, anchors, width)."""
    onnx = pytest.importorskip("onnx", reason="writes ONNX files")
    folder = converted(models.FOLDER / "slim-320.pth", "onnx", size=(128, 96))
    model = onnx.load(str(folder.files(folder.find("onnx"))[0]))
    del model.metadata_props[:]
    weights = onnx.numpy_helper.from_array(np.zeros((4, width), np.float32), "more_weights")
    model.graph.initializer.append(weights)
    model.graph.node.append(onnx.helper.make_node("MatMul", ["boxes", "more_weights"], [name]))
    shape = [1, model.graph.output[1].type.tensor_type.shape.dim[1].dim_value, width]
    model.graph.output.append(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
    )
    onnx.save(model, str(path))
    return path


@pytest.mark.slow
def test_an_unknown_output_is_refused_or_ignored_when_asked(
    converted: Convert, tmp_path: Path
) -> None:
    path = foreign(converted, tmp_path / "odd.onnx", 7, "poses")
    for backend in ("onnxruntime", "opencv"):
        with pytest.raises(InputError, match=r"poses.*`ignore_outputs`"):
            Detector.open(path, backend)
    with pytest.raises(InputError, match=r"poses.*`ignore_outputs`"):
        resolve_source(path)
    known = Known(ignore_outputs=True)
    faces = Detector.open(path, known=known).detect(read_image(DEMO_PHOTO))
    assert len(faces) == 1 and faces.landmarks is None
    folder = convert(resolve_source(path, known=known), ["onnxsim"], output=tmp_path / "out")
    assert Detector.open(folder.path).spec.outputs == {"scores": 2, "boxes": 4}


@pytest.mark.slow
def test_what_the_user_knows_of_the_input_goes_into_the_manifest(
    converted: Convert, tmp_path: Path
) -> None:
    path = foreign(converted, tmp_path / "lm.onnx", 10)
    assert Detector.open(path).spec.mean == (104, 117, 123)
    known = parse_known("127", "128", "rgb")
    image = read_image(DEMO_PHOTO)
    assert len(Detector.open(path, known=known).detect(image)) == 1
    folder = convert(resolve_source(path, known=known), ["onnxsim"], output=tmp_path / "out")
    spec = Detector.open(folder.path).spec
    assert (spec.mean, spec.std, spec.color) == ((127,) * 3, (128,) * 3, "rgb")
    with pytest.raises(InputError, match="states itself"):
        alone = copy_alone(folder.path / "lm.onnx", tmp_path)
        Detector.open(alone, known=parse_known("1", None, None))


def copy_alone(path: Path, folder: Path) -> Path:
    (folder / "alone").mkdir(exist_ok=True)
    copy = folder / "alone" / path.name
    copy.write_bytes(path.read_bytes())
    return copy


@pytest.mark.slow
def test_a_fixed_file_at_another_size_names_its_own(converted: Convert, tmp_path: Path) -> None:
    path = foreign(converted, tmp_path / "lm.onnx", 10)
    with pytest.raises((InputError, BackendError), match="is fixed at 128x96"):
        Detector.open(path, input_size=(320, 240))
