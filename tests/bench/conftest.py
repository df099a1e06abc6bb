"""Folders as on a board: without the checkpoint."""

from __future__ import annotations

import json

import pytest

from ultraface_deploy.artifacts.folder import MANIFEST, ArtifactFolder


@pytest.fixture
def folder(folder: ArtifactFolder) -> ArtifactFolder:
    """The small folder; its ONNX file is the original, which needs no torch in each child."""
    manifest = json.loads((folder.path / MANIFEST).read_text())
    manifest["artifacts"] = [each for each in manifest["artifacts"] if each["id"] != "torch"]
    (folder.path / MANIFEST).write_text(json.dumps(manifest))
    return ArtifactFolder.open(folder.path)
