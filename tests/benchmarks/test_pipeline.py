from __future__ import annotations

import pytest

from ultraface_deploy.artifacts.folder import ArtifactFolder
from ultraface_deploy.benchmarks import pipeline
from ultraface_deploy.safe.images import DEMO_PHOTO


def test_each_stage_has_a_time(folder: ArtifactFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "_ROUNDS", 3)
    stages = pipeline.stage_ms(DEMO_PHOTO, str(folder.path))
    assert list(stages) == ["preprocess", "inference", "postprocess"]
    assert all(0 < value < 1000 for values in stages.values() for value in values)
