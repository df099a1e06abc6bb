"""The mean of several checkpoints' weights: one network, no slower than each of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from ultraface_deploy.errors import InputError
from ultraface_deploy.family.checkpoint import Checkpoint, load_checkpoint
from ultraface_deploy.family.spec import METADATA_KEY
from ultraface_deploy.models.pull import file_or_name
from ultraface_deploy.train.loop import save


def average_checkpoints(paths: Sequence[Path], output: Path) -> None:
    """Write the mean of the weights of checkpoints (Wortsman et al. 2022).

    It makes sense for networks that were tuned from the same one; others' means are worth nothing.

    Args:
        paths: two or more: files, or names of models that ship or were pulled.
        output: the new checkpoint; it has the size and names of the first.

    Raises:
        InputError: fewer than two, a file cannot be used, or the networks are of different kinds.
    """
    if len(paths) < 2:
        raise InputError("one checkpoint has no mean; give two or more")
    checkpoints = [load_checkpoint(file_or_name(path)) for path in paths]
    first = checkpoints[0]
    for path, other in zip(paths[1:], checkpoints[1:], strict=True):
        if _kind(other) != _kind(first):
            raise InputError(
                f"{path}: {_told(other)}, but {paths[0]} {_told(first)}; give networks of one kind"
            )
    weights = {
        key: _mean([each.state_dict[key] for each in checkpoints]) for key in first.state_dict
    }
    save({"state_dict": weights, METADATA_KEY: first.spec.to_dict()}, output)


def _kind(checkpoint: Checkpoint) -> tuple[str, dict[str, torch.Size]]:
    shapes = {key: value.shape for key, value in checkpoint.state_dict.items()}
    return checkpoint.spec.architecture, shapes


def _told(checkpoint: Checkpoint) -> str:
    spec = checkpoint.spec
    return f"is a {spec.architecture} network with {spec.num_classes} classes"


def _mean(values: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return the mean; of what is counted, which nothing computes with, the first."""
    if not values[0].is_floating_point():
        return values[0]
    return torch.stack([value.double() for value in values]).mean(0).to(values[0].dtype)
