"""Zip files: what is read is what every reader sees."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from ultraface_deploy.errors import InputError
from ultraface_deploy.safe.limits import Limit
from ultraface_deploy.safe.zips import records_of


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/B", bytes(5))
        archive.writestr("c", b"")
    return path


def test_names_and_sizes(whole: Path) -> None:
    assert records_of(whole, Limit.MODEL) == {"a/b": 5, "c": 0}


def test_what_unpacks_to_more_than_the_limit_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ULTRAFACE_DEPLOY_MAX_MODEL_MB", "1")
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", bytes(700_000))
        archive.writestr("b", bytes(700_000))
    assert path.stat().st_size < 10_000
    with pytest.raises(InputError, match="ULTRAFACE_DEPLOY_MAX_MODEL_MB"):
        records_of(path, Limit.MODEL)


def test_zip64_as_torch_writes_it(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="writes the file")
    path = tmp_path / "a.pt"
    torch.save({"w": torch.zeros(4)}, path)
    content = path.read_bytes()
    assert b"PK\x06\x06" in content
    assert records_of(path, Limit.MODEL)["a/data/0"] == 16
    damaged = bytearray(content)
    damaged[content.rindex(b"PK\x06\x07") + 8] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(ValueError, match="not where it says"):
        records_of(path, Limit.MODEL)


@pytest.mark.parametrize("change", ["behind", "before", "cut", "twice"])
def test_files_that_readers_could_read_differently(whole: Path, change: str) -> None:
    content = whole.read_bytes()
    if change == "twice":
        with zipfile.ZipFile(whole, "a") as archive:
            archive.writestr("A/b", b"")
    else:
        changed = {"behind": content + b"x", "before": b"x" + content, "cut": content[:-1]}
        whole.write_bytes(changed[change])
    with pytest.raises(ValueError, match="no sound zip file"):
        records_of(whole, Limit.MODEL)


def test_what_is_no_zip_file(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    for content in (b"PK", io.BytesIO(bytes(200)).getvalue()):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="does not end with its directory"):
            records_of(path, Limit.MODEL)
