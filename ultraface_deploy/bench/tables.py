"""Results as tables to paste: CSV, Markdown in the shape of the published latency table, text."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from ultraface_deploy.bench.measurement import Measurement, Row, Stage
from ultraface_deploy.bench.result import BenchReport
from ultraface_deploy.safe.text import cell, counted

_COMMENTS = "warnings"


def to_csv(report: BenchReport) -> str:
    """Return one line per configuration and stage, with the columns of the JSON rows."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(Row)], lineterminator="\n")
    writer.writeheader()
    for row in report.rows():
        # Names and versions are what a board says they are.
        values = {k: cell(v) if isinstance(v, str) else v for k, v in asdict(row).items()}
        writer.writerow(values | {_COMMENTS: "; ".join(map(cell, row.warnings))})
    return text.getvalue()


def to_markdown(report: BenchReport, stage: Stage = "inference") -> str:
    """Return the published table's shape: one row per model, one column per core count, median ms.

    Figures with warnings are marked, and the warnings stand below.
    """
    threads = sorted({m.threads for m in report.measurements})
    headings = [
        "model",
        "input",
        "backend",
        "precision",
        *(_cores(n) for n in threads),
        "size (kB)",
    ]
    lines = [
        f"Median {stage.replace('_', ' ')} latency in ms, {machine_line(report)}.",
        "",
        "| " + " | ".join(headings) + " |",
        "|" + "---|" * 4 + "---:|" * (len(threads) + 1),
    ]
    notes: dict[str, int] = {}
    for group in _by_artifact(report.measurements):
        first = group[0]
        cells = {m.threads: _cell(m, stage, notes) for m in group}
        model = first.model + (f" on {first.host}" if first.host else "")
        row = [model, first.input, first.backend, first.precision]
        row += [cells.get(count, "") for count in threads]
        lines.append("| " + " | ".join([*row, f"{first.model_bytes / 1000:.0f}"]) + " |")
    lines += _below(report, notes)
    return "\n".join(lines) + "\n"


def machine_line(report: BenchReport) -> str:
    """Return the machine in one phrase, or each host's."""
    if report.machines:
        return "; ".join(f"{host}: {_machine(facts)}" for host, facts in report.machines.items())
    return _machine(report.machine)


def warnings_of(report: BenchReport) -> dict[str, str]:
    """Return each warning once, with the configurations that it is about."""
    about: dict[str, list[str]] = {}
    for m in report.measurements:
        for warning in m.warnings:
            about.setdefault(warning, []).append(m.title)
    everywhere = len(report.measurements)
    return {
        warning: "all configurations" if len(names) == everywhere > 1 else ", ".join(names)
        for warning, names in about.items()
    }


def labels(measured: Sequence[Measurement]) -> Callable[[Measurement], str]:
    """Return what names a measurement among these: what all have in common is left out."""
    several = {
        name for name in ("model", "input", "host") if len({getattr(m, name) for m in measured}) > 1
    }

    def label(m: Measurement) -> str:
        words = [m.model] * ("model" in several) + [m.input] * ("input" in several)
        words += [m.backend, m.precision] + [f"@ {m.host}"] * ("host" in several)
        return " ".join(words)

    return label


def _machine(facts: Mapping[str, Any]) -> str:
    governors = facts.get("governors")
    governor = ", ".join(map(str, governors)) if isinstance(governors, list) else ""
    return f"{facts.get('board') or facts['cpu']}, {counted(facts['cores'], 'core')}" + (
        f", governor {governor}" if governor else ""
    )


def _cores(count: int) -> str:
    return counted(count, "core")


def _by_artifact(measurements: Sequence[Measurement]) -> list[list[Measurement]]:
    groups: dict[tuple[object, ...], list[Measurement]] = {}
    for m in measurements:
        groups.setdefault((m.host, m.model, m.input, m.backend, m.precision), []).append(m)
    return list(groups.values())


def _cell(measurement: Measurement, stage: Stage, notes: dict[str, int]) -> str:
    median = f"{measurement.row(stage).median_ms:.2f}"
    marks = [notes.setdefault(text, len(notes) + 1) for text in measurement.warnings]
    return median + "".join(f" [{mark}]" for mark in marks)


def _below(report: BenchReport, notes: dict[str, int]) -> list[str]:
    lines = [""] if notes or report.failures else []
    lines += [f"[{mark}] {text}  " for text, mark in notes.items()]
    for f in report.failures:
        what = f"{f.model} {f.backend} {f.precision}, {counted(f.threads, 'thread')}"
        lines.append(f"Not timed: {what}: {f.reason}  ")
    return lines
