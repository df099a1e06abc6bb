"""Layer names from torch's scopes, from the weights' names, or from neither."""

from __future__ import annotations

import pytest
from onnx import helper, numpy_helper

from tests.converters.caffe.conftest import noise
from ultraface_deploy.converters.caffe.names import LayerNames

# (node name, weight name) of three convolutions, and the layers' names.
CASES = {
    "torch scopes without the wrappers": (
        [
            ("/raw/net/base_net/base_net.0/base_net.0.0/Conv", "onnx::Conv_1"),
            ("/raw/net/base_net/base_net.7/branch0/branch0.1/conv/Conv", "onnx::Conv_2"),
            ("/raw/net/classification_headers.3/Conv", "onnx::Conv_3"),
        ],
        ["base_net.0.0", "base_net.7.branch0.1.conv", "classification_headers.3"],
    ),
    "names of weights": (
        [("", "net.extras.0.0.weight"), ("Conv_7", "net.extras.0.2.0.weight"), ("", "611")],
        ["extras.0.0", "extras.0.2.0", "conv1"],
    ),
    "neither": ([("", "1"), ("Conv_2", "2"), ("", "3")], ["conv1", "conv2", "conv3"]),
    "a Sequential": ([("/0/Conv", "a"), ("/2/Conv", "b"), ("", "w")], ["0", "2", "conv1"]),
    "one module run twice": (
        [("/head/Conv", "w"), ("/head/Conv_1", "w"), ("/body/Conv", "v")],
        ["head", "head_2", "body"],
    ),
    "a name of an output": (
        [("/scores/Conv", "a"), ("/b/Conv", "b"), ("/c/Conv", "c")],
        ["scores_2", "b", "c"],
    ),
}


@pytest.mark.parametrize(("nodes", "expected"), CASES.values(), ids=CASES)
def test_layers_with_weights(nodes: list[tuple[str, str]], expected: list[str]) -> None:
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", weight], [f"y{index}"], name=name)
            for index, (name, weight) in enumerate(nodes)
        ],
        "g",
        [],
        [],
        [numpy_helper.from_array(noise((1,)), weight) for _, weight in nodes],
    )
    names = LayerNames(graph, ["input", "scores"])
    assert [names.module_layer(node, "conv") for node in graph.node] == expected


@pytest.mark.parametrize(
    ("blobs", "expected"),
    [
        (["base_net.0.0"], "base_net.0.0/relu"),
        (["base_net.0.0/relu"], "base_net.0.0/relu"),
        (["base_net.7.branch0.2.conv", "base_net.7.branch1.2.conv"], "base_net.7/relu"),
        (["conv1/relu", "conv2/relu"], "relu1"),
    ],
)
def test_layers_without_weights(blobs: list[str], expected: str) -> None:
    assert (
        LayerNames(helper.make_graph([], "g", [], []), []).joined_layer(blobs, "relu") == expected
    )


def test_names_are_unique() -> None:
    names = LayerNames(helper.make_graph([], "g", [], []), [])
    assert [names.joined_layer(["a"], "relu") for _ in range(3)] == [
        "a/relu",
        "a/relu_2",
        "a/relu_3",
    ]
