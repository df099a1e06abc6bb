"""Results of several boards in one table, beside the published one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ultraface_deploy.bench.submission import Figure, Submission

# Milliseconds on 1 to 4 cores of a Raspberry Pi 4B at 1.5 GHz, 320x240, INT8 in MNN. From the
# README of Linzaer/Ultra-Light-Fast-Generic-Face-Detector-1MB.
_PUBLISHED = {"slim-320": (29, 16, 12, 9.5), "rfb-320": (35, 19.6, 14.8, 11)}
_PUBLISHED_BOARD = "Raspberry Pi 4B *"
_HEADINGS = ("board", "model", "input", "runtime", "precision")

Cells = tuple[str, ...]


def boards_table(submissions: Sequence[Submission]) -> str:
    """Return the Markdown: a row per board and configuration, a column per number of cores.

    The published rows come first; figures with warnings are marked, and the warnings stand below.

    Args:
        submissions: in the order in which they are shown.
    """
    notes: dict[str, int] = {}
    rows = [row for submission in submissions for row in _rows(submission, notes)]
    counts = sorted({1, 2, 3, 4, *(count for _, times in rows for count in times)})
    published = [
        (
            (_PUBLISHED_BOARD, model, "320x240", "mnn", "int8"),
            {index: f"{ms:g}" for index, ms in enumerate(times, 1)},
        )
        for model, times in _PUBLISHED.items()
    ]
    headings = [*_HEADINGS, *(f"{n} core{'s' if n > 1 else ''}" for n in counts)]
    lines = [_line(headings), _line(["---"] * len(_HEADINGS) + ["---:"] * len(counts))]
    for name, times in (*published, *rows):
        lines.append(_line([*name, *(times.get(count, "") for count in counts)]))
    lines += ["", "Median inference in ms.  "]
    lines.append("\\* published by the authors of UltraFace, at 1.5 GHz; not measured by us.  ")
    lines += [f"[{mark}] {text}  " for text, mark in notes.items()]
    return "\n".join(lines) + "\n"


def _rows(submission: Submission, notes: dict[str, int]) -> Iterator[tuple[Cells, dict[int, str]]]:
    groups: dict[Cells, dict[int, str]] = {}
    for figure in submission.figures:
        precision = f"{figure.precision}, halves" if figure.halves else figure.precision
        runtime = f"{figure.backend} {figure.backend_version or ''}".strip()
        name = (submission.board.name, figure.model, figure.input, runtime, precision)
        groups.setdefault(name, {})[figure.threads] = _cell(figure, notes)
    yield from groups.items()


def _cell(figure: Figure, notes: dict[str, int]) -> str:
    marks = [notes.setdefault(text, len(notes) + 1) for text in figure.warnings]
    return f"{figure.inference_ms:.2f}" + "".join(f" [{mark}]" for mark in marks)


def _line(cells: Sequence[str]) -> str:
    # Words of strangers: what would end a cell or begin a tag is shown, not obeyed.
    shown = (cell.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ") for cell in cells)
    return "| " + " | ".join(shown) + " |"
