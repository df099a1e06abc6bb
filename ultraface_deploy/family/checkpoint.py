"""Reading `.pth` checkpoints: safely, and recognising the network from its tensors."""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ultraface_deploy.errors import InputError, MissingDependency
from ultraface_deploy.family.spec import MAX_CLASSES, METADATA_KEY, Architecture, ModelSpec
from ultraface_deploy.models import known_checkpoint
from ultraface_deploy.safe.files import require_file, sha256_of
from ultraface_deploy.safe.limits import Limit

if TYPE_CHECKING:
    import torch

    from ultraface_deploy.family.nets import UltraFace

# Where training scripts put the weights when the file holds more than them.
_WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "weights")
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

        net = UltraFace(self.spec.architecture, self.spec.num_classes)
        net.load_state_dict(self.state_dict, strict=False)
        return net.eval()


def load_checkpoint(path: str | Path, name: str | None = None) -> Checkpoint:
    """Read a checkpoint in the old or the zip format, with or without a wrapping dict.

    The architecture and the number of classes are read off the tensors; the input size from the
    file's own description if it has one, else from the registry by SHA-256, else 320x240.

    Raises:
        InputError: missing, damaged, no checkpoint, code inside, or another network's weights.
        MissingDependency: torch is not installed.
    """
    path = Path(path)
    content = load_tensors(path)
    tensors = _find_state_dict(content, path)
    architecture, num_classes = _recognise(tensors, path)
    described = content.get(METADATA_KEY) if isinstance(content, Mapping) else None
    if isinstance(described, Mapping):
        spec = ModelSpec.from_dict(described)
        width, height = spec.width, spec.height
    else:
        width, height = _registered_size(path)
    spec = ModelSpec(name or model_name(path), architecture, width, height, num_classes)
    return Checkpoint(tensors, spec)


def load_tensors(path: Path) -> Any:
    """Read what `torch.save` wrote, of bounded size and without running code.

    Raises:
        InputError: missing, damaged, too large, or code inside.
        MissingDependency: torch is not installed.
    """
    require_file(path, "checkpoint")
    _check_size(path)
    return _load_safely(path)


def model_name(path: Path) -> str:
    """Name a model after its file: `version-RFB-320.pth` is `rfb-320`."""
    stem = path.stem.removeprefix("version-").lower()
    return re.sub(r"[^\w.+ -]", "-", stem).lstrip(".+ -")[:100] or "model"


def _check_size(path: Path) -> None:
    """Refuse a file that is too large, packed or, in the zip format, unpacked."""
    Limit.MODEL.check(path)
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                Limit.MODEL.check(path, sum(record.file_size for record in archive.infolist()))
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise InputError(f"{path}: not a torch checkpoint, or damaged ({error})") from error


def _registered_size(path: Path) -> tuple[int, int]:
    entry = known_checkpoint(sha256_of(path))
    return (320, 240) if entry is None else (entry.width, entry.height)


def _load_safely(path: Path) -> Any:
    try:
        import torch
    except ImportError as error:
        raise MissingDependency.package("torch", "convert", f"reading {path.name}") from error
    try:
        with warnings.catch_warnings():
            # Its advice is for whoever wrote the file, or for torch's own developers.
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "weights_only" in str(error).lower() or "unsupported" in str(error).lower():
            raise InputError(
                f"{path}: refused, it holds more than tensors and loading it could run code; "
                "save only the state dict"
            ) from error
        raise InputError(f"{path}: not a torch checkpoint, or damaged") from error
    except Exception as error:  # torch raises nearly everything on damaged files
        raise InputError(
            f"{path}: not a torch checkpoint, or damaged ({type(error).__name__})"
        ) from error


def _find_state_dict(content: Any, path: Path) -> dict[str, torch.Tensor]:
    import torch

    candidates = [content]
    if isinstance(content, Mapping):
        candidates += [content[key] for key in _WRAPPERS if key in content]
    for candidate in candidates:
        if isinstance(candidate, Mapping):
            tensors = {
                str(key).removeprefix("module."): value
                for key, value in candidate.items()
                if isinstance(value, torch.Tensor)
            }
            if tensors:
                return tensors
    raise InputError(f"{path}: holds no tensors by name; give a checkpoint saved as a state dict")


def _recognise(tensors: Mapping[str, torch.Tensor], path: Path) -> tuple[Architecture, int]:
    from ultraface_deploy.family.nets import UltraFace

    architecture: Architecture = (
        "rfb" if any(key.startswith("base_net.7.branch") for key in tensors) else "slim"
    )
    head = tensors.get("classification_headers.3.bias")
    if head is None:
        raise InputError(
            f"{path}: not an UltraFace network, classification_headers.3.bias is missing "
            f"(found {', '.join(list(tensors)[:3])}, ...)"
        )
    # A tensor may claim any shape over little data; nothing is built from what it claims.
    num_classes = min(max(2, head.numel() // 3), MAX_CLASSES)
    expected = UltraFace(architecture, num_classes).state_dict()
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
        if key in tensors and not tensors[key].isfinite().all():
            raise InputError(f"{path}: {key} holds values that are not finite; was it trained?")
    return architecture, num_classes


def _fits(tensor: torch.Tensor, expected: torch.Tensor) -> bool:
    """Whether a tensor can take the place of another: not sparse, quantised, or without data."""
    return (
        tensor.layout == expected.layout
        and not tensor.is_meta
        and tensor.shape == expected.shape
        and tensor.is_floating_point() == expected.is_floating_point()
    )
