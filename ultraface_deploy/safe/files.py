"""Files that appear whole or not at all, and checks before a file is opened."""

from __future__ import annotations

import codecs
import hashlib
import os
import shutil
import struct
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import CodeType
from typing import ParamSpec, TypeVar

from ultraface_deploy.errors import InputError
from ultraface_deploy.safe.limits import Limit
from ultraface_deploy.safe.refusals import missing, unwritable

_NAME_MAX = 255
_STEM_MAX = 200
"""Bytes of a stem in the name of an unfinished file, which has a little more to hold."""
_LFS_BEGIN, _LFS_LONGEST = b"version https://git-lfs.github.com/spec/", 1024

UNDISTURBED: set[CodeType] = set()
"""What makes a file, a folder or a process and ends it itself: meanwhile no signal may."""
_Arguments = ParamSpec("_Arguments")
_Yielded = TypeVar("_Yielded")

PARSE_ERRORS = (
    ValueError,
    struct.error,
    # Of a key, an index, or the encoding that an XML file declares.
    LookupError,
    TypeError,
    AttributeError,
    # int() of JSON's Infinity; deep nesting; a size that a header merely claims.
    OverflowError,
    RecursionError,
    MemoryError,
)
"""What reading data of another shape than expected raises."""


def require_file(path: Path, what: str, limit: Limit | None = None) -> None:
    """Refuse a path that is not a readable, non-empty file, or one larger than a limit.

    Raises:
        InputError: names the path and what was expected there.
    """
    if not path.exists():
        raise InputError(f"{path}: {missing(path, what)}")
    if not path.is_file():
        raise InputError(f"{path}: is not a file; expected: {what}")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: the {what} is empty; was a copy cut short? copy it again")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path}: the {what} cannot be read; check its permissions")
    refuse_pointer(path)
    if limit is not None:
        limit.check(path)


def refuse_pointer(path: Path) -> None:
    """Refuse a Git LFS pointer, which stands for a file that has not been fetched.

    Format: https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md

    Raises:
        InputError: says how to fetch the file.
    """
    if path.stat().st_size > _LFS_LONGEST:
        return
    with path.open("rb") as file:
        if file.read(len(_LFS_BEGIN)) == _LFS_BEGIN:
            raise InputError(
                f"{path}: is a Git LFS pointer, not the file itself; in its repository run: "
                f'git lfs pull --include "*{path.name}"'
            )


def read_text(path: Path, limit: Limit | None = None) -> str:
    """Return a text file's content: UTF-8, or UTF-16 where a byte order mark says so.

    The mark itself, which Windows editors write, is no part of the text; bytes that are no UTF-8
    become the replacement character.

    Raises:
        OSError: the file cannot be read.
        InputError: it is larger than the limit.
    """
    if limit is not None:
        limit.check(path)
    content = path.read_bytes()
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return content.decode("utf-16" if wide else "utf-8-sig", errors="replace")


def inside(folder: Path, name: str) -> Path:
    """Return `folder / name` for a name that a file from elsewhere gives.

    Raises:
        InputError: the name is absolute or leads out of the folder.
    """
    parts = name.replace("\\", "/").split("/")
    if not name or name.startswith("/") or ".." in parts or "\0" in name:
        raise InputError(f"{folder}: the name {name[:80]!r} leads out of this folder")
    try:
        longest = max(len(os.fsencode(part)) for part in parts)
    except UnicodeEncodeError as error:
        raise InputError(f"{folder}: {name[:80]!r} cannot be the name of a file") from error
    if longest > _NAME_MAX:
        raise InputError(f"{folder}: the name {name[:80]!r}... is longer than a file's can be")
    return folder / name


def require_within(folder: Path, files: Sequence[Path]) -> None:
    """Refuse files that are links to what lies elsewhere.

    Raises:
        InputError: names the first that leads out of the folder.
    """
    root = folder.resolve()
    for file in files:
        if not file.resolve().is_relative_to(root):
            raise InputError(
                f"{file}: is a link that leads out of {folder.name}; copy the file there"
            )


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file as hex digits, read in chunks."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def make_folder(path: Path, choose: str = "`output`") -> None:
    """Create an output folder with its parents.

    Args:
        path: the folder.
        choose: the parameter or environment variable that names another.

    Raises:
        InputError: it cannot be created or written.
    """
    advice = f"choose another with {choose}"
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path}: {unwritable(error, advice, 'create the folder')}") from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise InputError(f"{path}: the folder cannot be written; {advice}")


def undisturbed(
    function: Callable[_Arguments, Iterator[_Yielded]],
) -> Callable[_Arguments, Iterator[_Yielded]]:
    """Let no signal end a context on its way in or out; between, while it is used, it may."""
    UNDISTURBED.add(function.__code__)
    return function


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it becomes `path` in one step.

    On an error `path` keeps its old content and the temporary file is removed. A device or a
    pipe is written into instead: a file in its place would be the end of /dev/null.

    Raises:
        InputError: the folder cannot be written or the disk is full.
    """
    poured = path.exists() and not path.is_file() and not path.is_dir()
    with _poured_into(path) if poured else _put_in_place(path) as temporary:
        yield temporary


@contextmanager
@undisturbed
def _put_in_place(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside a file; on success it becomes the file."""
    try:
        before, after = temporary_name(path).split("*")
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=before, suffix=after)
        os.close(descriptor)
    except OSError as error:
        raise InputError(f"{path}: {unwritable(error)}") from error
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        _sync(temporary)
        temporary.replace(path)
    except OSError as error:
        raise InputError(f"{path}: {unwritable(error)}") from error
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _poured_into(path: Path) -> Iterator[Path]:
    """Yield a temporary path elsewhere; on success its content is written into a device or pipe."""
    with tempfile.TemporaryDirectory() as folder:
        temporary = Path(folder) / f"content{path.suffix}"
        temporary.touch()
        yield temporary
        try:
            with temporary.open("rb") as content, path.open("wb") as target:
                shutil.copyfileobj(content, target)
        except OSError as error:
            raise InputError(f"{path}: {unwritable(error)}") from error


def temporary_name(path: str | Path) -> str:
    """Return the pattern of the names that `replacing` gives to unfinished files."""
    return f".{_short(Path(path).stem)}.*.tmp{Path(path).suffix}"


def unfinished_name(path: str | Path) -> str:
    """Return the name of what is kept of a file while those who make it may be killed."""
    return f".{_short(Path(path).name)}.unfinished"


def _short(name: str) -> str:
    return name.encode(errors="ignore")[:_STEM_MAX].decode(errors="ignore").replace("\0", "")


@contextmanager
def native_name(path: Path) -> Iterator[str]:
    """Yield a name of a file, or of one to be made, that native code can take.

    It is absolute, because FFmpeg takes `http:a.mp4` for an address. Where the name is not UTF-8,
    which ends OpenCV's process, it leads through an open descriptor.
    """
    name = str(path.absolute())
    try:
        name.encode()
    except UnicodeEncodeError:
        pass
    else:
        yield name
        return
    try:
        path.name.encode()
        target, rest = path.parent, f"/{path.name}"
    except UnicodeEncodeError:
        target, rest = path, ""
    opened = os.open(target, os.O_RDONLY)
    try:
        yield f"/proc/self/fd/{opened}{rest}"
    finally:
        os.close(opened)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    r"""Write a UTF-8 text file whole or not at all; what is no text becomes `\\udcff`."""
    write_bytes(path, content.encode(errors="backslashreplace"))


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
