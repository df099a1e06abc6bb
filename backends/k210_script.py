"""Runs in the environment of the tool, whose Python may be 3.8: nncase, and nothing of ours.

compile           network.onnx and inputs.npy in this folder -> network.kmodel
simulate FILE     tensors on standard input -> for each its outputs on standard output, see `tool`
"""

# Tested by tests/converters/kmodel/test_kmodel.py.

import io
import os
import struct
import sys
from pathlib import Path

import nncase
import numpy as np


def main() -> None:
    """Do what the first argument says."""
    if sys.argv[1] == "compile":
        compile_network()
    else:
        simulate(sys.argv[2])


def compile_network() -> None:
    """Compile for the K210 in 8 bits, calibrated on the inputs."""
    options = nncase.CompileOptions()
    options.target = "k210"
    options.quant_type = options.w_quant_type = "uint8"
    options.use_mse_quant_w = True
    compiler = nncase.Compiler(options)
    compiler.import_onnx(Path("network.onnx").read_bytes(), nncase.ImportOptions())
    inputs = np.load("inputs.npy")
    calibration = nncase.PTQTensorOptions()
    # Its entropy method cuts the scores' logits.
    calibration.calibrate_method = "no_clip"
    calibration.samples_count = len(inputs)
    calibration.set_tensor_data(inputs.tobytes())
    compiler.use_ptq(calibration)
    compiler.compile()
    Path("network.kmodel").write_bytes(compiler.gencode_tobytes())


def simulate(path: str) -> None:
    """Answer every tensor with the outputs."""
    # What nncase prints must not come between the numbers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    simulator = nncase.Simulator()
    simulator.load_model(Path(path).read_bytes())
    shape = tuple(simulator.get_input_tensor(0).to_numpy().shape)
    size = 4 * int(np.prod(shape))
    while True:
        content = sys.stdin.buffer.read(size)
        if len(content) < size:
            return
        tensor = np.frombuffer(content, np.float32).reshape(shape)
        simulator.set_input_tensor(0, nncase.RuntimeTensor.from_numpy(tensor))
        simulator.run()
        # The names are not in the file; the shapes tell which is which.
        outputs = {
            f"output{place}": simulator.get_output_tensor(place).to_numpy()
            for place in range(simulator.outputs_size)
        }
        packed = io.BytesIO()
        np.savez(packed, **outputs)
        answers.write(struct.pack("<q", packed.tell()) + packed.getvalue())
        answers.flush()


if __name__ == "__main__":
    main()
