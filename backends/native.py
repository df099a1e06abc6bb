"""The detector as C: compiled once by the system's compiler, kept in the cache, called directly.

A C file is a program. It is compiled only if it is one that this version writes: everything in it
besides names and numbers is compared by its hash.
"""

from __future__ import annotations

import atexit
import ctypes
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from ultraface_deploy.agreement.precision import Precision
from ultraface_deploy.backends.base import Backend, Session, Tensor
from ultraface_deploy.errors import BackendError, InputError, MissingDependency, ToolFailed
from ultraface_deploy.family.anchors import make_anchors
from ultraface_deploy.family.boxes import decode
from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.safe.child import run_program
from ultraface_deploy.safe.files import make_folder, read_text
from ultraface_deploy.safe.limits import Limit

BINDING = (Path(__file__).with_name("native.c"), Path(__file__).with_name("native.h"))
"""What stands around a generated detector: threads, and memory."""

_TIMEOUT_S = 300
_FLOATS = ctypes.POINTER(ctypes.c_float)

# What `code_hash` gives for the C files that this version writes, in INT8 and in FP32, then for
# those with names of classes; tests/backends/test_native.py says what to write here after a change
# of the kernels.
KNOWN_CODE = frozenset(
    {
        "063282e0db95d92b1303884a969e601b6783e6703a7ed714458d424e1aaee225",
        "5b1ea3436ee2aefc8cb2499e8e5d09755294f74b9bad8fbf2fafc173694f58b1",
        "80d8ec4e4d509945a89fb36311f6cf4fcc96cbe9126bb933856c59ba188496ff",
        "96a473302f7c11bec001c03801af160a722ede17641598831ee6254235540c83",
    }
)
_COMMENTS = re.compile(r"/\*.*?\*/", re.DOTALL)
_ARRAYS = re.compile(
    r"static const (?:float|int8_t|int16_t|int32_t) \w+\[\d+\] ALIGNED = "
    r"\{[-+\d.,efBVW()\s]*\};"
)
_TABLES = re.compile(r"(static const (?:tensor|step|feature_map) \w+\[\w*\] = )\{[\w{},\s-]*\};")
# What `c_literal` writes: nothing in it ends the string.
_NAMES = re.compile(
    r"(static const char \*const class_names\[\] = )"
    r'\{\s*NULL(?:,\s*"(?:[A-Za-z0-9 _.-]|\\[0-3][0-7]{2})+")+\s*\};'
)
_COUNTED = re.compile(r"\[(?P<count>\d+)\](?: ALIGNED)? = \{(?P<content>[^}]*)\}")
_HEADER = re.compile(r'#include "[\w.+ -]+\.h"')


class _Session(Session):
    def __init__(self, spec: ModelSpec, library: ctypes.CDLL, threads: int) -> None:
        super().__init__(spec)
        self._library = library
        self._detector = library.native_open(threads)
        if not self._detector:
            raise BackendError("no memory or no threads")

    def _run(self, tensor: Tensor) -> Mapping[str, Tensor]:
        spec = self.spec
        tensor = np.ascontiguousarray(tensor, np.float32)
        scores = np.empty((1, spec.num_anchors, spec.num_classes), np.float32)
        boxes = np.empty((1, spec.num_anchors, 4), np.float32)
        pixels = tensor.ctypes.data_as(_FLOATS)
        self._library.native_put_tensor(self._detector, pixels, spec.mean[0], spec.std[0])
        status = self._library.native_run(
            self._detector, scores.ctypes.data_as(_FLOATS), boxes.ctypes.data_as(_FLOATS)
        )
        if status:
            raise BackendError(f"the detector returns {status}; its header says what that means")
        if spec.head == "decoded":
            variances = (spec.anchors.center_variance, spec.anchors.size_variance)
            boxes = decode(boxes[0], make_anchors(spec), *variances).astype(np.float32)[None]
        return {"scores": scores, "boxes": boxes}

    def __del__(self) -> None:
        if getattr(self, "_detector", None):
            self._library.native_close(self._detector)
            self._detector = None


class Native(Backend):
    """Runs C files of our own, on any processor that has a compiler."""

    name = "native"
    formats = ("c",)
    module = "ctypes"
    distribution = "cc"

    def available(self) -> bool:
        """Whether there is a C compiler."""
        return compiler() is not None

    def version(self) -> str | None:
        """Return the first line of what the compiler says of itself."""
        found = compiler()
        return None if found is None else _compiler_version(found)

    def require(self) -> None:
        """Refuse to go on without a compiler.

        Raises:
            MissingDependency: says what to install.
        """
        if not self.available():
            raise MissingDependency(
                "backend native compiles C and finds no compiler `cc`; install one, for example "
                "apt install gcc, or name it in the environment variable CC"
            )

    def _load(
        self, files: Sequence[Path], spec: ModelSpec, threads: int, precision: Precision
    ) -> Session:
        library = _declared(ctypes.CDLL(str(build_library(files, threads))))
        return _Session(spec, library, threads)


