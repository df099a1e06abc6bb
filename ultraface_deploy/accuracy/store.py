"""Where the predictions of a run lie, so that a killed run finds them again."""

# Tested by tests/accuracy/test_run.py.

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ultraface_deploy.accuracy.settings import EvalSettings
from ultraface_deploy.accuracy.subject import Subject
from ultraface_deploy.errors import InputError
from ultraface_deploy.models.pull import cache_folder
from ultraface_deploy.safe.files import make_folder, write_text

RECORD = "settings.json"


@contextmanager
def prediction_folders(
    subjects: Sequence[Subject],
    images: Mapping[str, Path],
    settings: EvalSettings,
    save: Path | None = None,
) -> Iterator[list[tuple[Subject, Path]]]:
    """Yield a folder for the predictions of each subject, locked until the end of the block.

    Args:
        subjects: what will be run.
        images: paths by name.
        settings: thresholds and resize policy.
        save: the parent of folders that stay. None for folders in the user's cache, which go
            when the block ends well.

    Raises:
        InputError: a folder holds predictions of another run, is in use, or cannot be written.
    """
    records = {
        subject: {
            "subject": subject.describe(),
            "settings": settings.to_dict(),
            "images": _digest([str(path.resolve()) for path in images.values()]),
        }
        for subject in subjects
    }
    root = save or cache_folder() / "eval"
    folders = [
        (subject, root / (_digest(record) if save is None else subject.label))
        for subject, record in records.items()
    ]
    make_folder(root, "`save_predictions`")
    with ExitStack() as locks:
        for subject, folder in folders:
            locks.enter_context(_locked(folder))
            _claim(folder, records[subject], ours=save is None)
        yield folders
        if save is None:
            for _, folder in folders:
                shutil.rmtree(folder, ignore_errors=True)


def _claim(folder: Path, record: Mapping[str, Any], ours: bool) -> None:
    """Write down what the folder's predictions are of; refuse one that has others.

    One of `ours` has a name that is made of the record; the end of a run may be cut off within it.
    """
    path = folder / RECORD
    text = json.dumps(record, indent=2) + "\n"
    if not path.is_file():
        if not ours and folder.is_dir() and any(folder.iterdir()):
            raise InputError(f"{folder}: holds files of another origin; choose another folder")
        make_folder(folder)
        write_text(path, text)
    elif path.read_text(encoding="utf-8", errors="replace") != text:
        raise InputError(
            f"{folder}: holds predictions of other images, settings or files; "
            "remove it or choose another folder"
        )


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    try:
        with FileLock(folder.parent / f".{folder.name}.lock", timeout=0):
            yield
    except Timeout as error:
        raise InputError(f"{folder}: the same evaluation is running; wait for it") from error


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:24]
