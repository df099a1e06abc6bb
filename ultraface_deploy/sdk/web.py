"""Writes the browser package: a page, a module for programs, and the detector as WebAssembly."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import tempfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from platformdirs import user_cache_path

from ultraface_deploy import __version__
from ultraface_deploy.agreement.precision import Precision
from ultraface_deploy.artifacts.folder import ArtifactFolder
from ultraface_deploy.artifacts.recognition import sound_files
from ultraface_deploy.backends.native import BACKEND, require_our_code
from ultraface_deploy.errors import CheckFailed, InputError, MissingDependency, ToolFailed
from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.pipeline import Faces, postprocess, preprocess
from ultraface_deploy.safe.child import run_program
from ultraface_deploy.safe.images import embedded_images
from ultraface_deploy.safe.text import counted
from ultraface_deploy.sdk.project import fill, new_folder

NAME = "web"
"""What `--runtime` calls it."""
PRECISIONS: tuple[Precision, ...] = ("int8", "fp32")
_TEMPLATES = Path(__file__).parent / "template" / NAME
_DETECTOR = Path(__file__).parent / "template" / "wasm"
_WASM, _SHARED_WASM = "ultraface.wasm", "ultraface-threads.wasm"
_THREADS = 8
# Bytes, for the largest picture that a canvas holds, 16384x16384, and the network.
_MOST_MEMORY = 0x41000000
# What the service worker keeps for use without a network.
_PAGE = ("./", "index.html", "page.css", "page.js", "icon.svg")
_TIMEOUT_S = 300.0
# The C file computes boxes with 16 bits behind the point.
_SCORES, _PIXELS = 1e-4, 0.1


def require_compiler() -> list[str]:
    """Return the beginning of the command that compiles C to WebAssembly.

    Raises:
        MissingDependency: there is none; says what to install.
    """
    if find_spec("ziglang") is None:
        raise MissingDependency.package("ziglang", "web", "a package for the browser")
    # Zig keeps what it compiled; here with what else this package keeps.
    cache = f"ZIG_GLOBAL_CACHE_DIR={user_cache_path('ultraface-deploy') / 'zig'}"
    return ["env", cache, sys.executable, "-m", "ziglang", "cc", "-target", "wasm32-freestanding"]


def write_web(folder: ArtifactFolder, output: Path, precision: Precision = "int8") -> str:
    """Write a folder for the browser around the C artifact.

    Args:
        folder: where the artifact lies.
        output: folder to create; it appears whole or not at all.
        precision: of the artifact.

    Returns:
        How it was compared.

    Raises:
        InputError: the folder has no such artifact or its files were changed, or `output` is there
            already.
        MissingDependency: nothing here compiles to WebAssembly.
        ToolFailed: the compiler failed.
        CheckFailed: it does not find the faces that the same network finds here.
    """
    compiler = require_compiler()
    files = sound_files(folder, folder.find("c", precision), BACKEND)
    texts = require_our_code(files)
    with new_folder(output) as site:
        _compile(compiler, texts, files[1].name, site / _WASM)
        _compile(compiler, texts, files[1].name, site / _SHARED_WASM, _THREADS)
        for template in _TEMPLATES.iterdir():
            if template.suffix != ".in":
                shutil.copyfile(template, site / template.name)
        values = _values(folder.spec, precision) | {"MEMORY": _memory_of(site / _SHARED_WASM)}
        _fill(site, "model.js", values)
        compared = _compare(site, folder.spec, files, precision)
        values |= {"COMPARED": compared}
        for name in ("index.html", "package.json", "README.md"):
            _fill(site, name, values)
        _fill(site, "offline.js", values | _kept(site))
    return compared


def _fill(site: Path, name: str, values: dict[str, str]) -> None:
    template = (_TEMPLATES / f"{name}.in").read_text(encoding="utf-8")
    (site / name).write_text(fill(template, values), encoding="utf-8")


def _values(spec: ModelSpec, precision: Precision) -> dict[str, str]:
    model = {
        "name": spec.name,
        "width": spec.width,
        "height": spec.height,
        "classes": spec.num_classes,
        "classNames": spec.class_names,
        "precision": precision,
        "scoreThreshold": spec.score_threshold,
    }
    # npm takes small letters, digits, hyphens and dots.
    plain = "".join(c if c.isascii() and c.isalnum() else "-" for c in spec.name.lower())
    return {
        "NAME": spec.name,
        "WIDTH": str(spec.width),
        "HEIGHT": str(spec.height),
        "PRECISION": precision.upper(),
        "MODEL": json.dumps(model, indent=2),
        "PACKAGE": f"ultraface-{plain.strip('-') or 'model'}",
        "VERSION": __version__,
    }


def _memory_of(wasm: Path) -> str:
    """What the memory must be that the file imports, as JavaScript has it."""
    content = wasm.read_bytes()
    # The one import: module, name, kind 2 for memory, shared with a maximum; then two LEB128.
    _, found, limits = content.partition(b"\x03env\x06memory\x02\x03")
    if not found:
        raise ToolFailed("the compiler made a file that shares no memory")
    initial, rest = _leb128(limits)
    maximum, _ = _leb128(rest)
    return json.dumps({"initial": initial, "maximum": maximum})


def _leb128(content: bytes) -> tuple[int, bytes]:
    """Read a number of seven bits a byte, the lowest first; returns it and what follows."""
    length = next(place for place, byte in enumerate(content) if byte < 128) + 1
    value = sum((byte & 127) << (7 * place) for place, byte in enumerate(content[:length]))
    return value, content[length:]


def _kept(site: Path) -> dict[str, str]:
    """The files of the page, and a name for them that changes with each."""
    code = {path.name for pattern in ("*.js", "*.wasm") for path in site.glob(pattern)}
    names = sorted(code | {*_PAGE})
    digest = hashlib.sha256()
    for name in names:
        digest.update((site / name).read_bytes() if name != "./" else b"")
    return {"CACHE": f"ultraface-{digest.hexdigest()[:16]}", "FILES": json.dumps(names)}


def _compile(
    compiler: list[str], texts: tuple[str, str], header: str, wasm: Path, threads: int = 1
) -> None:
    """Compile what was checked, not what may since lie in the folder."""
    shared = [
        # Zig 0.13 reads the number as hexadecimal, with the prefix or without.
        *("-matomics", "-Wl,--shared-memory", "-Wl,--import-memory"),
        *(f"-Wl,--max-memory={_MOST_MEMORY:#x}", "-Wl,--export=__stack_pointer"),
    ]
    with tempfile.TemporaryDirectory(prefix="ultraface-web-") as name:
        # The names of a model's files may hold what a compiler takes for something else.
        scratch = Path(name)
        for text, file in zip(texts, ("network.c", header), strict=True):
            (scratch / file).write_text(text, encoding="utf-8")
        command = [
            *(*compiler, "-O3", "-msimd128", "-mbulk-memory", "-nostdlib"),
            *("-Wl,--no-entry", "-Wl,--strip-all", *(shared if threads > 1 else ())),
            *("-DULTRAFACE_NO_ENVIRONMENT", f"-DULTRAFACE_THREADS={threads}"),
            *(f'-DULTRAFACE_HEADER="{header}"', f"-I{scratch}", "-isystem", str(_DETECTOR)),
            *("-o", str(scratch / _WASM), str(_DETECTOR / "detector.c"), "network.c"),
        ]
        run_program(command, what="the compiler", cwd=scratch, timeout=_TIMEOUT_S)
        if not (scratch / _WASM).is_file():
            raise ToolFailed("the compiler ended without a file")
        shutil.copyfile(scratch / _WASM, wasm)


def _compare(site: Path, spec: ModelSpec, files: tuple[Path, ...], precision: Precision) -> str:
    """Let Node.js, where it is installed, find the faces of the photographs that ship."""
    if shutil.which("node") is None:
        return "It was not run when it was written: there was no Node.js."
    session = BACKEND.load(files, spec, precision=precision)
    count = 0
    for image in embedded_images():
        rgba = image[:, :, [2, 1, 0, 0]]
        outputs = session.run(preprocess(image, spec))
        size = (image.shape[1], image.shape[0])
        wanted = postprocess(outputs["scores"], outputs["boxes"], spec, size)
        for threads in (1, 2):
            _require_same(run_in_node(site, rgba.tobytes(), *size, threads), wanted)
        count += len(wanted)
    return (
        f"Node.js found the same {counted(count, 'face')} in the photographs that ship with the "
        "tool as the C file does here, with one thread and with two."
    )


def run_in_node(
    site: Path,
    rgba: bytes,
    width: int,
    height: int,
    threads: int = 1,
    options: Mapping[str, object] | None = None,
) -> list[dict[str, object]]:
    """Return what the package's `Detector` finds in a picture of four bytes a pixel, in Node.js.

    Raises:
        ToolFailed: Node.js failed.
    """
    script = (
        f"import {{ Detector }} from {json.dumps((site / 'detector.js').resolve().as_uri())};\n"
        "import { readFileSync } from 'node:fs';\n"
        f"const picture = {{ data: readFileSync('picture'), width: {width}, height: {height} }};\n"
        f"const detector = await Detector.load({{ threads: {threads} }});\n"
        f"if (detector.threads !== {threads}) throw new Error('no threads');\n"
        f"const options = {json.dumps(options or {})};\n"
        "console.log(JSON.stringify(await detector.detect(picture, options)));\n"
    )
    with tempfile.TemporaryDirectory(prefix="ultraface-node-") as name:
        scratch = Path(name)
        (scratch / "run.mjs").write_text(script, encoding="utf-8")
        (scratch / "picture").write_bytes(rgba)
        printed = run_program(["node", "run.mjs"], what="Node.js", cwd=scratch)
    faces: list[dict[str, object]] = json.loads(printed.strip().splitlines()[-1])
    return faces


def _require_same(found: list[dict[str, object]], wanted: Faces) -> None:
    ours = np.array([[*one["box"], one["score"]] for one in found]).reshape(-1, 5)  # type: ignore[misc]
    theirs = np.concatenate([wanted.boxes, wanted.scores[:, None]], axis=1)
    close = (np.abs(ours[:, None] - theirs[None]) < [*[_PIXELS] * 4, _SCORES]).all(axis=2)
    # Of equal scores either may come first.
    if ours.shape != theirs.shape or not (close.any(axis=0).all() and close.any(axis=1).all()):
        raise CheckFailed(
            f"the WebAssembly finds {counted(len(ours), 'face')} where the C file finds "
            f"{len(theirs)}, or others; nothing was written"
        )


def require_precision(precision: Precision) -> None:
    """Refuse a precision that the C file is not made in.

    Raises:
        InputError: names those that it is.
    """
    if precision not in PRECISIONS:
        raise InputError(
            f"`precision` {precision}: for the browser there are {', '.join(PRECISIONS)}"
        )
