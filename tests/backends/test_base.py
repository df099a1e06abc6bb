"""What all backends share: binding of outputs, plausibility, and how failures look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from ultraface_deploy.agreement.precision import Precision
from ultraface_deploy.backends import Backend, Session, backend_names, base, get_backend
from ultraface_deploy.backends.base import Tensor
from ultraface_deploy.backends.outputs import bind_outputs, implausible
from ultraface_deploy.errors import BackendError, InputError, MissingDependency
from ultraface_deploy.family.spec import ModelSpec

SPEC = ModelSpec("net", "slim", 64, 64)
N = SPEC.num_anchors


def scores(classes: int = 2) -> np.ndarray:
    return np.full((1, N, classes), 1 / classes, np.float32)


def boxes() -> np.ndarray:
    return np.ones((1, N, 4), np.float32)


@pytest.mark.parametrize(
    "named",
    [
        {"scores": scores(), "boxes": boxes()},
        {"boxes": boxes(), "scores": scores()},
        {"out0": boxes(), "out1": scores()},
        {"460": scores()[0], "460_2": boxes()[0]},
        {"scores": scores().ravel(), "boxes": boxes().ravel()},
        {"scores": scores(), "boxes": boxes(), "features": np.zeros((1, 64, 8, 4), np.float32)},
    ],
    ids=["named", "reversed", "by shape", "no batch", "flat", "extra output"],
)
def test_found_by_name_or_shape(named: dict[str, np.ndarray]) -> None:
    found = bind_outputs(named, SPEC)
    np.testing.assert_array_equal(found["scores"], scores())
    np.testing.assert_array_equal(found["boxes"], boxes())


@pytest.mark.parametrize(
    "named",
    [
        {},
        {"scores": scores()},
        {"scores": scores()[:, 1:], "boxes": boxes()},
        {"a": scores(), "b": scores(), "c": boxes()},
        {"a": scores(3), "b": boxes()},
        {"a": np.float32(1), "b": boxes()},
    ],
    ids=["nothing", "no boxes", "other size", "ambiguous", "other classes", "scalar"],
)
def test_not_there(named: dict[str, np.ndarray]) -> None:
    with pytest.raises(BackendError, match="64x64"):
        bind_outputs(named, SPEC)


def test_four_classes_are_never_told_from_boxes_by_shape() -> None:
    spec = ModelSpec("net", "slim", 64, 64, num_classes=4)
    with pytest.raises(BackendError):
        bind_outputs({"a": scores(4), "b": boxes()}, spec)
    bind_outputs({"boxes": boxes(), "scores": scores(4)}, spec)


def test_implausible_outputs() -> None:
    assert implausible({"scores": scores(), "boxes": boxes()}) is None
    for wrong_scores, wrong_boxes, reason in (
        (scores() * 0, boxes(), "sum to 1"),
        (scores() * np.nan, boxes(), "finite"),
        (scores(), boxes() * np.inf, "finite"),
        (scores(), boxes() * 0, "zero"),
        (scores() + np.array([2, -2], np.float32), boxes(), "sum to 1"),
    ):
        problem = implausible({"scores": wrong_scores, "boxes": wrong_boxes})
        assert problem is not None
        assert reason in problem


class _Fake(Backend):
    name, formats, module, distribution = "fake", ("fake",), "json", "pytest"

    def __init__(self, outputs: Mapping[str, Tensor] | Exception) -> None:
        self.outputs = outputs

    def _load(
        self, files: Sequence[Path], spec: ModelSpec, threads: int, precision: Precision
    ) -> Session:
        outputs = self.outputs
        if isinstance(outputs, Exception):
            raise outputs

        class Fixed(Session):
            def _run(self, tensor: Tensor) -> Mapping[str, Tensor]:
                assert tensor.shape == spec.input_shape
                assert tensor.dtype == np.float32
                return outputs

        return Fixed(spec)


FILES = [Path("some.file")]


def test_loading_proves_that_it_runs() -> None:
    session = _Fake({"scores": scores(), "boxes": boxes()}).load(FILES, SPEC)
    assert session.run(np.zeros(SPEC.input_shape, np.float32)).keys() == {"scores", "boxes"}
    with pytest.raises(BackendError, match=r"some\.file: fake runs it, but its boxes are all zero"):
        _Fake({"scores": scores(), "boxes": boxes() * 0}).load(FILES, SPEC)


@pytest.mark.parametrize("error", [ValueError("one\ntwo"), RuntimeError(), MemoryError("big")])
def test_a_runtimes_own_error_is_one_line(error: Exception) -> None:
    with pytest.raises(
        BackendError, match=r"some\.file: fake cannot run it \(.*\); convert it again, or"
    ) as raised:
        _Fake(error).load(FILES, SPEC)
    assert "\n" not in str(raised.value)
    assert raised.value.exit_code == 2


def test_no_threads() -> None:
    with pytest.raises(InputError, match="`threads` 0"):
        _Fake({"scores": scores(), "boxes": boxes()}).load(FILES, SPEC, threads=0)


def test_missing_runtime_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ultraface_deploy.backends.base.find_spec", lambda name: None)
    for name in ("mnn", "ncnn", "torch"):
        backend = get_backend(name)
        assert not backend.available()
        with pytest.raises(MissingDependency, match=r"pip install 'ultraface-deploy\["):
            backend.load(FILES, SPEC)
    with pytest.raises(MissingDependency, match="pip install onnxruntime"):
        get_backend("onnxruntime").require()


def test_names() -> None:
    for name in backend_names():
        assert get_backend(name).name == name
    with pytest.raises(InputError, match="`backend` tensorrt: unknown; choose from onnxruntime"):
        get_backend("tensorrt")


class _Halves(Backend):
    name = "halves"
    formats = ("mnn",)
    module = "numpy"
    distribution = "numpy"
    halves = True

    def _load(
        self, files: Sequence[Path], spec: ModelSpec, threads: int, precision: Precision
    ) -> Session:
        self.allowed = precision
        return _Constant(spec)


class _Constant(Session):
    def _run(self, tensor: Tensor) -> Mapping[str, Tensor]:
        return {"scores": scores(), "boxes": boxes()}


@pytest.mark.parametrize(
    ("features", "precision", "passed", "expected"),
    [
        ("fp asimd fphp asimdhp", "int8", True, True),
        ("fp asimd fphp asimdhp", "int8", False, False),
        ("fp asimd fphp asimdhp", "fp32", True, False),
        ("fp asimd asimddp", "int8", True, False),
        ("sse avx512_fp16", "int8", True, False),
    ],
)
def test_half_floats_only_where_they_passed_and_exist(
    features: str,
    precision: Precision,
    passed: bool,
    expected: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nFeatures\t: {features}\n")
    able = base.computes_halves(tmp_path / "cpuinfo")
    monkeypatch.setattr(base, "computes_halves", lambda: able)
    backend = _Halves()
    session = backend.load([tmp_path / "net.mnn"], SPEC, precision=precision, halves=passed)
    assert session.halves is expected
    assert backend.allowed == ("fp16" if expected else precision)


def test_without_a_cpuinfo_there_are_no_half_floats(tmp_path: Path) -> None:
    assert not base.computes_halves(tmp_path / "none")
