"""The table of cores: on each the best artifact for speed, for size and for accuracy.

    python -m ultraface_deploy.benchmarks.cores DIR --count a53.json --count a72.json \\
        --bench here.json --eval eval.json --into README.md

Speed is what `bench count` and `bench` found: the fewest instructions on an emulated core, the
shortest median inference on this machine, and the next runtime behind it. Size is that of the
artifact's files. Accuracy is the mean AP of `eval`; of those within 0.002 of the best, which so few
images cannot tell apart, the fastest stands for all. The detector in C, where DIR holds it, is
compiled and counted too, a whole detection on a picture of the network's size.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

from ultraface_deploy.artifacts.folder import ArtifactFolder
from ultraface_deploy.bench.accuracy import Accuracies
from ultraface_deploy.bench.count import layers
from ultraface_deploy.bench.count.report import CountReport
from ultraface_deploy.bench.result import BenchReport
from ultraface_deploy.benchmarks.command import command, existing
from ultraface_deploy.errors import InputError
from ultraface_deploy.safe.marked import insert

_SAME_AP = 0.002
_HEADINGS = ("core", "speed", "size", "accuracy")


@dataclass(frozen=True)
class Entry:
    """One artifact that ran on a core; `cost` ranks it there, `speed` is that in words."""

    artifact: str
    backend: str
    precision: str
    cost: float
    speed: str
    bytes: int
    ap: float | None

    @property
    def name(self) -> str:
        """How the table calls it."""
        return f"{self.backend} {self.precision}"


def of_count(report: CountReport, folder: ArtifactFolder, accuracies: Accuracies) -> list[Entry]:
    """Return what ran, and found the same faces, on an emulated core.

    Raises:
        InputError: something else than this folder was counted.
    """
    entries = []
    for count in report.results:
        if not count.passed or count.instructions is None:
            continue
        artifact = folder.get(count.artifact)
        if dict(artifact.sha256) != count.sha256:
            raise InputError(
                f"{folder.path}: {count.artifact} is not what was counted; count again"
            )
        entries.append(
            Entry(
                artifact=count.artifact,
                backend=count.backend,
                precision=f"{count.precision}, halves" if count.halves else count.precision,
                cost=count.instructions,
                speed=f"{count.instructions / 1e6:.1f} M instructions",
                bytes=artifact.bytes,
                ap=_mean(accuracies, folder, count.backend, count.precision),
            )
        )
    return entries


def of_c(folder: ArtifactFolder, core: str, accuracies: Accuracies) -> list[Entry]:
    """Return the detector in C, compiled and counted on an emulated core.

    Raises:
        MissingDependency: the emulator or the cross compiler is not installed.
    """
    entries = []
    for artifact in folder.artifacts:
        if artifact.format == "c" and artifact.verified:
            millions = layers.count_layers(folder.files(artifact), folder.spec, core).total
            entries.append(
                Entry(
                    artifact=artifact.id,
                    backend="C file",
                    precision=artifact.precision,
                    cost=millions * 1e6,
                    speed=f"{millions:.1f} M instructions",
                    bytes=artifact.bytes,
                    ap=_mean(accuracies, folder, "native", artifact.precision),
                )
            )
    return entries


def of_bench(report: BenchReport, folder: ArtifactFolder, accuracies: Accuracies) -> list[Entry]:
    """Return what was timed with one thread."""
    return [
        Entry(
            artifact=measured.artifact,
            backend="C file" if measured.backend == "native" else measured.backend,
            precision=measured.precision,
            cost=measured.row("inference").median_ms,
            speed=f"{measured.row('inference').median_ms:.2f} ms",
            bytes=measured.model_bytes,
            ap=_mean(accuracies, folder, measured.backend, measured.precision),
        )
        for measured in report.measurements
        if measured.threads == 1
    ]


def row(core: str, entries: Sequence[Entry]) -> str:
    """Return the line of a core.

    Raises:
        InputError: nothing ran there, or nothing that ran was evaluated.
    """
    judged = [entry for entry in entries if entry.ap is not None]
    if not judged:
        raise InputError(f"{core}: nothing that ran there was evaluated; run eval on the folder")
    best = max(entry.ap for entry in judged if entry.ap is not None)
    ranked = sorted(entries, key=lambda entry: entry.cost)
    others = [entry for entry in ranked if entry.backend != ranked[0].backend]
    fast = [ranked[0], *others[:1]]
    smallest = min(entries, key=lambda entry: (entry.bytes, entry.cost))
    equal = [entry for entry in judged if entry.ap is not None and entry.ap >= best - _SAME_AP]
    most_exact = min(equal, key=lambda entry: entry.cost)
    cells = (
        core,
        "; ".join(f"{entry.name}: {entry.speed}" for entry in fast),
        f"{smallest.name}: {smallest.bytes / 1000:.0f} kB, {smallest.speed}",
        f"{most_exact.name}: AP {most_exact.ap:.3f}, {most_exact.speed}",
    )
    return "| " + " | ".join(cells) + " |"


def _mean(
    accuracies: Accuracies, folder: ArtifactFolder, backend: str, precision: str
) -> float | None:
    spec = folder.spec
    size = f"{spec.width}x{spec.height}"
    found = accuracies.by_subject.get((spec.name, size, backend, precision))
    return sum(found.values()) / len(found) if found else None


def main() -> None:
    """Print the table, or write it into a page."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("folder", type=existing)
    parser.add_argument("--count", type=existing, action="append", default=[], metavar="FILE")
    parser.add_argument("--bench", type=existing, metavar="FILE")
    parser.add_argument("--eval", type=existing, action="append", required=True, metavar="FILE")
    parser.add_argument("--into", type=existing, metavar="FILE")
    asked = parser.parse_args()
    folder = ArtifactFolder.open(asked.folder)
    evaluated = [Accuracies.load(path).by_subject for path in asked.eval]
    accuracies = Accuracies({key: ap for each in evaluated for key, ap in each.items()})
    lines = ["| " + " | ".join(_HEADINGS) + " |", "|---|---|---|---|"]
    for path in asked.count:
        if (counted := CountReport.load(path)) is None:
            raise SystemExit(f"{path}: holds times; give it with --bench")
        entries = of_count(counted, folder, accuracies)
        entries += of_c(folder, counted.core, accuracies)
        lines.append(row(f"{counted.core}, emulated", entries))
    if asked.bench is not None:
        timed = BenchReport.load(asked.bench)
        where = f"{timed.machine['cpu']}, measured"
        lines.append(row(where, of_bench(timed, folder, accuracies)))
    text = "\n".join(lines) + "\n"
    if asked.into is None:
        print(text, end="")
    else:
        insert(text, asked.into, "cores")


if __name__ == "__main__":
    command(main)
