"""Simplified ONNX -> MNN, through the converter inside the MNN wheel."""

# Tested by tests/converters/test_steps.py.

from __future__ import annotations

from pathlib import Path

from ultraface_deploy.agreement.precision import Precision
from ultraface_deploy.converters.base import Conversion
from ultraface_deploy.converters.mnn.identity import make_reproducible
from ultraface_deploy.errors import ToolFailed
from ultraface_deploy.safe.child import run_in_child

OPTIONS: dict[Precision, list[str]] = {
    "fp32": [],
    "fp16": ["--fp16"],
    "w8": ["--weightQuantBits", "8"],
}


def to_mnn(job: Conversion) -> None:
    """Convert a job's ONNX file, storing the weights in its precision."""
    convert_onnx(job.sources[0], job.outputs[0], OPTIONS[job.precision])


def convert_onnx(source: Path, output: Path, options: list[str] | None = None) -> None:
    """Convert an ONNX file with further options of `mnnconvert`, in a child process.

    Raises:
        ToolFailed: the converter crashed, hung, or left no file.
    """
    run_tool(
        "mnnconvert",
        ["-f", "ONNX", "--modelFile", str(source), "--MNNModel", str(output), "--bizCode", "mnn"]
        + (options or []),
    )
    if not output.is_file() or output.stat().st_size == 0:
        raise ToolFailed("MNN converter ended without a file")
    make_reproducible(output)


def run_tool(tool: str, arguments: list[str]) -> None:
    """Run `mnnconvert` or `mnnquant` of the MNN wheel in a child process."""
    run_in_child(
        "ultraface_deploy.converters.mnn.convert:call_tool",
        {"tool": tool, "arguments": arguments},
        what="MNN converter" if tool == "mnnconvert" else "MNN quantiser",
    )


def call_tool(tool: str, arguments: list[str]) -> None:
    """Call a tool in this process; only ever run in a child.

    The extension module is called directly: the wheel's console scripts install a package and
    post usage data when they are imported.
    """
    import _tools

    getattr(_tools, tool)([tool, *arguments])
