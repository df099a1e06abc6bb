"""Every runtime on the same small network: equal to torch, threads honoured, damage refused."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.conftest import ROOT, Convert, MakeCheckpoint
from ultraface_deploy import models
from ultraface_deploy.artifacts.folder import ArtifactFolder
from ultraface_deploy.backends import Outputs, Session, get_backend
from ultraface_deploy.backends.base import probe_tensor
from ultraface_deploy.converters import get_format
from ultraface_deploy.converters.mnn.convert import convert_onnx
from ultraface_deploy.detect.detector import Detector
from ultraface_deploy.errors import BackendError

RUNTIMES = {
    "torch": "torch",
    "onnxruntime": "onnxsim",
    "mnn": "mnn",
    "ncnn": "ncnn",
    "litert": "tflite",
    "openvino": "openvino",
    "opencv": "onnxsim",
}
FORMATS = tuple(
    dict.fromkeys(f for f in RUNTIMES.values() if f != "torch" and get_format(f).missing() is None)
)
TOLERANCE = {"mnn": 1e-3}

every_runtime = pytest.mark.parametrize("name", RUNTIMES)


@pytest.fixture(scope="module", params=["slim", "rfb"])
def small(request: pytest.FixtureRequest, converted: Convert, make_checkpoint: MakeCheckpoint):  # type: ignore[no-untyped-def]
    return converted(make_checkpoint(request.param), *FORMATS, size=(128, 96))


def load(folder: ArtifactFolder, name: str, threads: int = 1) -> Session:
    backend = get_backend(name)
    if not backend.available():
        pytest.skip(f"{name} is not installed")
    return backend.load(folder.files(folder.find(RUNTIMES[name])), folder.spec, threads)


def reference(folder: ArtifactFolder, tensor: np.ndarray) -> Outputs:
    return _reference(folder.files(folder.find("torch"))[0], tensor.shape, tensor.tobytes())


@cache
def _reference(checkpoint: Path, shape: tuple[int, ...], content: bytes) -> Outputs:
    """Once for all runtimes: with more threads than idle cores torch takes seconds for it."""
    import torch

    from ultraface_deploy.family.checkpoint import load_checkpoint

    net = load_checkpoint(checkpoint).build()
    tensor = np.frombuffer(content, np.float32).reshape(shape)
    with torch.inference_mode():
        logits, offsets = net(torch.from_numpy(tensor.copy()))
        return {"scores": torch.softmax(logits, 2).numpy(), "boxes": offsets.numpy()}


def assert_equal(found: Outputs, wanted: Outputs, atol: float) -> None:
    for key, value in wanted.items():
        assert found[key].dtype == np.float32
        np.testing.assert_allclose(found[key], value, rtol=0, atol=atol, err_msg=key)


@every_runtime
@pytest.mark.parametrize("threads", [1, 2])
def test_equals_torch(small: ArtifactFolder, name: str, threads: int) -> None:
    session = load(small, name, threads)
    for seed in range(3 if threads == 1 else 1):
        tensor = np.random.default_rng(seed).uniform(-1, 1, small.spec.input_shape)
        tensor = tensor.astype(np.float32)
        assert_equal(session.run(tensor), reference(small, tensor), TOLERANCE.get(name, 1e-4))


@every_runtime
def test_outputs_outlive_the_next_run(small: ArtifactFolder, name: str) -> None:
    session = load(small, name)
    first = session.run(probe_tensor(small.spec))
    kept = {key: value.copy() for key, value in first.items()}
    other = session.run(np.zeros(small.spec.input_shape, np.float32))
    assert not np.array_equal(other["boxes"], kept["boxes"])
    for key, value in kept.items():
        np.testing.assert_array_equal(first[key], value)


@every_runtime
def test_input_is_left_alone(small: ArtifactFolder, name: str) -> None:
    tensor = probe_tensor(small.spec)
    load(small, name).run(tensor)
    np.testing.assert_array_equal(tensor, probe_tensor(small.spec))


@every_runtime
def test_two_sessions_do_not_mix(small: ArtifactFolder, name: str) -> None:
    tensor = probe_tensor(small.spec)
    first, second = load(small, name), load(small, name, threads=2)
    before = first.run(tensor)
    second.run(np.zeros_like(tensor))
    assert_equal(first.run(tensor), before, 1e-6)


# How many threads live in the process after inference with one and with four.
COUNT_THREADS = """
import sys
from pathlib import Path
from ultraface_deploy.artifacts.folder import ArtifactFolder
from ultraface_deploy.backends import get_backend
from ultraface_deploy.backends.base import probe_tensor
folder, name, format = ArtifactFolder.open(sys.argv[1]), sys.argv[2], sys.argv[3]
tensor = probe_tensor(folder.spec)
sessions = []
for threads in (1, 4):
    files = folder.files(folder.find(format))
    session = get_backend(name).load(files, folder.spec, threads)
    session.run(tensor)
    sessions.append(session)
    print("threads", len(list(Path("/proc/self/task").iterdir())))
