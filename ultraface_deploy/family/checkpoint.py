"""Checkpoints: the network recognised from its tensors."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ultraface_deploy.errors import InputError
from ultraface_deploy.family.landmarks import WITH_LANDMARKS
from ultraface_deploy.family.spec import (
    MAX_CLASSES,
    METADATA_KEY,
    Architecture,
    ModelSpec,
)
from ultraface_deploy.family.tensors import SAFETENSORS, load_tensors, save_safetensors
from ultraface_deploy.models import known_checkpoint
from ultraface_deploy.safe.files import sha256_of

if TYPE_CHECKING:
    import torch

    from ultraface_deploy.family.nets import UltraFace

_log = logging.getLogger(__name__)
_ASSUMED_SIZE = (320, 240)
_HEAD = "classification_headers.3.bias"
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
# How deep wrapping dicts are looked into, at how many entries in all, and how long a name can be.
_DEPTH = 4
_MOST_ENTRIES = 1_000_000
_LONGEST_NAME = 300
# BatchNorm's counter: older checkpoints lack it, and inference does not use it.
_OPTIONAL = "num_batches_tracked"


@dataclass(frozen=True)
class Checkpoint:
    """A network's weights and what they are: tensors by name, and the spec read off them."""

    state_dict: dict[str, torch.Tensor]
    spec: ModelSpec

    def build(self) -> UltraFace:
        """Return the network with these weights, in evaluation mode."""
        from ultraface_deploy.family.nets import UltraFace

        spec = self.spec
        net = UltraFace(spec.architecture, spec.num_classes, spec.landmarks, spec.channels)
        net.load_state_dict(self.state_dict, strict=False)
        return net.eval()

    def save(self, path: Path) -> None:
        """Write weights and spec as a checkpoint that states its input size.

        Args:
            path: `.safetensors` for a file that cannot hold code, else a `.pth`.
        """
        import torch

        if path.suffix == SAFETENSORS:
            save_safetensors(self.state_dict, self.spec.to_dict(), path)
            return
        torch.save({"state_dict": self.state_dict, METADATA_KEY: self.spec.to_dict()}, path)


def load_checkpoint(
    path: str | Path, name: str | None = None, *, size_known: bool = False, ema: bool = False
) -> Checkpoint:
    """Read a `.pth` (old or zip) or `.safetensors`, in whatever training scripts wrap it.

    The architecture and the number of classes are read off the tensors; the input size from the
    file's own description if it has one, else from the registry by SHA-256, else 320x240. The
    weights do not show the size: where it is assumed, a warning is logged.

    Args:
        path: the file.
        name: of the model; None for one after the file.
        size_known: the caller knows the size; nothing is assumed and nothing is said.
        ema: take the averaged weights (EMA) that the file holds beside the trained ones.

    Raises:
        InputError: missing, damaged, no checkpoint, code inside, another network's weights, or
            no averaged ones.
        MissingDependency: torch is not installed.
    """
    path = Path(path)
    content = load_tensors(path)
    tensors = find_weights(content, path, ema)
    spec = replace(_recognise(tensors, path), name=name or model_name(path))
    described = dict(_items(content)).get(METADATA_KEY)
    if isinstance(described, Mapping):
        stated = ModelSpec.from_dict(described)
        shape = (spec.architecture, spec.num_classes, spec.landmarks, spec.channels)
        if shape != (stated.architecture, stated.num_classes, stated.landmarks, stated.channels):
            raise InputError(f"{path}: its description is of another network than its weights")
        return Checkpoint(tensors, replace(stated, name=spec.name, head="raw"))
    if entry := known_checkpoint(sha256_of(path)):
        width, height = entry.width, entry.height
    else:
        width, height = _ASSUMED_SIZE
        if not size_known:
            _log.warning(
                "%s: does not state its input size; %dx%d is assumed, if it was trained at "
                "another give `input_size`",
                path,
                width,
                height,
            )
    return Checkpoint(tensors, spec.resized(width, height))


def model_name(path: Path) -> str:
    """Name a model after its file: `version-RFB-320.pth` is `rfb-320`."""
    stem = path.stem.removeprefix("version-").lower()
    return re.sub(r"[^\w.+ -]", "-", stem).lstrip(".+ -")[:100] or "model"


