"""Simplified ONNX -> Caffe prototxt and caffemodel, with protobuf alone."""

from __future__ import annotations

from ultraface_deploy.converters.base import Conversion
from ultraface_deploy.family.spec import ModelSpec


def to_caffe(job: Conversion) -> None:
    """Convert a job's ONNX file."""
    from ultraface_deploy.converters.caffe import write_caffe
    from ultraface_deploy.converters.onnx.files import load

    prototxt, caffemodel = job.outputs
    write_caffe(load(job.sources[0]), prototxt, caffemodel, describe(job.spec))


def describe(spec: ModelSpec) -> str:
    """Return the lines that tell a reader of the prototxt what goes in and what comes out."""
    mean, std = (
        f"{values[0]:g}" if len(set(values)) == 1 else str(values)
        for values in (spec.mean, spec.std)
    )
    boxes = (
        "offsets, to be decoded on the anchors"
        if spec.head != "decoded"
        else "corners x1 y1 x2 y2 in 0..1"
    )
    return (
        f"{spec.name}: face detector, {spec.architecture}, {spec.num_classes} classes\n"
        f"input:  (1, 3, {spec.height}, {spec.width}) {spec.color.upper()}, (x - {mean}) / {std}\n"
        f"scores: (1, {spec.num_anchors}, {spec.num_classes}) after softmax\n"
        f"boxes:  (1, {spec.num_anchors}, 4) {boxes}"
    )
