"""The model table: parameters, multiply-accumulates, and the size of each artifact; all computed.

python -m ultraface_deploy.benchmarks.models artifacts/slim-320 artifacts/rfb-320
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from ultraface_deploy.artifacts.folder import ArtifactFolder
from ultraface_deploy.bench.cost import Cost, cost_of_onnx
from ultraface_deploy.benchmarks.command import command, existing


@dataclass(frozen=True)
class ModelRow:
    """One network: its parameters and MACs, and bytes by artifact id."""

    name: str
    input: str
    cost: Cost
    sizes: dict[str, int]


def describe(folder: ArtifactFolder) -> ModelRow:
    """Compute the row of a folder.

    Raises:
        InputError: it holds no ONNX file to count on.
    """
    onnx = folder.intact_files(folder.find("onnx"))[0]
    return ModelRow(
        name=folder.spec.name,
        input=f"{folder.spec.width}x{folder.spec.height}",
        cost=cost_of_onnx(onnx),
        sizes={artifact.id: artifact.bytes for artifact in folder.artifacts},
    )


def to_markdown(rows: list[ModelRow]) -> str:
    """Return the table, with a column for each artifact that a model has; sizes in kB."""
    formats = list(dict.fromkeys(format for row in rows for format in row.sizes))
    headings = ["model", "input", "parameters", "MACs (M)", *(f"{name} (kB)" for name in formats)]
    lines = ["| " + " | ".join(headings) + " |", "|---|---|" + "---:|" * (len(headings) - 2)]
    for row in rows:
        cells = [row.name, row.input, f"{row.cost.parameters:,}", f"{row.cost.macs / 1e6:.1f}"]
        cells += [f"{row.sizes[name] / 1000:.0f}" if name in row.sizes else "" for name in formats]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print the table of the folders given."""
    form = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("folders", nargs="+", type=existing)
    rows = [describe(ArtifactFolder.open(folder)) for folder in parser.parse_args().folders]
    print(to_markdown(rows), end="")


if __name__ == "__main__":
    command(main)
