"""From a simplified ONNX model, and from the plan of its INT8, to a program."""

from __future__ import annotations

import onnx

from ultraface_deploy.converters.onnx.int8 import with_parameters
from ultraface_deploy.converters.onnx.walk import Graph, attributes
from ultraface_deploy.quantize.plan import Plan, affine
from ultraface_numpy.npz.program import Program, Step


def program_of(model: onnx.ModelProto) -> Program:
    """Take a simplified ONNX model apart."""
    graph = Graph(model)
    (name,) = graph.inputs
    steps = [
        Step(node.op_type, list(node.input), list(node.output), attributes(node))
        for node in graph.nodes
        if node.op_type != "Constant"
    ]
    return Program(name, graph.shape(name), sorted(graph.outputs), steps, dict(graph.constants))


def quantized(plan: Plan, model: onnx.ModelProto) -> Program:
    """Return the program of a plan: weights of 8 bits, rounded inputs of their convolutions."""
    program = program_of(with_parameters(model, plan.network))
    for name, layer in plan.quantized.items():
        program.arrays[f"{name}.weight"] = layer.weight
        program.arrays[f"{name}.weight/scale"] = layer.scales
        program.rounded[layer.layer.source] = affine(plan.ranges[layer.layer.source])
    return program
