"""Runs in the environment of the tool, whose Python may be 3.8: rknn-toolkit2, and nothing of ours.

compile           network.onnx, inputs.npy (0 to 255) and job.json in this folder -> network.rknn
                  and ranges.json
simulate ONNX JOB tensors on standard input -> for each its outputs on standard output, see `tool`

Its simulator runs no `.rknn`, only what was built in the same process. So both commands build, the
second with the ranges that the first has found: their numbers are the same.
"""

# Tested by tests/converters/rknn/test_rknn.py.

from __future__ import annotations

import io
import json
import os
import shutil
import struct
import sys
from pathlib import Path
from typing import Any, Dict  # noqa: UP035 - as below

import numpy as np
from rknn.api import RKNN
from ruamel.yaml import YAML

Values = Dict[str, Any]  # noqa: UP006 - evaluated, in Python 3.8 too


def main() -> None:
    """Do what the first argument says."""
    if sys.argv[1] == "compile":
        compile_network()
    else:
        simulate(sys.argv[2], sys.argv[3])


def compile_network() -> None:
    """Quantise over the inputs, compile, and write down the ranges."""
    job = json.loads(Path("job.json").read_text())
    inputs = np.load("inputs.npy")
    for place, tensor in enumerate(inputs):
        np.save(f"input{place}.npy", tensor[None])
    names = [f"input{place}.npy" for place in range(len(inputs))]
    built = build("network.onnx", job, names, None)
    require(built.export_rknn("network.rknn"), "export_rknn")
    settings = read_settings()["quantize_parameters"]
    ranges = {name: [each["min"], each["max"]] for name, each in settings.items()}
    Path("ranges.json").write_text(json.dumps(ranges))


def simulate(network: str, job_file: str) -> None:
    """Answer every tensor, normalised, with the outputs."""
    # What the toolkit prints must not come between the numbers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    job = json.loads(Path(job_file).read_text())
    shape = (1, 3, job["height"], job["width"])
    np.save("input.npy", np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32))
    # The toolkit looks at the ending of the name, and at no other letter of it if there is none.
    shutil.copyfile(network, "network.onnx")
    built = build("network.onnx", job, ["input.npy"], job["ranges"])
    require(built.init_runtime(), "init_runtime")
    mean, std = (np.array(job[each], np.float32).reshape(1, -1, 1, 1) for each in ("mean", "std"))
    size = 4 * int(np.prod(shape))
    while True:
        content = sys.stdin.buffer.read(size)
        if len(content) < size:
            return
        pixels = np.rint(np.frombuffer(content, np.float32).reshape(shape) * std + mean)
        made = built.inference(inputs=[pixels.clip(0, 255)], data_format=["nchw"])
        packed = io.BytesIO()
        np.savez(packed, **dict(zip(job["outputs"], made)))  # noqa: B905 - not in Python 3.8
        answers.write(struct.pack("<q", packed.tell()) + packed.getvalue())
        answers.flush()


def build(network: str, job: Values, names: list[str], ranges: Values | None) -> RKNN:
    """Build for the chip of a job; ranges are found on the named inputs where none are given."""
    Path("inputs.txt").write_text("".join(f"{name}\n" for name in names))
    first = RKNN(verbose=False)
    first.config(mean_values=[job["mean"]], std_values=[job["std"]], target_platform=job["chip"])
    require(first.load_onnx(model=network), "load_onnx")
    require(first.hybrid_quantization_step1(dataset="inputs.txt", proposal=False), "quantisation")
    first.release()
    if ranges is not None:
        settings = read_settings()
        for name, each in settings["quantize_parameters"].items():
            each["min"], each["max"] = ranges[name]
        with Path("network.quantization.cfg").open("w") as stream:
            YAML(typ="safe").dump(settings, stream)
    second = RKNN(verbose=False)
    done = second.hybrid_quantization_step2(
        model_input="network.model",
        data_input="network.data",
        model_quantization_cfg="network.quantization.cfg",
    )
    require(done, "building")
    return second


def read_settings() -> Values:
    """Read what the toolkit wrote down of the tensors."""
    with Path("network.quantization.cfg").open() as stream:
        settings: Values = YAML(typ="safe").load(stream)
    return settings


def require(code: int, what: str) -> None:
    """End where a step of the toolkit has failed: it returns a number and goes on."""
    if code != 0:
        sys.exit(f"{what} failed with {code}")


if __name__ == "__main__":
    main()