def find_weights(content: Any, path: Path, ema: bool = False) -> dict[str, torch.Tensor]:
    """Return the network's tensors by their plain names, however deep a script has put them.

    Wrapping dicts (`state_dict`, `model`, ...) and prefixes (`module.`, `_orig_mod.`, `model.`)
    are seen through; other tensors beside the network do not matter. Of several sets of weights
    the trained ones are taken, or the averaged ones where they alone are there or asked for.

    Raises:
        InputError: there is no network of this family, or more than one, or none averaged.
    """
    _require_few(content, path)
    found = list(_sets_of_weights("", content, 0))
    averaged = [weights for place, weights in found if _AVERAGED.search(place)]
    trained = [weights for place, weights in found if not _AVERAGED.search(place)]
    if ema and not averaged:
        raise InputError(f"{path}: holds no averaged weights (EMA); leave out `ema`")
    chosen = averaged if ema or not trained else trained
    if chosen:
        return chosen[0]
    names = list(_tensor_names(content, 0))
    if not names:
        raise InputError(
            f"{path}: holds no tensors by name; give a checkpoint saved as a state dict"
        )
    raise InputError(
        f"{path}: not an UltraFace network, {_HEAD} is missing (found {', '.join(names[:3])}, ...)"
    )


def _sets_of_weights(
    place: str, content: Any, depth: int
) -> Iterator[tuple[str, dict[str, torch.Tensor]]]:
    """Yield where a network's tensors are, and the tensors; the outer before the inner."""
    import torch

    if depth > _DEPTH:
        return
    groups: dict[str, dict[str, torch.Tensor]] = {}
    for key, value in _items(content):
        if isinstance(value, torch.Tensor) and (match := _PARAMETER.fullmatch(key)):
            groups.setdefault(match[1], {})[match[2]] = value
    # The shortest prefix first: `net.` is the network, `distiller.student.` a part of something.
    for prefix in sorted(groups, key=len):
        yield f"{place}.{prefix}", _by_our_names(groups[prefix])
    for key, value in _items(content):
        yield from _sets_of_weights(f"{place}.{key}", value, depth + 1)


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
        for key, value in _items(content):
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
            raise InputError(f"{path}: holds more than {_MOST_ENTRIES} entries")
        level = [value for each in level for _, value in _items(each) if isinstance(value, dict)]


def _items(content: Any) -> Iterator[tuple[str, Any]]:
    """Yield what a dict holds by name; a pickle can give an instance its own `get` or `items`."""
    if isinstance(content, dict):
        for key, value in dict.items(content):
            if isinstance(key, str) and len(key) <= _LONGEST_NAME:
                yield key, value


def _recognise(tensors: Mapping[str, torch.Tensor], path: Path) -> ModelSpec:
    """Tell what the network is by its tensors; the input size and the name are not in them."""
    architecture: Architecture = (
        "rfb" if any(key.startswith("base_net.7.branch") for key in tensors) else "slim"
    )
    head, first = tensors.get(_HEAD), tensors.get("base_net.0.0.weight")
    if head is None:
        raise InputError(
            f"{path}: not an UltraFace network, {_HEAD} is missing "
            f"(found {', '.join(list(tensors)[:3])}, ...)"
        )
    # A tensor may claim any shape over little data; nothing is built from what it claims.
    num_classes = min(max(2, head.numel() // 3), MAX_CLASSES)
    gray = first is not None and first.ndim == 4 and first.shape[1] == 1
    spec = ModelSpec("model", architecture, num_classes=num_classes)
    if any(key.startswith("landmark_headers.") for key in tensors):
        spec = replace(spec, **WITH_LANDMARKS)
    if gray:
        spec = replace(spec, color="gray")
    expected = _layout(architecture, num_classes, spec.landmarks, spec.channels)
    wrong = [
        key
        for key, value in expected.items()
        if not (_fits(tensors[key], value) if key in tensors else key.endswith(_OPTIONAL))
    ]
    if wrong:
        raise InputError(
            f"{path}: not an UltraFace {architecture} network, missing or of another shape: "
            f"{', '.join(wrong[:3])}{' and more' if len(wrong) > 3 else ''}"
        )
    for key in expected:
        # As the network will hold them: a double can be finite and no float.
        if key in tensors and not tensors[key].to(expected[key].dtype).isfinite().all():
            raise InputError(f"{path}: {key} holds values that are not finite; was it trained?")
    return spec


@lru_cache(maxsize=8)
def _layout(
    architecture: Architecture, num_classes: int, landmarks: int, channels: int
) -> Mapping[str, torch.Tensor]:
    """Return a network's tensors without their numbers, which take as long as reading a file."""
    import torch

    from ultraface_deploy.family.nets import UltraFace

    with torch.device("meta"):
        return UltraFace(architecture, num_classes, landmarks, channels).state_dict()


def _fits(tensor: torch.Tensor, expected: torch.Tensor) -> bool:
    """Whether a tensor can take the place of another: not sparse, quantised, or without data."""
    import torch

    floats = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
    return (
        not tensor.is_nested
        and tensor.layout == expected.layout
        and not tensor.is_meta
        and tensor.shape == expected.shape
        and (
            tensor.dtype in floats
            if expected.is_floating_point()
            else not (tensor.is_floating_point() or tensor.is_complex() or tensor.is_quantized)
        )
    )
