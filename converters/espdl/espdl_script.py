"""Runs in the environment of the tool: esp-ppq, and nothing of ours.

In this folder: network.onnx, inputs.npy and job.json -> network.espdl, and outputs.npz: what
esp-ppq's executor computes of the inputs.
"""

# Tested by tests/converters/espdl/test_espdl.py.

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any


def main() -> None:
    """Write the file with the exponents that were given."""
    import numpy as np
    import torch
    from esp_ppq import QuantizationSettingFactory
    from esp_ppq.api import espdl_interface
    from esp_ppq.executor import TorchExecutor
    from esp_ppq.quantization.observer import OBSERVER_TABLE, TorchMinMaxObserver

    job = json.loads(Path("job.json").read_text())

    class Told(TorchMinMaxObserver):  # type: ignore[misc]
        """Of activations it is told the exponent; weights have their powers of two already."""

        def render_quantization_config(self) -> None:
            exponent = job["exponents"].get(self._watch_on.name)
            if exponent is not None:
                # The middle of what is rounded up to that power of two.
                end = torch.tensor([0.75 * 127.5 * 2.0**exponent])
                self._min_val_collector, self._max_val_collector = [-end], [end]
            super().render_quantization_config()

    OBSERVER_TABLE["minmax"] = Told
    # On a busy machine several wait for each other, fifty times as long.
    torch.set_num_threads(1)
    # It writes its own simplification over the file that it reads; ours is simplified already.
    espdl_interface.simplify = lambda model: (model, False)
    setting = QuantizationSettingFactory.espdl_setting()
    setting.quantize_activation_setting.calib_algorithm = "minmax"
    inputs: list[Any] = [torch.from_numpy(each[None]) for each in np.load("inputs.npy")]
    graph = espdl_interface.espdl_quantize_onnx(
        "network.onnx",
        "network.espdl",
        inputs,
        len(inputs),
        list(inputs[0].shape),
        inputs=inputs[:1],
        target=job["chip"],
        num_of_bits=8,
        setting=setting,
        device="cpu",
        error_report=False,
        export_config=False,
        collate_fn=lambda tensor: tensor,
        metadata_props=job["remarks"],
    )
    executor, names = TorchExecutor(graph, device="cpu"), sorted(graph.outputs)
    with torch.inference_mode():
        computed = [executor.forward(each, output_names=names) for each in inputs]
    outputs: dict[str, Any] = {
        name: torch.cat([each[at] for each in computed]).numpy() for at, name in enumerate(names)
    }
    np.savez("outputs.npz", **outputs)


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":
        # Its sets decide the order of the file; an isolated Python does not read the variable.
        kept = {name: each for name, each in os.environ.items() if not name.startswith("PYTHON")}
        command = [sys.executable, "-s", __file__]
        os.execve(sys.executable, command, {**kept, "PYTHONHASHSEED": "0"})
    main()
