"""Checkpoints: the network recognised from its tensors."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from ultraface_deploy.errors import InputError
from ultraface_deploy.family.landmarks import WITH_LANDMARKS
from ultraface_deploy.family.spec import (
    MAX_CLASSES,
    METADATA_KEY,
    Architecture,
    ModelSpec,
)
from ultraface_deploy.family.tensors import SAFETENSORS, load_tensors, save_safetensors
from ultraface_deploy.family.weights import COUNTER, HEAD, find_weights, items
from ultraface_deploy.models import known_checkpoint
from ultraface_deploy.safe.files import sha256_of

if TYPE_CHECKING:
    import torch

    from ultraface_deploy.family.nets import UltraFace

_log = logging.getLogger(__name__)
_ASSUMED_SIZE = (320, 240)


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
    described = dict(items(content)).get(METADATA_KEY)
    if isinstance(described, Mapping):
        stated = ModelSpec.from_dict(described)
        shape = (spec.architecture, spec.num_classes, spec.landmarks, spec.channels)
        if shape != (stated.architecture, stated.num_classes, stated.landmarks, stated.channels):
            raise InputError(
                f"{path}: its description is of another network than its weights; get it again"
            )
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


def _recognise(tensors: Mapping[str, torch.Tensor], path: Path) -> ModelSpec:
    """Tell what the network is by its tensors; the input size and the name are not in them."""
    architecture: Architecture = (
        "rfb" if any(key.startswith("base_net.7.branch") for key in tensors) else "slim"
    )
    head, first = tensors.get(HEAD), tensors.get("base_net.0.0.weight")
    if head is None:
        raise InputError(
            f"{path}: not an UltraFace network, {HEAD} is missing "
            f"(found {', '.join(list(tensors)[:3])}, ...); known are slim and rfb"
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
        if not (_fits(tensors[key], value) if key in tensors else key.endswith(COUNTER))
    ]
    if wrong:
        raise InputError(
            f"{path}: not an UltraFace {architecture} network, missing or of another shape: "
            f"{', '.join(wrong[:3])}{' and more' if len(wrong) > 3 else ''}; known are slim and rfb"
        )
    for key in expected:
        # As the network will hold them: a double can be finite and no float.
        if key in tensors and not tensors[key].to(expected[key].dtype).isfinite().all():
            raise InputError(f"{path}: {key} holds values that are not finite; give an earlier one")
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
