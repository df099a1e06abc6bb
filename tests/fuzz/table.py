"""Prints the figures of campaigns as a Markdown table: `python -m tests.fuzz.table FILE...`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

_HEAD = ("format", "files", "read", "refused", "child crashed", "main process: findings", "peak MB")


def table(records: Iterable[Mapping[str, Any]]) -> str:
    """Return one row per record of `campaign --json`."""
    rows = [_HEAD, tuple("---" for _ in _HEAD)]
    for record in records:
        crashed = ", ".join(f"{n} {kind}" for kind, n in record["in_child"].items())
        found = ", ".join(f"{len(n)} {kind}" for kind, n in record["findings"].items())
        figures = (str(record[key]) for key in ("format", "files", "read", "refused"))
        rows.append((*figures, crashed or "0", found or "0", str(record["peak_mb"])))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


if __name__ == "__main__":
    files = [json.loads(Path(name).read_text()) for name in sys.argv[1:]]
    print(table(record for known in files for record in known.values()))
