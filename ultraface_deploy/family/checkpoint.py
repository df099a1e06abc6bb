"""Reading `.pth` checkpoints: safely, and recognising the network from its tensors."""

from __future__ import annotations

import logging
import pickle
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
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

_log = logging.getLogger(__name__)
_ASSUMED_SIZE = (320, 240)
_HEAD = "classification_headers.3.bias"
# A parameter of the family, behind whatever prefix wrappers of modules leave.
_PARAMETER = re.compile(
    r"((?:.*\.)?)((?:base_net|extras|classification_headers|regression_headers)\..+)", re.DOTALL
)
# What scripts call weights that are an average over training.
_AVERAGED = re.compile(r"(?:^|[._])(?:ema|averaged?|shadow|swa)(?:$|[._])", re.IGNORECASE)
# How deep wrapping dicts are looked into.
_DEPTH = 4
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

    def save(self, path: Path) -> None:
        """Write weights and spec as a checkpoint that states its input size."""
        import torch

        torch.save({"state_dict": self.state_dict, METADATA_KEY: self.spec.to_dict()}, path)


def load_checkpoint(
    path: str | Path, name: str | None = None, *, size_known: bool = False, ema: bool = False
) -> Checkpoint:
    """Read a checkpoint in the old or the zip format, in whatever training scripts wrap it.

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
    architecture, num_classes = _recognise(tensors, path)
    described = content.get(METADATA_KEY) if isinstance(content, Mapping) else None
    if isinstance(described, Mapping):
        spec = ModelSpec.from_dict(described)
        width, height = spec.width, spec.height
    elif entry := known_checkpoint(sha256_of(path)):
        width, height = entry.width, entry.height
    else:
        width, height = _ASSUMED_SIZE
        if not size_known:
            _log.warning(
                "%s: does not state its input size; %dx%d is assumed, if it was trained at "
                "another give --input-size",
                path,
                width,
                height,
            )
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


def find_weights(content: Any, path: Path, ema: bool = False) -> dict[str, torch.Tensor]:
    """Return the network's tensors by their plain names, however deep a script has put them.

    Wrapping dicts (`state_dict`, `model`, ...) and prefixes (`module.`, `_orig_mod.`, `model.`)
    are seen through; other tensors beside the network do not matter. Of several sets of weights
    the trained ones are taken, or the averaged ones where they alone are there or asked for.

    Raises:
        InputError: there is no network of this family, or more than one, or none averaged.
    """
    found = list(_sets_of_weights("", content, 0))
    averaged = [weights for place, weights in found if _AVERAGED.search(place)]
    trained = [weights for place, weights in found if not _AVERAGED.search(place)]
    if ema and not averaged:
        raise InputError(f"{path}: holds no averaged weights (EMA); leave out --ema")
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

    if not isinstance(content, Mapping) or depth > _DEPTH:
        return
    groups: dict[str, dict[str, torch.Tensor]] = {}
    for key, value in content.items():
        if isinstance(value, torch.Tensor) and (match := _PARAMETER.match(str(key))):
            groups.setdefault(match[1], {})[match[2]] = value
    # The shortest prefix first: `net.` is the network, `distiller.student.` a part of something.
    for prefix in sorted(groups, key=len):
        yield f"{place}.{prefix}", groups[prefix]
    for key, value in content.items():
        yield from _sets_of_weights(f"{place}.{key}", value, depth + 1)


def _tensor_names(content: Any, depth: int) -> Iterator[str]:
    import torch

    if isinstance(content, Mapping) and depth <= _DEPTH:
        for key, value in content.items():
            if isinstance(value, torch.Tensor):
                yield str(key)
            yield from _tensor_names(value, depth + 1)


def _recognise(tensors: Mapping[str, torch.Tensor], path: Path) -> tuple[Architecture, int]:
    from ultraface_deploy.family.nets import UltraFace

    architecture: Architecture = (
        "rfb" if any(key.startswith("base_net.7.branch") for key in tensors) else "slim"
    )
    head = tensors.get(_HEAD)
    if head is None:
        raise InputError(
            f"{path}: not an UltraFace network, {_HEAD} is missing "
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
