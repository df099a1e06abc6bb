"""The native backend: which C files it compiles, and what it says without a compiler."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import require_installed
from ultraface_deploy import models
from ultraface_deploy.artifacts.convert import convert
from ultraface_deploy.artifacts.source import resolve_source
from ultraface_deploy.backends import get_backend
from ultraface_deploy.backends.native import KNOWN_CODE, code_hash
from ultraface_deploy.converters import get_format
from ultraface_deploy.errors import BackendError, MissingDependency
from ultraface_deploy.family.spec import ModelSpec

require_installed("onnxsim", "C is made from simplified ONNX")
NATIVE = get_backend("native")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    """The embedded slim network as C."""
    if not NATIVE.available():
        pytest.skip("needs a C compiler")
    source = resolve_source(models.FOLDER / "slim-320.onnx", (64, 64))
    folder = convert(source, ["c"], output=tmp_path_factory.mktemp("artifacts"))
    return folder.files(folder.find("c"))


def damaged(files: tuple[Path, ...], folder: Path, old: str, new: str) -> tuple[Path, ...]:
    copies = tuple(Path(shutil.copy(path, folder)) for path in files)
    text = copies[0].read_text()
    assert old in text
    copies[0].write_text(text.replace(old, new, 1))
    return copies


def test_the_file_says_what_the_network_is(files: tuple[Path, ...]) -> None:
    spec = get_format("c").stated_spec(files)
    assert spec is not None
    assert (spec.name, spec.width, spec.height) == ("slim-320-64x64", 64, 64)


def test_what_this_version_writes_is_known(files: tuple[Path, ...]) -> None:
    found = code_hash(*(path.read_text() for path in files))
    assert found in KNOWN_CODE, f"the kernels changed: put {found} into KNOWN_CODE"


def test_it_runs_where_no_home_can_be_written(
    files: tuple[Path, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    spec = get_format("c").stated_spec(files)
    assert spec is not None
    found = NATIVE.load(files, spec).run(np.zeros(spec.input_shape, np.float32))
    assert np.isfinite(found["scores"]).all()


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    """The same with a name for its class."""
    if not NATIVE.available():
        pytest.skip("needs a C compiler")
    source = resolve_source(models.FOLDER / "slim-320.onnx", (64, 64), class_names=("l'été",))
    folder = convert(source, ["c"], output=tmp_path_factory.mktemp("named"))
    return folder.files(folder.find("c"))


@pytest.mark.parametrize(
    "new",
    [
        '"face", (char *)abort',
        '"a" "b"',
        '"a\\',
        '"\\x22"',
        '"\\477"',
        '"a\n"',
        '"a", abort(), "b"',
        "",
    ],
)
def test_names_are_names_alone(named: tuple[Path, ...], tmp_path: Path, new: str) -> None:
    found = code_hash(*(path.read_text() for path in named))
    assert found in KNOWN_CODE, f"the kernels changed: put {found} into KNOWN_CODE"
    stated = get_format("c").stated_spec(named)
    assert isinstance(stated, ModelSpec)
    assert stated.class_names == ("l'été",)
    with pytest.raises(BackendError, match="not a C file of this version"):
        NATIVE.load(damaged(named, tmp_path, '"l\\047\\303\\251t\\303\\251"', new), stated)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("static int64_t area(", "int system(const char *);\nstatic int64_t area("),
        ("ALIGNED = {\n", "ALIGNED = {\n    abort(),"),
        ("const int64_t both = area(shared);", "const int64_t both = area(a);"),
        ("/* ", "/\\\n* "),
        ('#include "', '#include "../../'),
        # Gigabytes of zeros, which the compiler would write.
        ("bias_0[16] ALIGNED", "bias_0[900000000] ALIGNED"),
    ],
)
def test_other_code_is_not_compiled(
    files: tuple[Path, ...], tmp_path: Path, old: str, new: str
) -> None:
    spec = get_format("c").stated_spec(files)
    assert isinstance(spec, ModelSpec)
    with pytest.raises(BackendError, match="not a C file of this version"):
        NATIVE.load(damaged(files, tmp_path, old, new), spec)


def test_without_a_compiler_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    assert not NATIVE.available()
    assert NATIVE.version() is None
    with pytest.raises(MissingDependency, match=r"apt install gcc"):
        NATIVE.require()
