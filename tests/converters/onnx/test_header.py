"""An ONNX file that names other files is refused, wherever the name hides."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ultraface_deploy.converters.onnx.header import refuse_external_data
from ultraface_deploy.errors import InputError

onnx = pytest.importorskip("onnx", reason="writes the files")


@pytest.mark.parametrize("place", ["initializer", "constant"])
def test_weights_in_other_files(tmp_path: Path, place: str) -> None:
    weight = onnx.numpy_helper.from_array(np.ones(4, np.float32), "weight")
    output = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [4])
    if place == "initializer":
        node = onnx.helper.make_node("Identity", ["weight"], ["y"])
    else:
        node = onnx.helper.make_node("Constant", [], ["y"], value=weight)
    held = [weight] if place == "initializer" else []
    model = onnx.helper.make_model(onnx.helper.make_graph([node], "net", [], [output], held))
    path = tmp_path / "net.onnx"
    onnx.save(model, str(path))
    refuse_external_data(path)
    graph = model.graph
    tensor = graph.initializer[0] if held else graph.node[0].attribute[0].t
    tensor.external_data.add(key="location", value="../elsewhere")
    path.write_bytes(model.SerializeToString())
    with pytest.raises(InputError, match="keeps its weights in other files"):
        refuse_external_data(path)
