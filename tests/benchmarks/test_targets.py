"""The table of targets: what goes to the device, how it was compared, what was evaluated."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ultraface_deploy.accuracy.result import Agreement, EvalRecord
from ultraface_deploy.agreement.comparison import Comparison
from ultraface_deploy.artifacts.folder import ArtifactFolder, Source, describe_files
from ultraface_deploy.benchmarks.targets import rows_of, to_markdown
from ultraface_deploy.family.spec import ModelSpec


def folder_of(path: Path) -> ArtifactFolder:
    files = {f"net{suffix}": path / f"net{suffix}" for suffix in (".kmodel", ".kmodel.json")}
    for size, file in zip((300_000, 100), files.values(), strict=True):
        file.write_bytes(bytes(size))
    entry = describe_files("kmodel", "int8", files)
    entry = replace(entry, estimate={"by": "nncase, not measured", "memory_bytes": 1_790_120})
    return ArtifactFolder(path, ModelSpec("net", "slim"), Source("net.pth", ""), (entry,))


def compared(**changes: object) -> Comparison:
    fields: dict[str, object] = {
        "artifact": "kmodel-int8",
        "backend": "k210",
        "passed": True,
        "max_abs_scores": 0.17,
        "max_abs_boxes": 0.9,
        "recall": 1.0,
        "precision": 0.98,
        "compared_by": "simulator",
    }
    return Comparison(**(fields | changes))  # type: ignore[arg-type]


def test_a_row_by_hand(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    evaluated = EvalRecord(
        *("net", "kmodel-int8", "k210", "int8", None, 0, [], ""),
        agreement=Agreement(0.97),
        easy=0.78,
        medium=0.69,
        hard=0.45,
    )
    others = [compared(artifact="mnn"), compared(passed=False, max_abs_scores=None)]
    (row,) = rows_of(folder, [compared(), *others], [evaluated])
    assert row.cells() == [
        *("kmodel-int8", "k210", "300,000", "simulator", "1.7e-01", "9.0e-01"),
        *("0.990", "0.780", "0.690", "0.450", "0.970", "1.79 MB of memory, says its maker"),
    ]
    table = to_markdown([row]).splitlines()
    assert {line.count("|") for line in table} == {13}


def test_what_was_not_evaluated_stays_empty(tmp_path: Path) -> None:
    (row,) = rows_of(folder_of(tmp_path), [compared()])
    assert row.cells()[7:11] == [""] * 4
