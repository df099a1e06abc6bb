"""The thread that looks for faces in the newest picture."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ultraface_deploy.backends import Session
from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.pipeline import Faces, PostprocessOptions, postprocess
from ultraface_deploy.pipeline.view import network_input
from ultraface_deploy.safe.images import Image
from ultraface_deploy.serve.latest import Closed, Slot
from ultraface_deploy.serve.source import Picture
from ultraface_deploy.serve.statistics import Statistics

LOWEST_THRESHOLD = 0.3
"""The sliders of the viewers begin here, so faces are looked for down to it."""
Stages = dict[str, float]
"""Seconds by stage."""


class Look:
    """Finds faces as `Detector.detect` does, and times the stages."""

    def __init__(
        self,
        session: Session,
        keep_aspect: bool = False,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._session, self._keep_aspect, self._clock = session, keep_aspect, clock

    @property
    def spec(self) -> ModelSpec:
        """What the network is."""
        return self._session.spec

    def __call__(self, image: Image, threshold: float) -> tuple[Faces, Stages]:
        """Return the faces of (H, W, 3) uint8 BGR above a threshold, and seconds by stage."""
        begin = self._clock()
        tensor, extent = network_input(image, self.spec, self._keep_aspect)
        prepared = self._clock()
        outputs = self._session.run(tensor)
        ran = self._clock()
        faces = postprocess(
            outputs["scores"],
            outputs["boxes"],
            self.spec,
            extent,
            PostprocessOptions(threshold),
            outputs.get("landmarks"),
        )
        end = self._clock()
        return faces, {
            "preprocess": prepared - begin,
            "network": ran - prepared,
            "postprocess": end - ran,
        }


def face_records(faces: Faces) -> list[dict[str, Any]]:
    """Return faces as the interface gives them: pixels to a thousandth, scores to a millionth."""
    records = []
    for face in faces:
        record = face.to_dict()
        record["box"] = [round(value, 3) for value in face.box]
        record["score"] = round(face.score, 6)
        if face.landmarks is not None:
            record["landmarks"] = [[round(value, 3) for value in point] for point in face.landmarks]
        records.append(record)
    return records


@dataclass(frozen=True)
class Seen:
    """A picture with its faces, also those between the lowest threshold and the one asked for."""

    number: int
    image: Image
    faces: Faces
    unix_time: float
    """When the picture came."""
    _texts: dict[float, str] = field(default_factory=dict)

    def text(self, threshold: float) -> str:
        """Return the JSON of the faces above a threshold; made once for all who want it."""
        if threshold not in self._texts:
            height, width = self.image.shape[:2]
            faces = face_records(self.faces[self.faces.scores > threshold])
            record = {
                "picture": self.number,
                "unix_time": round(self.unix_time, 3),
                "width": width,
                "height": height,
                "faces": faces,
            }
            self._texts[threshold] = json.dumps(record)
        return self._texts[threshold]


class Looker:
    """Takes pictures from a slot, in a thread, and publishes what it sees."""

    def __init__(
        self,
        look: Look,
        slot: Slot[Picture],
        publish: Callable[[Seen], None],
        statistics: Statistics,
        threshold: float,
        most_a_second: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._look, self._slot, self._statistics = look, slot, statistics
        self._publish = publish
        self._threshold, self._clock = threshold, clock
        self._apart = 0.0 if most_a_second is None else 1 / most_a_second
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self.run, name="looker", daemon=True)
        self._number = 0
        self.problem: str | None = None
        """Why the last picture could not be looked at."""

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def close(self) -> None:
        """End, after the picture that is looked at; the slot must be closed."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def run(self) -> None:
        """Look until the slot is closed."""
        while not self._stopping.is_set():
            begin = self._clock()
            try:
                self.see(self._slot.take())
            except Closed:
                return
            rest = self._apart - (self._clock() - begin)
            if rest > 0:
                self._stopping.wait(rest)

    def see(self, picture: Picture) -> None:
        """Look at one picture and publish it."""
        lowest = min(LOWEST_THRESHOLD, self._threshold)
        waited = self._clock() - picture.at
        try:
            faces, stages = self._look(picture.image, lowest)
        except Exception as error:  # of a runtime, too: the next picture is looked at
            self.problem = str(error) or type(error).__name__
            return
        self.problem = None
        self._number += 1
        sure = int((faces.scores > self._threshold).sum())
        read = {} if picture.read_s is None else {"read": picture.read_s}
        stages = {**read, "wait": waited, **stages}
        self._statistics.add(sure, stages)
        self._publish(Seen(self._number, picture.image, faces, picture.unix_time))
