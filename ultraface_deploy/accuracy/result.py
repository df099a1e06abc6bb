"""Results: figures for people, and the counts to compare one artifact with another."""

from __future__ import annotations

import base64
import io
import math
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ultraface_deploy.accuracy.classes import ClassAp
from ultraface_deploy.errors import InputError
from ultraface_deploy.safe.files import PARSE_ERRORS
from ultraface_deploy.safe.records import SCHEMA, Amount, Natural, Positive, Version, plain, read
from ultraface_deploy.safe.text import counted
from ultraface_deploy.wider import Tally

# All of WIDER FACE at a thousand thresholds takes a tenth of this.
_MAX_COUNTS = 256 << 20
# WIDER FACE has a thousand; on other data every score is one, and then has a row.
_BINS = 1000
_ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError)
_COUNTS = ("image", "bin", "hits", "alarms", "faces")


@dataclass(frozen=True)
class Result:
    """What one subject reached.

    `subject` says what was evaluated (`Subject.describe`, or where predictions came from), `tally`
    holds the counts by image, `missing` how many images of the ground truth were not there,
    `unreadable` why an image could not be read, by name, and `details` everything else that goes
    into the JSON form.
    """

    subject: Mapping[str, Any]
    tally: Tally
    missing: int = 0
    unreadable: Mapping[str, str] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """How tables call it."""
        return f"{self.subject['artifact']} on {self.subject['backend'] or 'given predictions'}"

    def ap(self) -> dict[str, float]:
        """Return AP by set; NaN where a set counts no face."""
        return {name: self.tally.curve(name).ap for name in self.tally.sets}

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        aps = {name: None if math.isnan(ap) else ap for name, ap in self.ap().items()}
        return {
            **self.subject,
            "images": len(self.tally.names),
            "missing": self.missing,
            "unreadable": dict(self.unreadable),
            **aps,
            **self.details,
            "counts": pack(self.tally),
        }


@dataclass(frozen=True)
class Evaluation:
    """The results, and the protocol they were reached under."""

    protocol: Mapping[str, Any]
    results: Sequence[Result]

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "schema": SCHEMA,
            "protocol": dict(self.protocol),
            "results": [result.to_dict() for result in self.results],
        }

    def remarks(self) -> list[str]:
        """Say what a reader of the figures must know: missing images, broken predictions."""
        remarks = []
        if missing := self.results[0].missing:
            remarks.append(
                f"{counted(missing, 'image')} of the ground truth missing: "
                "the figures are of the other images only"
            )
        for result in self.results:
            if invalid := result.details["invalid_predictions"]:
                remarks.append(
                    f"{result.label}: {invalid} of {result.details['predictions']} predictions "
                    "are not finite or inverted; they count as false alarms"
                )
        return remarks


@dataclass(frozen=True)
class Point:
    """Recall and precision at a score; None where there is no face, or none was found."""

    score: Amount
    recall: Amount | None
    precision: Amount | None


@dataclass(frozen=True)
class Size:
    """Pixels of the network input."""

    width: Positive
    height: Positive


@dataclass(frozen=True)
class Agreement:
    """How far its faces are those of the original."""

    f1: Amount


@dataclass(frozen=True)
class EvalRecord:
    """One result: what comparisons read, and AP; a file holds more.

    `counts` are the counts by image, see `pack`; `backend`, `precision`, `input` and `bytes` are
    None where predictions came from elsewhere. AP by set are for people: `counts` give them again,
    and on other data than WIDER FACE the one set has another name.
    """

    model: str
    artifact: str
    backend: str | None
    precision: str | None
    input: Size | None
    missing: Natural
    operating_points: list[Point]
    counts: str
    bytes: Natural | None = None
    agreement: Agreement | None = None
    images: Natural = 0
    unreadable: dict[str, str] = field(default_factory=dict)
    classes: list[ClassAp] = field(default_factory=list)
    easy: Amount | None = None
    medium: Amount | None = None
    hard: Amount | None = None

    def result(self) -> Result:
        """Return the result without what only people read.

        Raises:
            ValueError, KeyError, OSError: the counts are damaged.
        """
        fields = plain(self)
        subject = {key: fields[key] for key in _SUBJECT}
        details = {key: fields[key] for key in ("operating_points", "agreement")}
        tally = unpack(self.counts)
        return Result(subject, tally, self.missing, self.unreadable, details)


@dataclass(frozen=True)
class EvalFile:
    """What `eval --json` writes."""

    schema: Version
    protocol: dict[str, Any]
    results: list[EvalRecord]


_SUBJECT = ("model", "artifact", "backend", "precision", "input", "bytes")


def read_results(path: Path) -> tuple[dict[str, Any], list[Result]]:
    """Read the protocol and the results of a file that `eval --json` wrote.

    Raises:
        InputError: there is no such file, or it is none of these.
    """
    found = read(path, EvalFile, "JSON result of eval", "run eval again")
    results = []
    for number, record in enumerate(found.results):
        try:
            results.append(record.result())
        except (*PARSE_ERRORS, *_ZIP_ERRORS, OSError) as error:
            raise InputError(
                f"{path}: results[{number}].counts are damaged ({error}); run eval again"
            ) from error
    if not results:
        raise InputError(f"{path}: holds no results; run eval again")
    return found.protocol, results


def pack(tally: Tally) -> str:
    """Return the counts as text: a compressed `.npz` in base64, some hundred kilobytes."""
    file = io.BytesIO()
    np.savez_compressed(
        file,
        sets=np.array(tally.sets),
        names=np.array(tally.names),
        bins=np.array(tally.bins),
        **{name: getattr(tally, name).astype(np.int32) for name in _COUNTS},
    )
    return base64.b64encode(file.getvalue()).decode()


def unpack(text: str) -> Tally:
    """Read what `pack` wrote.

    Raises:
        KeyError, ValueError, OSError: it is damaged.
    """
    content = io.BytesIO(base64.b64decode(text, validate=True))
    if sum(record.file_size for record in zipfile.ZipFile(content).infolist()) > _MAX_COUNTS:
        raise ValueError("counts unpack to more than any evaluation has")
    with np.load(content, allow_pickle=False) as arrays:
        image, bin, hits, alarms, faces = (arrays[name].astype(np.int64) for name in _COUNTS)
        tally = Tally(
            sets=tuple(arrays["sets"].tolist()),
            names=tuple(arrays["names"].tolist()),
            bins=int(arrays["bins"]),
            image=image,
            bin=bin,
            hits=hits,
            alarms=alarms,
            faces=faces,
        )
    rows, sets = len(image), len(tally.sets)
    sound = (
        hits.shape == alarms.shape == (sets, rows)
        and bin.shape == (rows,)
        and faces.shape == (sets, len(tally.names))
        and (not rows or 0 <= image.min() <= image.max() < len(tally.names))
        and (not rows or 0 <= bin.min() <= bin.max() < tally.bins)
        and 0 <= tally.bins <= max(_BINS, rows)
        and all((counts >= 0).all() for counts in (hits, alarms, faces))
        and len(set(tally.sets)) == sets
    )
    if not sound:
        raise ValueError("counts do not fit together")
    return tally
