"""Runs detectors over many images in several processes and keeps what they find in text files.

The files are in the official text format, one folder per subject. A file that is there already is
not made again, so a killed run continues where it was.
"""

# Tested by tests/accuracy/test_run.py.

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

from ultraface_deploy.accuracy.classes import write_classes
from ultraface_deploy.accuracy.settings import EvalSettings, fit, tensor_of
from ultraface_deploy.accuracy.subject import Subject
from ultraface_deploy.backends import Session
from ultraface_deploy.errors import BackendError, CheckFailed, InputError
from ultraface_deploy.pipeline import Faces, postprocess
from ultraface_deploy.safe.images import Image, read_image
from ultraface_deploy.safe.opencv import cv2
from ultraface_deploy.wider.predictions import predictions_path, write_predictions

# Images under way per process: enough to keep all busy, few enough to stop at once.
_AHEAD = 4


@dataclass(frozen=True)
class Job:
    """Subjects with the folder for the predictions of each, and the settings of the run."""

    folders: tuple[tuple[Subject, Path], ...]
    settings: EvalSettings

    def is_done(self, name: str) -> bool:
        """Whether every subject has its predictions for an image."""
        return all(predictions_path(folder, name).is_file() for _, folder in self.folders)


Spread = Callable[[Job, Mapping[str, Path], int], Iterator[tuple[str, str | None]]]
"""Has images looked at and their predictions written; yields each name when it is done, and why
the image could not be read."""


def detect_images(
    job: Job,
    images: Mapping[str, Path],
    processes: int,
    on_image: Callable[[], Any] = lambda: None,
    spread: Spread | None = None,
) -> dict[str, str]:
    """Write the predictions of every subject for every image; each image is decoded once.

    Args:
        job: what to run, and where the predictions go.
        images: paths by name.
        processes: how many to use; each loads every subject with one thread.
        on_image: called after each image, also after those that were done before.
        spread: what does it; None for processes of this machine.

    Returns:
        Why an image could not be read, by name.

    Raises:
        InputError: a folder cannot be written.
        BackendError: a runtime cannot run its artifact.
        CheckFailed: a process died.
    """
    todo = {name: path for name, path in images.items() if not job.is_done(name)}
    for _ in range(len(images) - len(todo)):
        on_image()
    unreadable = {}
    if todo:
        for name, problem in (spread or _in_processes)(job, todo, min(processes, len(todo))):
            if problem is not None:
                unreadable[name] = problem
            on_image()
    return unreadable


def _in_processes(
    job: Job, images: Mapping[str, Path], processes: int
) -> Iterator[tuple[str, str | None]]:
    # Spawned, not forked: the runtimes' thread pools do not survive a fork.
    pool = ProcessPoolExecutor(
        processes, multiprocessing.get_context("spawn"), _start_worker, (job,)
    )
    tasks = iter(images.items())
    running: dict[Future[str | None], str] = {}
    try:
        while True:
            with _no_main():
                for name, path in islice(tasks, _AHEAD * processes - len(running)):
                    running[pool.submit(_detect, name, path)] = name
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(future), future.result()
    except BrokenProcessPool as error:
        raise CheckFailed(
            "a process of the evaluation died: out of memory, or a runtime crashed; "
            "the same command continues, use fewer `jobs`"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _no_main() -> Iterator[None]:
    """Keep processes that are started from importing the program, of which they need nothing.

    Where a program evaluates outside of `if __name__ == "__main__":`, each would begin it anew.
    """
    program = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = program


_job: Job


def _start_worker(job: Job) -> None:
    global _job
    _job = job
    # Ctrl-C is the parent's to handle; and standard output is its, for results alone.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.dup2(2, 1)
    cv2.setNumThreads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)


def _detect(name: str, path: Path) -> str | None:
    try:
        bgr = read_image(path)
    except InputError as error:
        return str(error)
    for subject, folder in _job.folders:
        if not predictions_path(folder, name).is_file():
            faces = detect(bgr, subject, _job.settings)
            write_classes(folder, name, faces, subject.spec)
            # Last: where this file is, all is done.
            write_predictions(folder, name, (faces.boxes, faces.scores))
    return None


def detect(bgr: Image, subject: Subject, settings: EvalSettings) -> Faces:
    """Find the faces of one image (H, W, 3) uint8 BGR under the settings of an evaluation."""
    fitted = fit(bgr, subject.spec, settings)
    session = _session(subject, fitted.width, fitted.height)
    outputs = session.run(tensor_of(fitted, subject.spec))
    return postprocess(
        outputs["scores"], outputs["boxes"], session.spec, fitted.extent, settings.postprocess
    )


@lru_cache(maxsize=64)
def _session(subject: Subject, width: int, height: int) -> Session:
    try:
        return subject.open(width, height)
    except BackendError as error:
        own = (subject.spec.width, subject.spec.height)
        if (width, height) == own:
            raise
        raise InputError(
            f"{subject.files[0]}: {subject.backend} runs it at {own[0]}x{own[1]} only; "
            "evaluate the checkpoint with `backend` torch, or leave out `scale`"
        ) from error