def compiler() -> str | None:
    """Return the path of the C compiler: what CC names, or else `cc`; None without one."""
    return shutil.which(os.environ.get("CC") or "cc")


def code_hash(source: str, header: str) -> str:
    """Return the hash of a C file and its header without their names, numbers and comments."""
    digest = hashlib.sha256()
    for text in (source, header):
        # Long literals first: comments stand between arrays, never inside them.
        code = _HEADER.sub('#include ""', _COMMENTS.sub(" ", text))
        code = _NAMES.sub(r"\1{};", _TABLES.sub(r"\1{};", _ARRAYS.sub("", code)))
        digest.update("\n".join(re.sub(r"\b\d+\b", "0", code).split()).encode())
    return digest.hexdigest()


def claims_more(source: str) -> bool:
    """Whether an array is said to be longer than what stands in its braces.

    The compiler would write the rest as zeros, gigabytes of them.
    """
    return any(int(match["count"]) > len(match["content"]) for match in _COUNTED.finditer(source))


def require_our_code(files: Sequence[Path]) -> tuple[str, str]:
    """Return the texts of a C file and its header, if they are safe to compile.

    Raises:
        BackendError: they are not what this version writes.
    """
    source, header = (read_text(path, Limit.TEXT) for path in files)
    if code_hash(source, header) not in KNOWN_CODE or claims_more(source):
        raise BackendError(
            f"{files[0].name} is not a C file of this version, and is not compiled; convert again"
        )
    return source, header


def build_library(files: Sequence[Path], threads: int) -> Path:
    """Return the shared library of a C file; compiled once for a file, compiler and thread count.

    Raises:
        BackendError: the file is not one that this version writes, or does not compile.
    """
    source, header = require_our_code(files)
    found = compiler()
    assert found is not None
    flags = ["-O3", "-shared", "-fPIC", "-pthread", f"-DULTRAFACE_THREADS={threads}"]
    binding = [path.read_text() for path in BINDING]
    parts = [source, header, *binding, found, _compiler_version(found), *flags]
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
    library = _cache() / f"{key}.so"
    if not library.is_file():
        _compile(found, flags, source, header, files, library)
    return library


def _compile(
    compiler: str,
    flags: Sequence[str],
    source: str,
    header: str,
    files: Sequence[Path],
    library: Path,
) -> None:
    """Compile what was checked, not what may since lie in the folder."""
    with tempfile.TemporaryDirectory(dir=library.parent) as name:
        folder = Path(name)
        (folder / files[0].name).write_text(source, encoding="utf-8")
        (folder / files[1].name).write_text(header, encoding="utf-8")
        made = folder / "made.so"
        command = [compiler, *flags, f'-DULTRAFACE_HEADER="{files[1].name}"', f"-I{folder}"]
        command += ["-o", str(made), str(folder / files[0].name), str(BINDING[0])]
        try:
            run_program(command, what=compiler, cwd=folder, timeout=_TIMEOUT_S)
        except ToolFailed as error:
            lines = [line for line in error.output.splitlines() if "error" in line]
            raise BackendError(f"{compiler} cannot compile it: {[*lines, error][0]}") from error
        made.replace(library)


def _cache() -> Path:
    """Return where compiled files are kept; where no home can be written, as long as this runs."""
    from platformdirs import user_cache_path

    kept = user_cache_path("ultraface-deploy") / "native"
    try:
        make_folder(kept)
    except InputError:
        return _for_this_process()
    return kept


@lru_cache(maxsize=1)
def _for_this_process() -> Path:
    folder = tempfile.TemporaryDirectory(prefix="ultraface-native-")
    atexit.register(folder.cleanup)
    return Path(folder.name)


def _compiler_version(found: str) -> str:
    answer = subprocess.run([found, "--version"], capture_output=True, text=True, check=False)
    return (answer.stdout.splitlines() or ["unknown"])[0]


def _declared(library: ctypes.CDLL) -> ctypes.CDLL:
    library.native_open.restype = ctypes.c_void_p
    library.native_open.argtypes = [ctypes.c_int]
    library.native_close.restype = None
    library.native_close.argtypes = [ctypes.c_void_p]
    library.native_put_tensor.restype = None
    library.native_put_tensor.argtypes = [ctypes.c_void_p, _FLOATS, ctypes.c_float, ctypes.c_float]
    library.native_run.restype = ctypes.c_int
    library.native_run.argtypes = [ctypes.c_void_p, _FLOATS, _FLOATS]
    return library


BACKEND = Native()
