"""What a MODEL argument means: a checkpoint, an ONNX file, a folder, a name, a bare artifact."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast, get_args

from ultraface_deploy import models
from ultraface_deploy.artifacts.folder import MANIFEST, ArtifactFolder
from ultraface_deploy.converters import format_names, format_of, get_format, model_file, no_model
from ultraface_deploy.errors import InputError, MissingDependency
from ultraface_deploy.family.known import NOTHING, Known
from ultraface_deploy.family.sizes import at_size
from ultraface_deploy.family.spec import Head, ModelSpec
from ultraface_deploy.models import RegistryEntry
from ultraface_deploy.safe.files import sha256_of


@dataclass(frozen=True)
class ModelSource:
    """Where a conversion starts.

    `file` is in the format `torch`, `onnx` or `caffe`. `own_spec` is what it holds, `spec` what
    the artifacts shall be: the two differ in size or head where that was asked for. `sha256` is
    of the file before it was read for them.
    """

    file: Path
    format: str
    spec: ModelSpec
    own_spec: ModelSpec
    sha256: str
    keep: TemporaryDirectory[str] | None = None
    """Holds `file` where that was made for this conversion."""

    @property
    def root(self) -> str:
        """Format of the first artifact: a checkpoint is kept, all else is taken in as ONNX."""
        return "torch" if self.format == "torch" else "onnx"

    def require_unchanged(self, copy: Path | None = None) -> None:
        """Refuse a file, or the copy made of it, that is not what was read.

        Raises:
            InputError: it was replaced meanwhile.
        """
        if sha256_of(copy or self.file) != self.sha256:
            raise InputError(f"{self.file}: was replaced while it was read; try again")


def resolve_source(
    model: str | Path,
    input_size: tuple[int, int] | None = None,
    head: Head | None = None,
    name: str | None = None,
    ema: bool = False,
    known: Known = NOTHING,
    class_names: tuple[str, ...] = (),
) -> ModelSource:
    """Find what to convert.

    Args:
        model: a `.pth`, a `.onnx`, a Caffe `.prototxt`, an artifact folder, or a registry name.
        input_size: (width, height) the artifacts shall have; None for the model's own.
        head: head the artifacts shall have; None for raw, or what an ONNX file has.
        name: name of the model; None for one after the file.
        ema: take the averaged weights of a checkpoint that holds both.
        known: what the user knows of a foreign file: its normalisation, outputs to ignore.
        class_names: of the labels 1, 2, ...; empty for what the model states itself.

    Returns:
        The source with the spec that the artifacts shall have.

    Raises:
        InputError: there is no such file or name, or it is not a network of this family.
    """
    if ema:
        source = _from_averaged(Path(model), name, input_size is not None)
        source = _as_known(source, known)
    else:
        source = _open_source(model, name, input_size is not None, known)
    if class_names:
        source = _named(source, class_names)
    spec = source.spec
    if input_size is not None and input_size != (spec.width, spec.height):
        own_name = sized_name(spec, input_size)
        spec = replace(at_size(spec, *input_size), name=name or own_name)
    if name is not None:
        spec = replace(spec, name=name)
    if head is not None:
        spec = replace(spec, head=head)
    if spec != source.spec and source.format == "onnx":
        _require_onnx(source.file)
    return replace(source, spec=spec)


def _named(source: ModelSource, class_names: tuple[str, ...]) -> ModelSource:
    own, spec = (replace(each, class_names=class_names) for each in (source.own_spec, source.spec))
    return replace(source, spec=spec, own_spec=own)


def _as_known(source: ModelSource, known: Known) -> ModelSource:
    """Apply what the user says of the input of a checkpoint, which does not state it."""
    if not known.says_input:
        return source
    return replace(source, spec=known.of(source.spec), own_spec=known.of(source.own_spec))


def _open_source(
    model: str | Path, name: str | None, size_known: bool, known: Known
) -> ModelSource:
    path = model_file(Path(model))
    if path.is_dir():
        known.refuse_for(model)
        return _from_folder(path)
    if not path.exists() and str(model) in models.registry():
        known.refuse_for(model)
        return _from_registry(str(model))
    if not path.exists() and not path.suffix:
        models.find(str(model), or_file=True)
    models.require_model(path)
    return _from_file(path, name, size_known, known)


def _from_folder(path: Path) -> ModelSource:
    folder = ArtifactFolder.open(path)
    have = [format for format in ("torch", "onnx") if folder.has(format)]
    usable = [format for format in have if format != "torch" or find_spec("torch")]
    if not usable:
        raise InputError(
            f"{path}: holds neither a checkpoint that can be read here nor an ONNX file; "
            "convert from the original model"
        )
    from ultraface_deploy.artifacts.choose import installed
    from ultraface_deploy.artifacts.recognition import sound_files

    original = folder.find(usable[0])
    file = sound_files(folder, original, installed(original.format))[0]
    return ModelSource(file, usable[0], folder.spec, folder.spec, sha256_of(file))


def _from_registry(name: str) -> ModelSource:
    entry = models.find(name)
    if not entry.embedded:
        from ultraface_deploy.models.pull import cached_checkpoint

        return _from_checkpoint(cached_checkpoint(entry), name)
    if find_spec("torch") is not None and find_spec("onnx") is not None:
        return _from_checkpoint(models.FOLDER / str(entry.file), name)
    return _from_shipped(models.FOLDER / str(entry.onnx), name)


def _from_shipped(path: Path, name: str) -> ModelSource:
    """Take an ONNX file that ships: what it is stands in it, and no package is needed to see."""
    stated = get_format("onnx").stated_spec((path,))
    assert stated is not None
    spec = replace(stated, name=name)
    return ModelSource(path, "onnx", spec, spec, sha256_of(path))


def _from_checkpoint(path: Path, name: str | None, size_known: bool = False) -> ModelSource:
    from ultraface_deploy.family.checkpoint import load_checkpoint

    models.require_model(path, "checkpoint")
    digest = sha256_of(path)
    spec = load_checkpoint(path, name, size_known=size_known).spec
    return ModelSource(path, "torch", spec, spec, digest)


def _from_averaged(path: Path, name: str | None, size_known: bool) -> ModelSource:
    """Take the averaged weights out into a file of their own: it is what the artifacts are of."""
    from ultraface_deploy.family.checkpoint import load_checkpoint, model_name

    if path.is_dir() or not (path.exists() or path.suffix):
        raise InputError(f"{path}: `ema`: give a checkpoint file")
    models.require_model(path, "checkpoint")
    name = name or f"{model_name(path)}-ema"
    checkpoint = load_checkpoint(path, name, size_known=size_known, ema=True)
    folder = TemporaryDirectory(prefix="ultraface-")
    file = Path(folder.name) / f"{path.stem}-ema.pth"
    checkpoint.save(file)
    spec = checkpoint.spec
    return ModelSource(file, "torch", spec, spec, sha256_of(file), folder)


def _from_file(path: Path, name: str | None, size_known: bool, known: Known) -> ModelSource:
    record = format_of(path)
    if record is not None and record.name == "torch":
        return _as_known(_from_checkpoint(path, name, size_known), known)
    if record is None or record.adopt is None:
        suffixes = ", ".join(
            each.known_by[0] for each in map(get_format, format_names()) if each.adopt
        )
        give = f"give a .pth, .safetensors, {suffixes}, an artifact folder or a registry name"
        if record is None:
            raise InputError(f"{path}: {no_model(path, give)}")
        raise InputError(f"{path}: cannot convert from {path.suffix}; {give}")
    _require_onnx(path)
    from ultraface_deploy.artifacts.recognition import spec_of_file

    digest = sha256_of(path)
    spec = spec_of_file(path, name, known)
    return ModelSource(path, record.name, spec, spec, digest)


def _require_onnx(path: Path) -> None:
    if find_spec("onnx") is None:
        raise MissingDependency.package("onnx", "onnx", f"converting from {path.name}")


def sized_name(
    model: ModelSpec | RegistryEntry, size: tuple[int, int] | None, name: str | None = None
) -> str:
    """Name a model at an input size: two sizes of one network are two models, a folder each."""
    name = name or model.name
    if size is None or size == (model.width, model.height):
        return name
    return f"{name}-{size[0]}x{size[1]}"


def parse_head(text: str) -> Head:
    """Read the name of a head.

    Raises:
        InputError: there is none of that name.
    """
    for head in get_args(Head):
        if text == head:
            return cast(Head, head)
    raise InputError(f"`head` {text}: unknown; choose from {', '.join(get_args(Head))}")


def owning_folder(file: Path) -> ArtifactFolder | None:
    """Return the artifact folder whose manifest lists a file; None for other people's files."""
    if not (file.parent / MANIFEST).is_file():
        return None
    folder = ArtifactFolder.open(file.parent)
    listed = any(file.name in artifact.files for artifact in folder.artifacts)
    return folder if listed else None
