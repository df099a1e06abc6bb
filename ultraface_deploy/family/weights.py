"""The network's weights, found in whatever training scripts wrap them."""

# Tested by tests/family/test_checkpoint.py.

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ultraface_deploy.errors import InputError

if TYPE_CHECKING:
    import torch

HEAD = "classification_headers.3.bias"
"""A network of this family has it, and no other."""
COUNTER = "num_batches_tracked"
"""BatchNorm's: older checkpoints lack it, and inference does not use it."""
_log = logging.getLogger(__name__)
# A parameter of the family, behind whatever prefix wrappers of modules leave.
_PARAMETER = re.compile(
    r"((?:.*\.)?)((?:base_net|extras|(?:classification|regression|landmark)_headers"
    r"|conv\d+|loc|conf|landm)\.(?!.*(?:base_net|extras|_headers)\.).+?)",
    re.DOTALL,
)
# The blocks of the backbone, and what networks with landmarks call the heads.
_BLOCKS = 13
_HEADS = {
    "loc": "regression_headers",
    "conf": "classification_headers",
    "landm": "landmark_headers",
}
# What scripts call weights that are an average over training.
_AVERAGED = re.compile(r"(?:^|[._])(?:ema|averaged?|shadow|swa)(?:$|[._])", re.IGNORECASE)
# What a student learned from is not what was trained.
_TEACHER = re.compile(r"(?:^|[._])teacher(?:$|[._])", re.IGNORECASE)
# In `last.pth` of our own training: what the optimizer goes on with, beside its average.
_GOES_ON = re.compile(r"^\.?training\.net\.?$")
# How deep wrapping dicts are looked into, at how many entries in all, and how long a name can be.
_DEPTH = 4
_MOST_ENTRIES = 1_000_000
_LONGEST_NAME = 300


def find_weights(content: Any, path: Path, ema: bool = False) -> dict[str, torch.Tensor]:
    """Return the network's tensors by their plain names, however deep a script has put them.

    Wrapping dicts (`state_dict`, `model`, ...) and prefixes (`module.`, `_orig_mod.`, `model.`)
    are seen through; other tensors beside the network do not matter. Of several sets of weights
    the trained ones are taken, or the averaged ones where they alone are there or asked for, a
    teacher's last. Where others are left, a warning says which are taken.

    Raises:
        InputError: there is no network of this family, or none averaged.
    """
    _require_few(content, path)
    found = list(_sets_of_weights("", content, 0))
    # Other networks have a `conv1` too.
    found = [each for each in found if HEAD in each[1]] or found
    averaged = [each for each in found if _AVERAGED.search(each[0])]
    trained = [each for each in found if not _AVERAGED.search(each[0])]
    if ema and not averaged:
        raise InputError(f"{path}: holds no averaged weights (EMA); leave out `ema`")
    chosen = averaged if ema or not trained else trained
    for beside in (_TEACHER, _GOES_ON):
        chosen = [each for each in chosen if not beside.search(each[0])] or chosen
    if chosen:
        (place, weights), *others = chosen
        if different := [other for other, more in others if not _alike(weights, more)]:
            _log.warning(
                "%s: holds several networks; %s is taken, not %s; to use another save it alone",
                path,
                *(
                    place.strip(".") or "the first",
                    ", ".join(each.strip(".") for each in different),
                ),
            )
        return _without_counters(weights)
    names = list(_tensor_names(content, 0))
    if not names:
        raise InputError(
            f"{path}: holds no tensors by name; give a checkpoint saved as a state dict"
        )
    raise InputError(
        f"{path}: not an UltraFace network, {HEAD} is missing (found {', '.join(names[:3])}, ...); "
        "known are slim and rfb"
    )


def _alike(weights: dict[str, torch.Tensor], others: dict[str, torch.Tensor]) -> bool:
    """Whether two networks are one, by what changes in every step of training."""
    one, other = weights.get(HEAD), others.get(HEAD)
    if one is None or other is None or one.shape != other.shape:
        return one is other
    try:
        return bool((one == other).all())
    except RuntimeError:  # a tensor without numbers
        return False


def _sets_of_weights(
    place: str, content: Any, depth: int
) -> Iterator[tuple[str, dict[str, torch.Tensor]]]:
    """Yield where a network's tensors are, and the tensors; the outer before the inner."""
    import torch

    if depth > _DEPTH:
        return
    groups: dict[str, dict[str, torch.Tensor]] = {}
    for key, value in items(content):
        if isinstance(value, torch.Tensor) and (match := _PARAMETER.fullmatch(key)):
            groups.setdefault(match[1], {})[match[2]] = value
    # The shortest prefix first: `net.` is the network, `distiller.student.` a part of something.
    for prefix in sorted(groups, key=len):
        yield f"{place}.{prefix}", _by_our_names(groups[prefix])
    for key, value in items(content):
        yield from _sets_of_weights(f"{place}.{key}", value, depth + 1)


def _without_counters(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Leave out counters of another type: scripts that halve every tensor halve them too."""
    return {
        name: tensor
        for name, tensor in weights.items()
        if not (name.endswith(COUNTER) and tensor.is_floating_point())
    }


def _by_our_names(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Name the parameters of a network with landmarks as ours; others are named so already.

    Source: github.com/biubug6/Face-Detector-1MB-with-landmark, models/net_slim.py, net_rfb.py.
    """
    if not any(name.startswith("landm.") for name in weights):
        return weights
    named = {}
    for name, value in weights.items():
        first, _, rest = name.partition(".")
        if number := re.fullmatch(r"conv(\d+)", first):
            index = int(number[1]) - 1
            first = f"base_net.{index}" if index < _BLOCKS else f"extras.{index - _BLOCKS}"
        named[f"{_HEADS.get(first, first)}.{rest}"] = value
    return named


def _tensor_names(content: Any, depth: int) -> Iterator[str]:
    import torch

    if depth <= _DEPTH:
        for key, value in items(content):
            if isinstance(value, torch.Tensor):
                yield key
            yield from _tensor_names(value, depth + 1)


def _require_few(content: Any, path: Path) -> None:
    """Refuse dicts of one and the same dict, which a small file can hold a billion times.

    Raises:
        InputError: names the file.
    """
    entries, level = 0, [content] if isinstance(content, dict) else []
    for _ in range(_DEPTH + 1):
        entries += sum(len(each) for each in level)
        if entries > _MOST_ENTRIES:
            raise InputError(
                f"{path}: holds more than {_MOST_ENTRIES} entries; save only the state dict"
            )
        level = [value for each in level for _, value in items(each) if isinstance(value, dict)]


def items(content: Any) -> Iterator[tuple[str, Any]]:
    """Yield what a dict holds by name; a pickle can give an instance its own `get` or `items`."""
    if isinstance(content, dict):
        for key, value in dict.items(content):
            if isinstance(key, str) and len(key) <= _LONGEST_NAME:
                yield key, value
