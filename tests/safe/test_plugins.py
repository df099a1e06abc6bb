"""Plug-ins that are broken: named, and nobody else's trouble."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from tests.conftest import Cli
from ultraface_deploy.backends import backend_names, get_backend, refused_backends
from ultraface_deploy.converters import format_names, get_format, target_names
from ultraface_deploy.doctor import examine
from ultraface_deploy.errors import InputError, MissingDependency
from ultraface_deploy.safe.images import DEMO_PHOTO

BROKEN = {
    "import nosuchpackage": "No module named 'nosuchpackage'",
    "raise RuntimeError('two\\nlines')": "two lines",
    "BACKEND = FORMAT = 3": ":BACKEND is not a Backend",
    "": "has no attribute 'BACKEND'",
    "from ultraface_deploy.backends.onnxruntime import BACKEND\n"
    "from ultraface_deploy.converters.caffe import FORMAT": "its record is called 'onnxruntime'",
}


@pytest.fixture
def plugin(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Install a package whose one module is this text; return what is wrong with it."""
    number = list(BROKEN).index(request.param)
    (tmp_path / f"broken{number}.py").write_text(request.param)
    about = tmp_path / "stranger-0.1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 0.1\n")
    (about / "entry_points.txt").write_text(
        f"[ultraface_deploy.backends]\nbroken = broken{number}:BACKEND\n"
        f"mnn = broken{number}:BACKEND\n"
        f"[ultraface_deploy.converters]\nbroken = broken{number}:FORMAT\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    return BROKEN[request.param]


@pytest.mark.parametrize("plugin", BROKEN, indirect=True)
def test_a_broken_one_is_named_and_left_out(
    plugin: str, cli: Cli, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert "broken" not in backend_names()
    assert "broken" not in (*format_names(), *target_names())
    assert get_backend("mnn").name == "mnn"
    lines = [line for line in refused_backends() if "backend broken" in line]
    assert len(lines) == 1 and plugin in lines[0] and "uninstall stranger" in lines[0]
    assert any("a built-in one has its name" in line for line in examine()["refused"])
    assert lines[0] in examine()["refused"]
    error = MissingDependency if "No module" in plugin else InputError
    with pytest.raises(error, match="backend broken, a plug-in of stranger, cannot be used"):
        get_backend("broken")
    with pytest.raises(error, match="format broken, a plug-in of stranger, cannot be used"):
        get_format("broken")
    found = cli("detect", DEMO_PHOTO, "--json", "-")
    assert found.code == 0, found.err
    assert "Traceback" not in found.err
