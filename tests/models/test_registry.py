"""The registry: complete, unambiguous, and true of the files it speaks of."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ultraface_deploy import models
from ultraface_deploy.errors import InputError
from ultraface_deploy.safe.files import sha256_of

PUBLISHED = {
    "published-rfb-320": "c722b4427cc71642768baef6e15c659931b56f07425e5d2b0ec033ad41b145b3",
    "published-rfb-640": "bf34512b1a93dc234178e8a701ecf25c6afddf335a3226accf62982536e160b5",
    "published-slim-320": "cd24abce45da5dbc7cfd8167cd3d5f955382dfc9d9ae9459f0026abd3c2e38a4",
    "published-slim-640": "02ca778098127c46d2b2680f1c398c7b993c12a424e94c34e6d608beb73481e4",
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_checkpoints(name: str) -> None:
    entry = models.find(name)
    assert entry.sha256 == PUBLISHED[name]
    assert entry.url is not None
    assert entry.url.startswith(
        "https://github.com/Linzaer/Ultra-Light-Fast-Generic-Face-Detector-1MB/"
    )
    architecture, size = name.removeprefix("published-").split("-")
    assert f"version-{'RFB' if architecture == 'rfb' else 'slim'}-{size}.pth" in entry.url
    assert (entry.architecture, entry.width) == (architecture, int(size))
    assert not entry.embedded


def test_sums_are_those_of_the_published_files(checkpoints: Path) -> None:
    for path in checkpoints.glob("*.pth"):
        known = models.known_checkpoint(sha256_of(path))
        assert known is not None
        assert path.name in (known.url or "")


def test_every_entry_is_complete() -> None:
    for name, entry in models.registry().items():
        assert entry.name == name
        assert len(entry.sha256) == 64
        assert entry.licence
        assert entry.description
        assert (entry.file is None) != (entry.url is None)


def test_what_ships_is_there_and_unchanged() -> None:
    for entry in models.registry().values():
        if entry.embedded:
            assert sha256_of(models.FOLDER / str(entry.file)) == entry.sha256
            assert sha256_of(models.FOLDER / str(entry.onnx)) == entry.onnx_sha256


def test_unknown_name_and_sum() -> None:
    with pytest.raises(InputError, match="no model named 'x'; choose from"):
        models.find("x")
    assert models.known_checkpoint("0" * 64) is None


def test_two_models_of_one_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = json.loads((models.FOLDER / "registry.json").read_text())
    document["models"].append(document["models"][0])
    (tmp_path / "registry.json").write_text(json.dumps(document))
    monkeypatch.setattr(models, "FOLDER", tmp_path)
    models.registry.cache_clear()
    try:
        with pytest.raises(InputError, match="two models are named"):
            models.registry()
    finally:
        models.registry.cache_clear()
