"""What a maker's tool that quantises by itself is handed: our rewritten network, and photographs.

Such tools take no plan. But a network with equalised channels and corrected biases loses less in
them too; and where a ReLU also cuts at the top of our range, they find that range.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from ultraface_deploy.converters.onnx.cut import cut
from ultraface_deploy.converters.onnx.int8 import with_parameters
from ultraface_deploy.converters.onnx.network import load_network
from ultraface_deploy.quantize.images import read_tensors
from ultraface_deploy.quantize.int8 import Int8Job
from ultraface_deploy.quantize.plan import Plan
from ultraface_deploy.safe.images import Image, embedded_images


def hand_network(
    plan: Plan, job: Int8Job, target: Path, *, at_convolutions: bool = False
) -> Mapping[str, str]:
    """Write the network of a plan in FP32, with all shapes stated.

    Args:
        plan: its rewritten network and its ranges are written, its integers are not.
        job: what it was made for.
        target: `.onnx` file.
        at_convolutions: end it at the head's convolutions.

    Returns:
        What tensors are called there that had other names.

    Raises:
        InputError: it cannot be ended there.
    """
    model = with_parameters(load_network(job.files["onnxsim"][0])[1], plan.network)
    _cut_at_ranges(model, plan)
    model = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    names: Mapping[str, str] = {}
    if at_convolutions:
        names = cut(model, job.spec)
        model = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    onnx.save(model, str(target))
    return names


def _cut_at_ranges(model: onnx.ModelProto, plan: Plan) -> None:
    """Make every ReLU end at the range that the plan has for it, as its 8-bit numbers would."""
    for node in model.graph.node:
        (made,) = node.output if len(node.output) == 1 else (None,)
        if node.op_type == "Relu" and made in plan.ranges:
            node.op_type = "Clip"
            for end, value in zip(("low", "high"), (0.0, plan.ranges[made][1]), strict=True):
                tensor = numpy_helper.from_array(np.array(value, np.float32), f"{made}/{end}")
                model.graph.initializer.append(tensor)
                node.input.append(tensor.name)


def hand_inputs(job: Int8Job, target: Path, most: int) -> int:
    """Write network inputs (M, 3, H, W) float32 to calibrate on as `.npy`.

    Args:
        job: its photographs are taken, or those that ship where it has none.
        target: `.npy` file.
        most: of them.

    Returns:
        How many.

    Raises:
        InputError: not one photograph can be read.
    """
    given: Sequence[Path | Image] = job.images or list(embedded_images())
    tensors = list(islice(read_tensors(given, job.spec, job.keep_aspect), most))
    np.save(target, np.concatenate(tensors))
    return len(tensors)
