"""What to do about a file that is missing, or that cannot be read or written: the end of a message.

One place for all of them: what a user needs next depends on what is there and on the system's
reason, not on who wanted the file.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from difflib import SequenceMatcher
from pathlib import Path
from typing import Literal

from ultraface_deploy.errors import InputError
from ultraface_deploy.safe.text import reason

Kind = Literal["file", "folder", "either"]

_LIKE = 0.75
"""How alike two names must be; frames that are counted, as 4.jpg and 24.jpg, are not."""
_MOST_NAMES = 5000
"""Of a folder with more only so many are looked at: a refusal must not take a second."""

_ELSEWHERE = "choose another place"
_NEXT = {
    errno.ENOSPC: "make room or {other}",
    errno.EDQUOT: "make room or {other}",
    errno.EFBIG: "{other}",
    errno.EROFS: "{other}",
    errno.ENAMETOOLONG: "give a shorter name",
    errno.EMFILE: "raise the limit of open files (ulimit)",
    errno.EACCES: "check its permissions",
    errno.EPERM: "check its permissions",
    errno.EISDIR: "give a file",
}
# Of these a copy, which names two files, means the second.
_OF_WHAT_IS_WRITTEN = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


def missing(path: Path, what: str, kind: Kind = "file", otherwise: str = "") -> str:
    """Return `no such model; did you mean slim-320.onnx?` for a path that is not there.

    It is the nearest name that is there which is told, or the first folder on the way that is
    not; where neither is to be had, that there is none says it all.

    Args:
        path: what was asked for.
        what: what was expected, as `model` or `folder of pictures`.
        kind: whether a file, a folder or either of them would have done.
        otherwise: what to say where no name that is there is like it.
    """
    said = f"no such {what}"
    if path.is_symlink():
        return f"{said}; it is a link to {path.readlink()}, which is not there"
    if near := nearest(path, kind):
        return f"{said}; did you mean {near}?"
    if otherwise:
        return f"{said}; {otherwise}"
    above = [each for each in path.parents if not each.is_dir()]
    if above:
        if above[-1].exists():
            return f"{said}; {above[-1]} is a file, not a folder"
        return f"{said}; there is no folder {above[-1]}"
    return said


def unwritable(error: OSError, other: str = _ELSEWHERE, what: str = "write") -> str:
    """Return `cannot write (No space left on device); make room or choose another place`.

    Args:
        error: what the system said.
        other: how another place is chosen, as "choose another with `output`".
        what: what was to be done, as "create the folder".
    """
    said = _next(error, other) or other
    if error.errno == errno.ENOENT and not Path(str(error.filename)).parent.is_dir():
        said = f"make its folder first or {other}"
    elif error.errno in (errno.EACCES, errno.EPERM):
        said = f"{said} or {other}"
    return f"cannot {what} ({error.strerror or error}); {said}"


def unreadable(error: OSError) -> str:
    """Return `cannot be read (Permission denied); check its permissions`."""
    said = _next(error, _ELSEWHERE) or "get it again"
    return f"cannot be read ({error.strerror or error}); {said}"


def undecodable(name: object, error: Exception | None = None) -> InputError:
    """Return the error for a picture that cannot be decoded.

    Args:
        name: of the picture.
        error: what its decoder said, if anything.
    """
    why = f" ({reason(error)})" if error is not None else ""
    return InputError(
        f"{name}: not an image that can be decoded here, or damaged{why}; "
        "save it as JPEG or PNG, or get it again"
    )


def said_by_system(error: OSError, otherwise: str) -> str:
    """Return an error of the file system as one line: which file, what is wrong, what to do.

    Args:
        error: of a copy it names both files, and a full disk is that of the second.
        otherwise: what to name where the error names no file.
    """
    written = error.filename2 if error.errno in _OF_WHAT_IS_WRITTEN else None
    said = f"{written or error.filename or otherwise}: {error.strerror or error}"
    after = _next(error, _ELSEWHERE)
    return f"{said}; {after}" if after else said


def _next(error: OSError, other: str) -> str:
    return _NEXT.get(error.errno or 0, "").format(other=other)


def nearest(path: Path, kind: Kind) -> Path | None:
    """Return the path of the nearest names that are there, None where one is like no other."""
    found = Path(path.anchor)
    names = path.parts[len(found.parts) :]
    for at, name in enumerate(names):
        wanted: Kind = kind if at == len(names) - 1 else "folder"
        if _fits(found / name, wanted):
            found /= name
        elif near := _like(found, name, wanted):
            found /= near
        else:
            return None
    return found


def _fits(path: Path, kind: Kind) -> bool:
    if kind == "folder":
        return path.is_dir()
    return path.exists() and (kind == "either" or not path.is_dir())


def _like(folder: Path, name: str, kind: Kind) -> str | None:
    """Return the name in a folder that is most like another; alike is what stands before suffixes.

    Of two with the same name before the suffix the suffix decides.
    """
    before = SequenceMatcher(None, "", Path(name).stem.lower())
    whole = SequenceMatcher(None, "", name.lower())
    ranked = []
    for each in _names(folder):
        before.set_seq1(Path(each).stem.lower())
        if before.quick_ratio() >= _LIKE and (alike := before.ratio()) >= _LIKE:
            whole.set_seq1(each.lower())
            ranked.append((alike, whole.ratio(), each))
    hidden = name.startswith(".")
    fits = (each for _, _, each in sorted(ranked, reverse=True) if _fits(folder / each, kind))
    return next((each for each in fits if each.startswith(".") == hidden), None)


def _names(folder: Path) -> Iterator[str]:
    try:
        with os.scandir(folder) as entries:
            for entry, _ in zip(entries, range(_MOST_NAMES), strict=False):
                yield entry.name
    except OSError:
        return
