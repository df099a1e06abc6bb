"""What a file is that was given where another was expected."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ultraface_deploy.safe.files import PARSE_ERRORS, read_text
from ultraface_deploy.safe.limits import Limit

# What each of our JSON files alone has at the top, the more telling before the less.
TELLING = {
    "manifest": ("model", "artifacts"),
    "calibration table": ("model", "ranges", "channels"),
    "description of a head": ("model", "outputs"),
    "JSON result of bench": ("machine", "measurements"),
    "JSON result of bench count": ("core", "packages", "results"),
    "result of bench submit": ("board", "figures"),
    "JSON result of eval": ("protocol", "results"),
    "JSON result of verify": ("passed", "results"),
    "result of eval peers or bench peers": ("accuracy", "cost"),
    "COCO annotation file": ("images", "annotations"),
}
# What writes those that a command reads again.
_WRITTEN_BY = {
    "calibration table": "ultraface-deploy quantize calibrate MODEL --calibration DIR -o FILE",
    "JSON result of bench": "ultraface-deploy bench MODEL --json FILE",
    "JSON result of bench count": "ultraface-deploy bench count CORE MODEL --json FILE",
    "result of bench submit": "ultraface-deploy bench submit RESULT.json -o FILE",
    "JSON result of eval": "ultraface-deploy eval MODEL --data DIR --ground-truth DIR --json FILE",
    "result of eval peers or bench peers": "ultraface-deploy bench peers DETECTOR --json FILE",
}
GET_AGAIN = "get it again"
MAKE_AGAIN = "get it again, or convert again"
_BEGINS = {
    b"PK\x03\x04": "zip archive",
    b"\xff\xd8\xff": "picture",
    b"\x89PNG": "picture",
    b"GIF8": "picture",
    b"%PDF": "PDF",
}
# The first entry of what `torch.save` writes.
_PICKLE = b"/data.pkl"


def kind_of(path: Path) -> str | None:
    """Return the name of what a file is, as `manifest` or `zip archive`; None where that is open.

    It looks at the beginning, and at the names at the top of JSON; nothing else of it is trusted.
    """
    try:
        with path.open("rb") as file:
            begin = file.read(512)
        for mark, name in _BEGINS.items():
            if begin.startswith(mark):
                return "torch checkpoint" if _PICKLE in begin else name
        if path.stat().st_size > Limit.TEXT.bytes or not begin.lstrip(b"\xef\xbb\xbf \t\r\n"):
            return None
        return _kind_of_json(json.loads(read_text(path)))
    except (OSError, *PARSE_ERRORS):
        return None


def not_a(path: Path, wanted: str) -> str | None:
    """Return `is a manifest, not a model`; None where a file may be a damaged one of those wanted.

    Args:
        path: a file that was refused.
        wanted: what it should have been, where it is one of ours by the name in `TELLING`.
    """
    found = kind_of(path)
    if found in (None, wanted):
        return None
    written = _WRITTEN_BY.get(wanted)
    made = f"; make one with: {written}" if written else ""
    return f"is {_one(str(found))}, not {_one(wanted)}{made}"


def damaged(path: Path, wanted: str, why: object, again: str = MAKE_AGAIN) -> str:
    """Return `is a manifest, not a model`, or `not a model, or damaged (why); get it again`.

    Args:
        path: a file that was refused.
        wanted: what it should have been, where it is one of ours by the name in `TELLING`.
        why: what is wrong with it.
        again: what to do where it is damaged.
    """
    return not_a(path, wanted) or f"not {_one(wanted)}, or damaged ({why}); {again}"


def _one(what: str) -> str:
    return f"{'an' if what[0] in 'aeiouAEIO' or what.startswith('ncnn') else 'a'} {what}"


def _kind_of_json(data: Any) -> str | None:
    if isinstance(data, dict):
        for name, fields in TELLING.items():
            if all(field in data for field in fields):
                return name
    return None
