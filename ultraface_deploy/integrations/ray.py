"""Very many pictures on very many machines, with Ray Data.

Ray Data hands parts of the input to actors, each with a detector, holds back what they cannot take
yet, starts actors on cores that become free and does again what a dead one has begun. Pictures do
not pass through its object store: an actor reads them where they lie and writes a part's rows.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ultraface_deploy import errors
from ultraface_deploy.accuracy.workers import Job
from ultraface_deploy.accuracy.workers import detect as detect_as_subject
from ultraface_deploy.detect.detector import Detector
from ultraface_deploy.detect.unfinished import require_same, settings_of
from ultraface_deploy.errors import InputError, UltraFaceError, WorkerFailed
from ultraface_deploy.integrations.cluster import cluster, require
from ultraface_deploy.integrations.shards import Shard, find_shards, shard_of
from ultraface_deploy.integrations.work import (
    SETTINGS,
    clean,
    look,
    read_settings,
    write_settings,
)
from ultraface_deploy.safe.images import read_image
from ultraface_deploy.safe.opencv import cv2
from ultraface_deploy.wider.predictions import predictions_path, write_predictions

PICTURES = 1000
"""Of folders and globs, in a part."""
# Ray keeps track of each block; beyond this a block has several parts.
_BLOCKS = 10_000
# Pictures that an actor of an evaluation is given at once.
_CHUNK = 16


@dataclass(frozen=True)
class Found:
    """What a run has written: parts, pictures with the unreadable ones, and faces."""

    parts: int = 0
    pictures: int = 0
    unreadable: int = 0
    faces: int = 0

    def plus(self, told: Mapping[str, int]) -> Found:
        """Return the sum with what `look` told of a part."""
        return Found(
            self.parts + 1,
            self.pictures + told["pictures"],
            self.unreadable + told["unreadable"],
            self.faces + told["faces"],
        )


def detect(
    sources: Sequence[str],
    output: str,
    opening: Callable[[], Detector],
    address: str | None = None,
    threads: int = 1,
    full_decode: bool = False,
    pictures: int = PICTURES,
    on_part: Callable[[int, int], Any] = lambda done, parts: None,
    report: Callable[[str], Any] = lambda message: None,
) -> Found:
    """Find faces in folders, globs, Parquet and tar files; write a Parquet file for each part.

    A run that was killed goes on when it is given again: parts whose file is there stay.

    Args:
        sources: paths, globs, addresses of object stores; every node must reach them.
        output: folder or address for the files, the same for every node.
        opening: opens a detector in an actor; it travels by pickle.
        address: of a cluster; None for one of this machine's cores, for this run.
        threads: cores of one actor.
        full_decode: decode large JPEGs with all their pixels.
        pictures: of folders and globs, in a part.
        on_part: is told how many parts of how many are done.
        report: hears what is waited for until the first part is done.

    Raises:
        InputError: a source is none, or the output holds something else.
        MissingDependency: ray or pyarrow is not installed.
        WorkerFailed: an actor failed again and again.
    """
    require(address)
    with opening() as detector:
        settings = settings_of(detector, sources, full_decode)
    shards = find_shards(sources, pictures)
    _claim(output, settings, shards)
    items = [asdict(shard) for shard in shards]
    work, found = partial(_Looking, opening, output, full_decode), Found()
    with cluster(address, report):
        for told in _spread(work, items, threads):
            found = found.plus(told)
            on_part(found.parts, len(shards))
    clean(output)
    return found


class _Looking:
    """What an actor does: one detector, parts one after the other."""

    def __init__(self, opening: Callable[[], Detector], output: str, full_decode: bool) -> None:
        self._detector, self._output, self._full = opening(), output, full_decode

    def __call__(self, fields: dict[str, Any]) -> dict[str, int]:
        return look(self._detector, shard_of(fields), self._output, self._full)


def in_actors(
    job: Job,
    images: Mapping[str, Path],
    processes: int,
    address: str | None = None,
    report: Callable[[str], Any] = lambda message: None,
) -> Iterator[tuple[str, str | None]]:
    """Write the predictions of an evaluation, found by actors; see `accuracy.workers`.

    Args:
        job: what to run, and the folders of this machine where predictions go.
        images: paths by name, which every node must reach, as it must the artifacts.
        processes: does not count: as many actors as the cluster has cores.
        address: of a cluster; None for one of this machine's cores, for this run.
        report: hears what is waited for until the first images are done.

    Yields:
        Each name, with why the image could not be read, or None.
    """
    require(address)
    named = [(name, str(path)) for name, path in images.items()]
    chunks = [named[at : at + _CHUNK] for at in range(0, len(named), _CHUNK)]
    with cluster(address, report):
        for answers in _spread(partial(_Predicting, job), chunks, 1):
            for name, problem, found in answers:
                for (_, folder), (boxes, scores) in zip(job.folders, found, strict=False):
                    if not predictions_path(folder, name).is_file():
                        faces = np.array(boxes, np.float32), np.array(scores, np.float32)
                        write_predictions(folder, name, faces)
                yield name, problem


class _Predicting:
    """What an actor of an evaluation does."""

    def __init__(self, job: Job) -> None:
        self._job = job

    def __call__(self, chunk: list[list[str]]) -> list[Any]:
        return [self._answer(*each) for each in chunk]

    def _answer(self, name: str, path: str) -> tuple[str, str | None, list[Any]]:
        try:
            bgr = read_image(Path(path))
        except InputError as error:
            return name, str(error), []
        subjects = [subject for subject, _ in self._job.folders]
        found = [detect_as_subject(bgr, subject, self._job.settings) for subject in subjects]
        return name, None, [(faces.boxes.tolist(), faces.scores.tolist()) for faces in found]


class _Actor:
    """Takes items and gives answers as JSON; what our own code raises is an answer too.

    Ray would wrap an error into its own, of which the text alone reaches the driver.
    """

    def __init__(self, make: Callable[[], Callable[[Any], Any]]) -> None:
        cv2.setNumThreads(1)
        self._problem: UltraFaceError | None = None
        try:
            self._work = make()
        except UltraFaceError as error:
            self._problem = error

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, list[str]]:
        return {"item": [json.dumps(self._answer(str(item))) for item in batch["item"]]}

    def _answer(self, item: str) -> dict[str, Any]:
        try:
            if self._problem is not None:
                raise self._problem
            return {"answer": self._work(json.loads(item))}
        except UltraFaceError as error:
            return {"raised": [type(error).__name__, str(error)]}


def _spread(
    make: Callable[[], Callable[[Any], Any]], items: Sequence[Any], threads: int
) -> Iterator[Any]:
    """Give items to as many actors as there are cores for, and yield their answers.

    Raises:
        UltraFaceError: what an actor has raised.
        WorkerFailed: Ray gave up.
    """
    import ray
    import ray.data
    from ray.exceptions import RayError

    ray.data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    cores = int(resources.get("CPU", 1))
    # From one on: the core of a node that has gone is taken from an actor that has nothing to do.
    pool = ray.data.ActorPoolStrategy(min_size=1, max_size=max(1, cores // threads))
    answers = ray.data.from_items(
        [{"item": json.dumps(item)} for item in items],
        override_num_blocks=min(len(items), _BLOCKS),
    ).map_batches(_Actor, fn_constructor_args=(make,), batch_size=1, compute=pool, num_cpus=threads)
    try:
        for row in answers.iter_rows():
            answer = json.loads(row["item"])
            if "raised" in answer:
                kind, text = answer["raised"]
                raise getattr(errors, kind)(text)
            yield answer["answer"]
    except RayError as error:
        reason = str(error).strip().splitlines()[-1]
        raise WorkerFailed(f"Ray gave up ({reason}); the same command goes on") from error


def _claim(output: str, settings: Mapping[str, Any], shards: Sequence[Shard]) -> None:
    """Make the output folder, or see that it holds an earlier run with these settings.

    Raises:
        InputError: it holds something else.
    """
    names = json.dumps([asdict(shard) for shard in shards])
    wanted = {**settings, "list of pictures": hashlib.sha256(names.encode()).hexdigest()}
    if (before := read_settings(output)) is not None:
        require_same(f"{output}/{SETTINGS}", before, wanted)
        return
    write_settings(output, wanted)