"""


@every_runtime
def test_threads_are_honoured(
    converted: Convert, make_checkpoint: MakeCheckpoint, name: str
) -> None:
    folder = converted(make_checkpoint(), *FORMATS, size=(128, 96))
    if not get_backend(name).available():
        pytest.skip(f"{name} is not installed")
    done = subprocess.run(
        [sys.executable, "-c", COUNT_THREADS, folder.path, name, RUNTIMES[name]],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    # Between the runtimes' own notes.
    lines = [line.split() for line in done.stdout.splitlines() if line.startswith("threads ")]
    one, four = (int(count) for _, count in lines)
    # torch leaves one out where there is too little work; OpenCV's pool counts the caller.
    assert 2 <= four - one <= 4


def swap_outputs(source: Path, target: Path) -> Path:
    model = onnx.load(str(source))
    outputs = list(model.graph.output)
    assert [output.name for output in outputs] == ["scores", "boxes"]
    del model.graph.output[:]
    model.graph.output.extend(reversed(outputs))
    onnx.save(model, str(target))
    return target


def as_mnn(source: Path, target: Path) -> Path:
    convert_onnx(source, target)
    return target


def test_torch_leaves_the_program_its_threads(small: ArtifactFolder) -> None:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        load(small, "torch", 1).run(probe_tensor(small.spec))
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("name", ["onnxruntime", "opencv", "mnn"])
def test_outputs_are_not_bound_by_position(
    small: ArtifactFolder, tmp_path: Path, name: str
) -> None:
    swapped = swap_outputs(small.files(small.find("onnxsim"))[0], tmp_path / "swapped.onnx")
    if name == "mnn":
        swapped = as_mnn(swapped, tmp_path / "swapped.mnn")
    tensor = probe_tensor(small.spec)
    session = get_backend(name).load([swapped], small.spec)
    assert_equal(session.run(tensor), reference(small, tensor), 1e-3)


def test_ncnn_outputs_are_not_bound_by_position(small: ArtifactFolder, tmp_path: Path) -> None:
    """Blobs by other people's names, in whichever order the runtime lists them."""
    param, weights = small.files(small.find("ncnn"))
    text = param.read_text()
    for ours, theirs in (("scores", "zzz"), ("boxes", "aaa"), ("input", "data")):
        text = text.replace(f" {ours}", f" {theirs}")
    renamed = tmp_path / "other.param"
    renamed.write_text(text)
    tensor = probe_tensor(small.spec)
    session = get_backend("ncnn").load([renamed, weights], small.spec)
    assert_equal(session.run(tensor), reference(small, tensor), 1e-4)


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "truncated": lambda content: content[: len(content) // 2],
    "text": lambda content: b"this is not a model\n" * 50,
    "zeros": lambda content: bytes(len(content)),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", ["onnxruntime", "mnn", "ncnn", "litert", "openvino", "opencv"])
def test_damaged_files_are_an_error(
    tmp_path: Path, converted: Convert, make_checkpoint: MakeCheckpoint, name: str, damage: str
) -> None:
    """In a child process, as a runtime may crash on them; the caller must learn of it."""
    from ultraface_deploy.errors import UltraFaceError
    from ultraface_deploy.safe.child import run_in_child

    small = converted(make_checkpoint(), *FORMATS, size=(128, 96))
    files = []
    for path in small.files(small.find(RUNTIMES[name])):
        files.append(tmp_path / path.name)
        content = path.read_bytes()
        last = path.suffix != ".param"
        files[-1].write_bytes(DAMAGE[damage](content) if last else content)
    with pytest.raises(UltraFaceError) as refused:
        run_in_child(
            "tests.backends.loading:load",
            {"name": name, "files": [str(f) for f in files], "spec": small.spec.to_dict()},
            what="loading",
        )
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["onnxruntime", "mnn", "ncnn", "litert", "openvino"])
def test_wrong_size_is_an_error(small: ArtifactFolder, name: str) -> None:
    """OpenCV is not among them: it fits these graphs to any size."""
    files = small.files(small.find(RUNTIMES[name]))
    for size in ((64, 64), (320, 240)):
        with pytest.raises(BackendError, match="cannot run it"):
            get_backend(name).load(files, small.spec.resized(*size))


def test_opencv_fits_the_graph_to_another_size(small: ArtifactFolder) -> None:
    wanted = small.spec.resized(160, 120)
    session = get_backend("opencv").load(small.files(small.find("onnxsim")), wanted)
    tensor = probe_tensor(wanted)
    assert_equal(session.run(tensor), reference(small, tensor), 1e-4)


def test_missing_file_is_an_error(small: ArtifactFolder, tmp_path: Path) -> None:
    for name in ("onnxruntime", "mnn", "ncnn", "litert", "opencv", "torch"):
        files = [tmp_path / "gone.onnx", tmp_path / "gone.bin"]
        with pytest.raises(BackendError, match="gone"):
            get_backend(name).load(files, small.spec)


def test_an_input_of_bytes_is_refused_with_what_to_do(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="writes ONNX files")
    model = onnx.load(str(models.FOLDER / "slim-320.onnx"))
    (given,) = model.graph.input
    given.type.tensor_type.elem_type = onnx.TensorProto.UINT8
    for node in model.graph.node:
        for at, name in enumerate(node.input):
            if name == given.name:
                node.input[at] = "real"
    cast = onnx.helper.make_node("Cast", [given.name], ["real"], to=onnx.TensorProto.FLOAT)
    model.graph.node.insert(0, cast)
    onnx.save(model, str(tmp_path / "bytes.onnx"))
    with pytest.raises(BackendError, match=r"its input is tensor\(uint8\).*export it without"):
        Detector.open(tmp_path / "bytes.onnx", "onnxruntime")
