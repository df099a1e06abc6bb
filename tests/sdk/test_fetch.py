"""The source of ncnn, from a pip that fails as the real one does; `make test-cpp` fetches it."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from ultraface_deploy.errors import InputError, ToolFailed
from ultraface_deploy.sdk.fetch import fetch_ncnn, require_fetchable

pytest.importorskip("ncnn", reason="its version is what is fetched")


def pip(unpacks: bool) -> Any:
    def run(
        command: Sequence[str], env: Mapping[str, str], **options: object
    ) -> subprocess.CompletedProcess[str]:
        assert "--no-binary" in command
        if unpacks:
            source = Path(env["TMPDIR"]) / "pip-download-x" / "ncnn_1"
            source.mkdir(parents=True)
            (source / "CMakeLists.txt").write_text("project(ncnn)")
        return subprocess.CompletedProcess(list(command), 1, "", "Looking\nERROR: no version\n")

    return run


def test_what_pip_leaves_is_taken(tmp_path: Path) -> None:
    fetch_ncnn(tmp_path / "ncnn-source", pip(unpacks=True))
    assert [path.name for path in tmp_path.iterdir()] == ["ncnn-source"]
    assert (tmp_path / "ncnn-source" / "CMakeLists.txt").is_file()
    with pytest.raises(InputError, match="is there already"):
        fetch_ncnn(tmp_path / "ncnn-source", pip(unpacks=True))


def test_nothing_stays_when_pip_gets_nothing(tmp_path: Path) -> None:
    with pytest.raises(ToolFailed, match="ERROR: no version; is there a network"):
        fetch_ncnn(tmp_path / "ncnn-source", pip(unpacks=False))
    assert list(tmp_path.iterdir()) == []


def test_mnn_is_in_no_registry() -> None:
    require_fetchable("ncnn")
    with pytest.raises(InputError, match=r"`fetch_runtime`: .*github.com/alibaba/MNN"):
        require_fetchable("mnn")
