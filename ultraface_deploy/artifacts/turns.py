"""Several runs that write into one folder take turns, and tidy up after those that were killed."""

# Tested by tests/artifacts/test_folder.py.

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from ultraface_deploy.errors import InputError
from ultraface_deploy.safe.files import make_folder, temporary_name, undisturbed

_LOCK = ".lock"
_LOCK_TIMEOUT_S = 120
_SCRATCH = ".scratch-"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Make a folder, and keep others from writing into it meanwhile.

    Raises:
        InputError: another run has been writing there for two minutes.
    """
    with ExitStack() as held:
        while not _lock(folder, held):
            pass
        yield


def _lock(folder: Path, held: ExitStack) -> bool:
    """Make and lock a folder; False where a run that had made it took it away meanwhile."""
    make_folder(folder)
    try:
        held.enter_context(FileLock(folder / _LOCK, timeout=_LOCK_TIMEOUT_S))
    except FileNotFoundError:
        return False
    except Timeout as error:
        raise InputError(
            f"{folder}: another run has been writing here for {_LOCK_TIMEOUT_S} s; "
            "wait for it or choose another folder with `output`"
        ) from error
    return True


@contextmanager
def scratch_in(folder: Path, written: str) -> Iterator[Path]:
    """Yield a folder within a folder for the files of one run; it is gone afterwards.

    What killed runs have left goes first, unfinished copies of the file `written` too: a run holds
    a lock on a file in its own folder, which the kernel lets go of with the process. A folder that
    was made for a run which then put nothing there goes too.
    """
    above = (folder, *folder.parents)
    made = [each for each in above if not os.path.lexists(each)]
    try:
        with ExitStack() as kept:
            with locked(folder):
                _sweep(folder, written)
                scratch = kept.enter_context(_scratch(folder.resolve()))
            yield scratch
    finally:
        _leave(folder, made)


def _leave(folder: Path, made: Sequence[Path]) -> None:
    """Remove the lock of a folder that holds nothing else, and those folders that were made."""
    lock = folder / _LOCK
    # filelock before 4 takes the file away with the lock.
    if not lock.exists() and not (made and folder.is_dir()):
        return
    with suppress(Timeout, OSError), FileLock(lock, timeout=0):
        # Others wait for a lock that is there: FileLock looks whether its file still has a name.
        if [path.name for path in folder.iterdir()] == [_LOCK]:
            lock.unlink()
            for path in made:
                path.rmdir()


@contextmanager
@undisturbed
def _scratch(folder: Path) -> Iterator[Path]:
    scratch = Path(tempfile.mkdtemp(dir=folder, prefix=_SCRATCH))
    try:
        with FileLock(scratch / _LOCK):
            yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _sweep(folder: Path, written: str) -> None:
    """Remove what killed runs have left in a folder that is locked."""
    for scratch in folder.glob(f"{_SCRATCH}*"):
        with suppress(Timeout, OSError), FileLock(scratch / _LOCK, timeout=0):
            shutil.rmtree(scratch, ignore_errors=True)
    for half in folder.glob(temporary_name(written)):
        half.unlink(missing_ok=True)
