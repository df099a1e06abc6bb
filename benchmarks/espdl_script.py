"""Runs where esp-ppq is installed, and nothing of ours: quantises for an ESP32, and executes that.

espdl_script.py NETWORK TARGET BITS METHOD: `inputs.npy` is calibrated on, `photos.npy` is computed;
the outputs by name go to `outputs.npz`.
"""

# Tested by tests/benchmarks/test_espdl.py.

from __future__ import annotations

import shutil
import sys

import numpy as np
import torch
from esp_ppq import QuantizationSettingFactory
from esp_ppq.api import espdl_interface
from esp_ppq.executor import TorchExecutor


def main() -> None:
    """Do it."""
    network, target, bits, method = sys.argv[1:]
    # It writes its own simplification over the file that it reads; ours is simplified already.
    shutil.copyfile(network, "read.onnx")
    espdl_interface.simplify = lambda model: (model, False)
    setting = QuantizationSettingFactory.espdl_setting()
    setting.quantize_activation_setting.calib_algorithm = method
    given = torch.from_numpy(np.load("inputs.npy"))
    graph = espdl_interface.espdl_quantize_onnx(
        "read.onnx",
        "made.espdl",
        list(given.split(1)),
        len(given),
        [1, *given.shape[1:]],
        target=target,
        num_of_bits=int(bits),
        setting=setting,
        device="cpu",
        error_report=False,
        collate_fn=lambda tensor: tensor,
    )
    executor, names = TorchExecutor(graph, device="cpu"), list(graph.outputs)
    with torch.inference_mode():
        computed = [
            executor.forward(photo, output_names=names)
            for photo in torch.from_numpy(np.load("photos.npy")).split(1)
        ]
    outputs = [torch.cat(values).numpy() for values in zip(*computed)]  # noqa: B905 - of one length
    np.savez("outputs.npz", names=names, **{f"output{i}": each for i, each in enumerate(outputs)})


if __name__ == "__main__":
    main()
