"""Writes the C++ project: templates, the model's numbers, the model itself."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Literal, get_args

from ultraface_deploy.agreement.precision import Precision
from ultraface_deploy.artifacts.folder import ArtifactFolder
from ultraface_deploy.artifacts.recognition import sound_files
from ultraface_deploy.backends import get_backend
from ultraface_deploy.backends.base import Backend
from ultraface_deploy.backends.native import BINDING
from ultraface_deploy.detect.detector import Detector
from ultraface_deploy.errors import InputError
from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.safe.files import make_folder
from ultraface_deploy.safe.refusals import unwritable
from ultraface_deploy.sdk.conformance import write_conformance
from ultraface_deploy.sdk.cpp import embedded_model, model_values
from ultraface_deploy.sdk.languages import copy_binding, parse_bindings

Runtime = Literal["ncnn", "mnn", "c"]
RUNTIMES: tuple[Runtime, ...] = get_args(Runtime)
"""Runtimes with a C++ source; each reads the artifact format of the same name. `c` is none: its
artifact is code."""

_TEMPLATES = Path(__file__).parent / "template"
_PLACEHOLDER = re.compile(r"@([A-Z_]+)@")


def parse_runtime(text: str) -> Runtime:
    """Read a runtime by name.

    Raises:
        InputError: there is no C++ source for it.
    """
    for runtime in RUNTIMES:
        if text == runtime:
            return runtime
    raise InputError(f"`runtime` {text}: unknown; choose from {', '.join(RUNTIMES)}, web")


def write_project(
    folder: ArtifactFolder,
    output: Path,
    runtime: Runtime = "ncnn",
    precision: Precision = "fp32",
    embed_model: bool = False,
    languages: Sequence[str] = (),
) -> tuple[Path, ...]:
    """Write a self-contained C++17 project around one artifact.

    Args:
        folder: where the artifact lies.
        output: folder to create; it appears whole or not at all.
        runtime: runtime the project is built against.
        precision: precision of the artifact.
        embed_model: put the weights into the library, where those of `c` always are; else they
            lie in `models/`.
        languages: bindings to add, by name; they put the weights into the library, and come with
            `conformance/`, which their tests read.

    Returns:
        The written files, relative to `output`.

    Raises:
        InputError: a network that the C++ code does not know; the folder has no such artifact, its
            files were changed, or `output` is there
            already.
    """
    _refuse_other_members(folder.spec)
    artifact = folder.find(runtime, precision)
    files = sound_files(folder, artifact, backend_of(runtime))
    weights = () if runtime == "c" else files
    chosen = parse_bindings(languages)
    embed_model = embed_model or runtime == "c" or bool(chosen)
    # C computes offsets, whatever head the network was given.
    spec = replace(folder.spec, head="raw") if runtime == "c" else folder.spec
    with new_folder(output) as project:
        halves = precision == "fp16" or artifact.passed_in_halves
        values = model_values(spec, halves, weights)
        values |= _readme_values(runtime, precision, files, embed_model)
        _copy_templates(project, runtime, values)
        if runtime == "c":
            # Apart, because the user's name for the network is that of a file.
            _copy_files(BINDING, project / "src" / "native")
            _copy_files(files, project / "src" / "generated")
        _write_model(project, weights, embed_model)
        if chosen:
            detector = Detector.open(folder.path, backend_of(runtime).name, precision)
            write_conformance(detector, project / "conformance")
        for name in chosen:
            copy_binding(name, project)
        written = sorted(path.relative_to(project) for path in project.rglob("*") if path.is_file())
    return tuple(written)


def _refuse_other_members(spec: ModelSpec) -> None:
    """Refuse what the generated code does not do: it would find other faces in silence."""
    coding = spec.anchors
    if spec.landmarks or coding.centers != "map" or not coding.clip:
        raise InputError(
            f"{spec.name}: the C++ project gives boxes alone, on UltraFace's anchors; networks "
            "with landmarks are not packaged; run them from Python"
        )


def backend_of(runtime: Runtime) -> Backend:
    """Return the backend that runs a runtime's artifacts from Python."""
    return get_backend("native" if runtime == "c" else runtime)


def fill(template: str, values: Mapping[str, str]) -> str:
    """Replace every `@NAME@` of a template; a name without value is a KeyError."""
    return _PLACEHOLDER.sub(lambda match: values[match[1]], template)


def require_new(output: Path) -> None:
    """Refuse a folder that is there already and not empty.

    Raises:
        InputError: it is, or something else is.
    """
    if output.exists() and not (output.is_dir() and not any(output.iterdir())):
        raise InputError(f"{output}: is there already; remove it or choose another with `output`")


@contextmanager
def new_folder(output: Path) -> Iterator[Path]:
    """Yield a scratch folder that becomes `output` when nothing went wrong."""
    require_new(output)
    make_folder(output.parent)
    try:
        with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}.") as scratch:
            project = Path(scratch) / output.name
            project.mkdir()
            yield project
            project.replace(output)
    except OSError as error:
        raise InputError(f"{output}: {unwritable(error)}") from error


def _copy_templates(project: Path, runtime: Runtime, values: Mapping[str, str]) -> None:
    for layer in ("common", runtime):
        source = _TEMPLATES / layer
        for path in sorted(source.rglob("*")):
            target = project / path.relative_to(source)
            if path.is_dir():
                target.mkdir(exist_ok=True)
            elif path.suffix == ".in":
                target.with_suffix("").write_text(fill(path.read_text(), values))
            else:
                shutil.copyfile(path, target)


def _write_model(project: Path, files: Sequence[Path], embed: bool) -> None:
    source = project / "src" / "embedded_model.cpp"
    if embed:
        source.write_text(embedded_model(files))
        return
    source.write_text(embedded_model(()))
    _copy_files(files, project / "models")


def _copy_files(files: Sequence[Path], target: Path) -> None:
    target.mkdir(exist_ok=True)
    for file in files:
        shutil.copyfile(file, target / file.name)


def _readme_values(
    runtime: Runtime, precision: Precision, files: Sequence[Path], embed: bool
) -> dict[str, str]:
    weights = "`src/embedded_model.cpp`" if embed else "`models/`"
    if runtime == "c":
        weights = f"`src/generated/{files[0].name}`, with the network"
    values = {
        "PRECISION": precision.upper(),
        "RUNTIME": runtime,
        "RUNTIME_VERSION": backend_of(runtime).version() or "unknown",
        "C_FILE": files[0].name,
        "C_HEADER": files[-1].name,
        "WEIGHTS": weights,
        "AND_MODELS": "" if embed else " and `models/`",
        "MODEL_OPTION": "" if embed else " --model models",
        "STAGES_MODEL": "" if embed else " models",
        "MODEL_ARGUMENT": "NULL" if embed else '"models"',
    }
    building = (_TEMPLATES / "building" / f"{runtime}.md").read_text()
    return values | {"BUILDING": fill(building, values)}
