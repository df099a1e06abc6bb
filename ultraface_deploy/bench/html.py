"""One self-contained page: the tables, the machine, the plots. Nothing is loaded from elsewhere."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable
from string import Template
from typing import Any

from ultraface_deploy.bench.accuracy import Accuracies
from ultraface_deploy.bench.measurement import Measurement
from ultraface_deploy.bench.plots import figures, render
from ultraface_deploy.bench.result import BenchReport
from ultraface_deploy.bench.tables import machine_line, warnings_of
from ultraface_deploy.safe.text import printable

_PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 72rem; padding: 1rem;
       color: #1c1c1c; background: #fff; }
h1 { font-size: 1.5rem; line-height: 1.2; } h2 { font-size: 1.15rem; margin-top: 2rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; }
th, td { padding: .3rem .5rem; border-bottom: 1px solid #ddd; text-align: left;
         white-space: nowrap; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
td small { display: block; color: #666; }
.warnings { color: #8a3b00; font-size: .9rem; padding-left: 1.2rem; }
img { display: block; width: 100%; height: auto; max-width: 44rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; font-size: .9rem; }
dt { color: #666; } dd { margin: 0; overflow-wrap: anywhere; }
.failed { color: #a00; }
</style>
</head>
<body>
<h1>$title</h1>
<p>$summary</p>
$failures
<h2>Latency</h2>
<div class="scroll">$table</div>
$warnings
$plots
<h2>Stages</h2>
<div class="scroll">$stages</div>
<h2>Machine</h2>
$machine
<h2>BenchSettings</h2>
$settings
</body>
</html>
""")


def escape(text: str) -> str:
    """Return text for HTML; a control character is none there."""
    return html.escape(printable(text))


_CAPTIONS = {
    "latency": "Latency per thread count",
    "speedup": "Speed-up against ideal",
    "distribution": "Distribution of the samples",
    "accuracy": "Accuracy against latency",
    "size": "Model size",
}


def to_html(report: BenchReport, accuracies: Accuracies | None = None) -> str:
    """Return the page.

    Args:
        report: what was measured.
        accuracies: AP to set against latency, None for a page without.

    Raises:
        MissingDependency: matplotlib is not installed.
    """
    plots = figures(report, accuracies)
    return _PAGE.substitute(
        title=escape(f"Latency on {machine_line(report)}"),
        summary=escape(_summary(report)),
        failures=_failures(report),
        table=_latency_table(report, accuracies),
        warnings=_warnings(report),
        plots="\n".join(_image(_CAPTIONS[name], render(plots[name], "svg")) for name in plots),
        stages=_stages_table(report),
        machine="".join(_facts(name, facts) for name, facts in _machines(report)),
        settings=_facts("", report.settings),
    )


def _summary(report: BenchReport) -> str:
    if not report.measurements:
        return "Nothing was timed."
    fastest = min(report.measurements, key=lambda m: m.row("end_to_end").median_ms)
    row = fastest.row("end_to_end")
    return (
        f"{len(report.measurements)} configurations, each verified against the original network "
        f"before it was timed. The fastest end to end: {fastest.title}, "
        f"{row.median_ms:.2f} ms, {row.fps:.0f} images per second."
    )


def _latency_table(report: BenchReport, accuracies: Accuracies | None) -> str:
    numbers = ["median ms", "95 % interval", "p90", "p99", "end to end", "fps"]
    numbers += ["cold start", "memory (MiB)", "model (kB)"]
    metered = any(m.row("end_to_end").energy_mj is not None for m in report.measurements)
    if metered:
        numbers.append("energy (mJ)")
    if accuracies is not None:
        numbers.append("AP hard")
    rows = []
    for m in report.measurements:
        cells = _latency_cells(m)
        if metered:
            energy = m.row("end_to_end").energy_mj
            cells.append("" if energy is None else f"{energy:.2f}")
        if accuracies is not None:
            ap = (accuracies.of(m) or {}).get("hard")
            cells.append("" if ap is None else f"{ap:.3f}")
        rows.append((m, cells))
    return _table(numbers, rows)


def _latency_cells(m: Measurement) -> list[str]:
    inference, whole = m.row("inference"), m.row("end_to_end")
    return [
        f"{inference.median_ms:.2f}",
        f"{inference.ci_low_ms:.2f} to {inference.ci_high_ms:.2f}",
        f"{inference.p90_ms:.2f}",
        f"{inference.p99_ms:.2f}",
        f"{whole.median_ms:.2f}",
        f"{whole.fps:.0f}",
        f"{whole.cold_start_ms:.0f}",
        f"{whole.peak_rss_mb:.0f}",
        f"{m.model_bytes / 1000:.0f}",
    ]


def _stages_table(report: BenchReport) -> str:
    rows = [(m, [f"{row.median_ms:.3f}" for row in m.rows]) for m in report.measurements]
    return _table(["preprocess ms", "inference", "postprocess", "end to end"], rows)


def _table(headings: list[str], rows: Iterable[tuple[Measurement, list[str]]]) -> str:
    head = "".join(f'<th class="n">{escape(heading)}</th>' for heading in headings)
    body = "".join(
        f"<tr><td>{_name(m)}</td>"
        + "".join(f'<td class="n">{escape(cell)}</td>' for cell in cells)
        + "</tr>"
        for m, cells in rows
    )
    return (
        f"<table><thead><tr><th>configuration</th>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def _name(m: Measurement) -> str:
    where = f" on {m.host}" if m.host else ""
    first = f"{m.backend} {m.precision} \N{MULTIPLICATION SIGN}{m.threads}"
    return f"{escape(first)}<small>{escape(m.model)} {escape(m.input)}{escape(where)}</small>"


def _warnings(report: BenchReport) -> str:
    items = "".join(
        f"<li>{escape(warning)}: {escape(names)}</li>"
        for warning, names in warnings_of(report).items()
    )
    return f'<ul class="warnings">{items}</ul>' if items else ""


def _image(caption: str, svg: bytes) -> str:
    data = base64.b64encode(svg).decode()
    source = f"data:image/svg+xml;base64,{data}"
    return f'<h2>{escape(caption)}</h2>\n<img alt="{escape(caption)}" src="{source}">'


def _failures(report: BenchReport) -> str:
    return "".join(
        f'<p class="failed">Not timed: {escape(f.model)} {escape(f.backend)} '
        f"{escape(f.precision)}, {f.threads} threads: {escape(f.reason)}</p>"
        for f in report.failures
    )


def _machines(report: BenchReport) -> list[tuple[str, dict[str, Any]]]:
    return list(report.machines.items()) or [("", report.machine)]


def _facts(name: str, facts: dict[str, Any]) -> str:
    shown = {key: value for key, value in facts.items() if value not in (None, [], {}, "")}
    items = "".join(
        f"<dt>{escape(key.replace('_', ' '))}</dt><dd>{escape(_plain(value))}</dd>"
        for key, value in shown.items()
    )
    return (f"<h3>{escape(name)}</h3>" if name else "") + f"<dl>{items}</dl>"


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_plain(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(_plain(item) for item in value)
    return str(value)
