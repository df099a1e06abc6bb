"""Runs where esp-ppq is installed, and nothing of ours: quantises for an ESP32, and executes that.

espdl_script.py NETWORK TARGET BITS METHOD: `inputs.npy` is calibrated on, `photos.npy` is computed;
the outputs by name go to `outputs.npz`.
"""

# Tested by tests/benchmarks/test_espdl.py.

from __future__ import annotations

import shutil
import sys
from typing import Any

import numpy as np
import torch
from esp_ppq import QuantizationSettingFactory
from esp_ppq.api import espdl_interface
from esp_ppq.executor import TorchExecutor


def main() -> None:
    """Do it."""
    network, target, bits, method = sys.argv[1:]
    # On a busy machine several wait for each other, fifty times as long.
    torch.set_num_threads(1)
    # It writes its own simplification over the file that it reads; ours is simplified already.
    shutil.copyfile(network, "read.onnx")
    espdl_interface.simplify = lambda model: (model, False)
    setting = QuantizationSettingFactory.espdl_setting()
    setting.quantize_activation_setting.calib_algorithm = method
    given = read("inputs.npy")
    graph = espdl_interface.espdl_quantize_onnx(
        "read.onnx",
        "made.espdl",
        given,
        len(given),
        list(given[0].shape),
        target=target,
        num_of_bits=int(bits),
        setting=setting,
        device="cpu",
        error_report=False,
        skip_export=True,
        collate_fn=lambda tensor: tensor,
    )
    executor, names = TorchExecutor(graph, device="cpu"), list(graph.outputs)
    with torch.inference_mode():
        computed = [executor.forward(photo, output_names=names) for photo in read("photos.npy")]
    outputs = [torch.cat(values).numpy() for values in zip(*computed)]  # noqa: B905 - of one length
    numbered: dict[str, Any] = {f"output{i}": each for i, each in enumerate(outputs)}
    np.savez("outputs.npz", names=np.array(names), **numbered)


def read(file: str) -> list[Any]:
    """Read tensors, one for each picture."""
    return [torch.from_numpy(each[None]) for each in np.load(file)]


if __name__ == "__main__":
    main()
