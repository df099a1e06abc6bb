"""What a network is, written into the ONNX file and read off it."""

# Tested by tests/converters/onnx/test_prepare.py.

from __future__ import annotations

import json

import onnx

from ultraface_deploy.family.spec import METADATA_KEY, Architecture, ModelSpec


def read_spec(model: onnx.ModelProto) -> ModelSpec | None:
    """Return the spec that `prepare` wrote into the metadata, None for other people's files."""
    for entry in model.metadata_props:
        if entry.key == METADATA_KEY:
            return ModelSpec.from_json(entry.value)
    return None


def describe(model: onnx.ModelProto, spec: ModelSpec) -> None:
    """Write the spec into the metadata."""
    others = [entry for entry in model.metadata_props if entry.key != METADATA_KEY]
    del model.metadata_props[:]
    model.metadata_props.extend(others)
    entry = model.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, json.dumps(spec.to_dict())
    model.producer_name = "ultraface-deploy"
    model.producer_version = ""
    model.graph.name = spec.name


def architecture_of(model: onnx.ModelProto) -> Architecture:
    """Tell the architecture of a network of this family: only RFB's convolutions are dilated."""
    dilated = any(
        attribute.name == "dilations" and max(attribute.ints) > 1
        for node in model.graph.node
        if node.op_type == "Conv"
        for attribute in node.attribute
    )
    return "rfb" if dilated else "slim"
