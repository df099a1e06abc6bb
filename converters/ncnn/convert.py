"""Simplified ONNX -> ncnn: through pnnx where it is installed, else through our own writer."""

# Tested by tests/converters/test_steps.py.

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path

from ultraface_deploy.converters.base import Conversion
from ultraface_deploy.errors import ToolFailed
from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.safe.child import run_program


def to_ncnn(job: Conversion) -> None:
    """Convert a job's ONNX file."""
    pnnx = _pnnx()
    if pnnx is None:
        _write(job)
    else:
        _run_pnnx(pnnx, job)


def _write(job: Conversion) -> None:
    from ultraface_deploy.converters.ncnn.writer import write_ncnn
    from ultraface_deploy.converters.onnx.files import load

    param, weights = job.outputs
    text, content = write_ncnn(load(job.sources[0]), job.precision)
    param.write_text(text)
    weights.write_bytes(content)


def _run_pnnx(pnnx: Path, job: Conversion) -> None:
    param, weights = job.outputs
    scratch = param.parent / "pnnx"
    scratch.mkdir()
    try:
        shutil.copy(job.sources[0], scratch / "model.onnx")
        shape = ",".join(str(side) for side in job.spec.input_shape)
        fp16 = int(job.precision == "fp16")
        output = run_program(
            [str(pnnx), "model.onnx", f"inputshape=[{shape}]", f"fp16={fp16}"],
            what="pnnx",
            cwd=scratch,
        )
        made_param, made_weights = scratch / "model.ncnn.param", scratch / "model.ncnn.bin"
        if not (made_param.is_file() and made_weights.is_file()):
            last = output.strip().splitlines()[-1:] or ["it printed nothing"]
            raise ToolFailed(f"pnnx ended without a file: {last[0][:200]}")
        param.write_text(rename_blobs(made_param.read_text(), job.spec))
        shutil.move(made_weights, weights)
    finally:
        shutil.rmtree(scratch)


def _pnnx() -> Path | None:
    """The program inside the pnnx wheel; the wheel's own script imports torch to start it."""
    wheel = find_spec("pnnx")
    for folder in (wheel and wheel.submodule_search_locations) or ():
        if (Path(folder) / "pnnx").is_file():
            return Path(folder) / "pnnx"
    return None


def rename_blobs(param: str, spec: ModelSpec) -> str:
    """Name pnnx's blobs in0, out0 and out1 `input`, `scores` and `boxes`, and state the input size.

    pnnx numbers outputs in the order of the ONNX file, which `converters.onnx.prepare` fixes as
    scores, boxes; that the names sit right is checked when the artifact is verified.
    """
    names = {"in0": "input", "out0": "scores", "out1": "boxes", "out2": "landmarks"}
    lines = []
    for line in param.splitlines():
        words = [names.get(word, word) for word in line.split()]
        if words and words[0] == "Input":
            words += [f"0={spec.width}", f"1={spec.height}", "2=3"]
        lines.append(_align(words))
    return "\n".join(lines) + "\n"


def _align(words: list[str]) -> str:
    if len(words) < 4:
        return " ".join(words)
    return f"{words[0]:<24} {words[1]:<24} " + " ".join(words[2:])
