"""The table of the places where a network runs: size, how each was compared, and how it agrees.

Reads artifact folders and what commands wrote of them:

    ultraface-deploy verify DIR --images PHOTOS --json verify.json
    ultraface-deploy eval DIR --data WIDER --ground-truth TRUTH --backend B --json eval.json
    ultraface-deploy bench run DIR --backend B --precision all --json bench.json
    python -m ultraface_deploy.benchmarks.targets DIR --verify verify.json --eval eval.json \\
        --bench bench.json
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ultraface_deploy.accuracy.result import EvalFile, EvalRecord
from ultraface_deploy.agreement.comparison import Comparison, Comparisons
from ultraface_deploy.agreement.faces import f1_score
from ultraface_deploy.artifacts.folder import Artifact, ArtifactFolder
from ultraface_deploy.bench.measurement import Row
from ultraface_deploy.bench.result import BenchReport
from ultraface_deploy.benchmarks.command import command, existing
from ultraface_deploy.safe.records import read

_HEADINGS = (
    *("artifact", "backend", "bytes for the device", "compared by", "scores", "boxes"),
    *("F1 of the faces", "easy", "medium", "hard", "F1 as FP32", "time, memory"),
)
# What lies beside a file for the tools here, and does not go to the device.
_STAYS = (".kmodel.json", ".rknn.onnx", ".rknn.json", ".vela.json")


@dataclass(frozen=True)
class TargetRow:
    """An artifact on a backend: compared on photographs, and on WIDER FACE where that was run."""

    artifact: Artifact
    bytes: int
    compared: Comparison
    evaluated: EvalRecord | None = None
    timed: Row | None = None

    def cells(self) -> list[str]:
        """Return what stands in the table."""
        same, ap = self.compared, self.evaluated
        f1 = None if same.recall is None else f1_score(same.recall, same.precision or 0.0)
        aps = (None, None, None) if ap is None else (ap.easy, ap.medium, ap.hard)
        agreement = None if ap is None or ap.agreement is None else ap.agreement.f1
        return [
            self.artifact.id,
            same.backend,
            f"{self.bytes:,}",
            same.compared_by or "",
            _number(same.max_abs_scores, ".1e"),
            _number(same.max_abs_boxes, ".1e"),
            _number(f1, ".3f"),
            *(_number(each, ".3f") for each in aps),
            _number(agreement, ".3f"),
            _time(self.timed) or _estimate(self.artifact.estimate or {}),
        ]


def rows_of(
    folder: ArtifactFolder,
    compared: Sequence[Comparison],
    evaluated: Sequence[EvalRecord] = (),
    timed: Sequence[Row] = (),
) -> list[TargetRow]:
    """Put together what is known of the artifacts of a folder.

    Args:
        folder: the artifacts.
        compared: results of `verify`; those of other folders' artifacts are left out.
        evaluated: results of `eval`.
        timed: of `bench`, what one thread took for the network.

    Returns:
        A row for each artifact and backend that was compared and agreed.
    """
    aps = {(each.artifact, each.backend): each for each in evaluated}
    times = {(each.artifact, each.backend): each for each in timed if each.threads == 1}
    by_id = {artifact.id: artifact for artifact in folder.artifacts}
    return [
        TargetRow(
            by_id[each.artifact],
            _for_the_device(folder, by_id[each.artifact]),
            each,
            aps.get((each.artifact, each.backend)),
            times.get((each.artifact, each.backend)),
        )
        for each in compared
        if each.passed and each.artifact in by_id
    ]


def _for_the_device(folder: ArtifactFolder, artifact: Artifact) -> int:
    files = folder.intact_files(artifact)
    return sum(path.stat().st_size for path in files if not path.name.endswith(_STAYS))


def _time(row: Row | None) -> str:
    return "" if row is None else f"{row.median_ms:.2f} ms here"


def _estimate(estimate: Mapping[str, object]) -> str:
    """What the maker's tool says, which nobody measured."""
    said = []
    if "milliseconds" in estimate:
        said.append(f"{estimate['milliseconds']} ms")
    if isinstance(memory := estimate.get("memory_bytes"), int):
        said.append(f"{memory / 1e6:.2f} MB of memory")
    return ", ".join(said) and f"{', '.join(said)}, says its maker"


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def to_markdown(rows: Sequence[TargetRow]) -> str:
    """Return the table."""
    rule = "|---|---|---:|---|" + "---:|" * 7 + "---|"
    lines = ["| " + " | ".join(_HEADINGS) + " |", rule]
    lines += ["| " + " | ".join(row.cells()) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print the table of a folder."""
    form = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("folder", type=existing)
    parser.add_argument("--verify", nargs="+", type=existing, required=True)
    parser.add_argument("--eval", nargs="+", type=existing, default=[])
    parser.add_argument("--bench", nargs="+", type=existing, default=[])
    given = parser.parse_args()
    again = "run the command again"
    compared = [read(file, Comparisons, "result of verify --json", again) for file in given.verify]
    evaluated = [read(file, EvalFile, "result of eval --json", again) for file in given.eval]
    rows = rows_of(
        ArtifactFolder.open(given.folder),
        [each for file in compared for each in file.results],
        [each for file in evaluated for each in file.results],
        [row for file in given.bench for row in BenchReport.load(file).rows("inference")],
    )
    print(to_markdown(rows), end="")


if __name__ == "__main__":
    command(main)
