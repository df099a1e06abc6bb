"""The mean of checkpoints is that of their weights, and only networks of one kind have one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ultraface_deploy.errors import InputError
from ultraface_deploy.family.checkpoint import load_checkpoint
from ultraface_deploy.family.spec import METADATA_KEY
from ultraface_deploy.train.average import average_checkpoints
from ultraface_deploy.train.loop import save

MakeCheckpoint = Callable[..., Path]


def moved(path: Path, step: float, name: str) -> Path:
    """The network of `path` with every number greater by `step`."""
    own = load_checkpoint(path)
    weights = {
        key: value + step if value.is_floating_point() else value
        for key, value in own.state_dict.items()
    }
    file = path.with_name(name)
    save({"state_dict": weights, METADATA_KEY: own.spec.resized(96, 64).to_dict()}, file)
    return file


def test_weights_are_averaged_and_the_first_gives_the_size(
    make_checkpoint: MakeCheckpoint, tmp_path: Path, cli: Callable[..., Any]
) -> None:
    first = make_checkpoint("slim")
    parts = [first, moved(first, 0.5, "up.pth"), moved(first, 1.0, "up2.pth")]
    done = cli("models", "average", *parts, "-o", tmp_path / "mean.pth")
    assert done.code == 0, done.err
    mean, own = load_checkpoint(tmp_path / "mean.pth"), load_checkpoint(first)
    assert (mean.spec.width, mean.spec.height) == (own.spec.width, own.spec.height)
    for key, value in own.state_dict.items():
        wanted = value + 0.5 if value.is_floating_point() else value
        torch.testing.assert_close(mean.state_dict[key], wanted)
        assert mean.state_dict[key].dtype == value.dtype


def test_a_name_and_the_network_it_names_have_it_as_their_mean(tmp_path: Path) -> None:
    average_checkpoints([Path("slim-320"), Path("slim-320")], tmp_path / "mean.pth")
    mean, own = load_checkpoint(tmp_path / "mean.pth"), load_checkpoint(_shipped("slim-320"))
    assert all(torch.equal(mean.state_dict[key], own.state_dict[key]) for key in own.state_dict)


def _shipped(name: str) -> Path:
    from ultraface_deploy import models

    return models.FOLDER / str(models.find(name).file)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [({"architecture": "rfb"}, "rfb network"), ({"num_classes": 3}, "3 classes")],
)
def test_networks_of_two_kinds_have_no_mean(
    make_checkpoint: MakeCheckpoint, tmp_path: Path, arguments: dict[str, Any], says: str
) -> None:
    architecture = arguments.pop("architecture", "slim")
    pair = [make_checkpoint("slim"), make_checkpoint(architecture, **arguments)]
    with pytest.raises(InputError, match=says) as caught:
        average_checkpoints(pair, tmp_path / "mean.pth")
    assert "\n" not in str(caught.value) and not (tmp_path / "mean.pth").exists()


def test_one_checkpoint_has_no_mean(make_checkpoint: MakeCheckpoint, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="give two or more"):
        average_checkpoints([make_checkpoint("slim")], tmp_path / "mean.pth")
