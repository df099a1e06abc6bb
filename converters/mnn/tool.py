"""MNN's own quantiser: further candidates, of which one destroys each network.

KL loses the faces of slim, EMA all of RFB, while the AP of the first looks fine: they are only
ever offered to the gate.
"""

# Tested by tests/quantize/test_gate.py.

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Literal, get_args

from ultraface_deploy.converters.mnn.convert import convert_onnx, run_tool
from ultraface_deploy.converters.mnn.int8 import count_quantized, pin_uuid
from ultraface_deploy.errors import ToolFailed
from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.quantize.images import readable_images
from ultraface_deploy.quantize.int8 import Int8Job
from ultraface_deploy.quantize.search import Candidate
from ultraface_deploy.safe.images import Image
from ultraface_deploy.safe.opencv import cv2

MnnMethod = Literal["KL", "EMA"]


def candidates(job: Int8Job) -> Iterator[Candidate]:
    """Yield what MNN makes of the photographs by each of its methods."""

    def make(method: MnnMethod, folder: Path) -> Sequence[Path]:
        file = folder / f"{job.spec.name}.mnn"
        images = readable_images(job.images)
        quantize_with_mnn(job.files["onnxsim"][0], job.spec, images, method, file)
        return [file]

    for method in get_args(MnnMethod):
        yield Candidate(f"MNN's own {method}", 1.0, partial(make, method))


def quantize_with_mnn(
    onnx_file: Path, spec: ModelSpec, images: Iterable[Image], method: MnnMethod, output: Path
) -> None:
    """Let `mnnquant` calibrate by itself; intermediate files go beside `output`.

    Raises:
        ToolFailed: it crashed, hung, or succeeded without a quantised file.
    """
    fp32, folder = output.with_suffix(".fp32.mnn"), output.parent / "calibration"
    folder.mkdir()
    for index, image in enumerate(images):
        resized = cv2.resize(image, (spec.width, spec.height))
        cv2.imwrite(str(folder / f"{index:05}.png"), resized)
    config = output.parent / "mnnquant.json"
    config.write_text(json.dumps(_config(spec, folder, method)))
    convert_onnx(onnx_file, fp32)
    run_tool("mnnquant", [str(fp32), str(output), str(config)])
    if not output.is_file():
        raise ToolFailed(f"MNN quantiser ({method}) ended without a file")
    pin_uuid(output)
    if not count_quantized(output):
        raise ToolFailed(f"MNN quantiser ({method}) left every convolution in FP32")


def _config(spec: ModelSpec, folder: Path, method: MnnMethod) -> dict[str, object]:
    return {
        "format": "RGB",
        "mean": list(spec.mean),
        "normal": [1.0 / std for std in spec.std],
        "width": spec.width,
        "height": spec.height,
        "path": f"{folder}/",
        "used_image_num": sum(1 for _ in folder.iterdir()),
        "feature_quantize_method": method,
        "weight_quantize_method": "MAX_ABS",
        # Without it EMA returns success and writes nothing.
        "batch_size": 4,
    }
