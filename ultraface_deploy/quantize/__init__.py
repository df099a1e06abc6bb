"""INT8 that keeps its accuracy: one calibration, an emitter per runtime, and a gate.

    simplified ONNX -> calibration table -> recipe -> plan -> emitter -> gate

`ranges`, `equalize`, `plan` decide numbers; `emit_*` write them down for one runtime each;
`gate` judges; `search` tries recipes; `Quantizer` (in `quantizer`) puts them together.

Embedded models ship their table, so that no photographs are needed. It is made by

    ultraface-deploy quantize calibrate NAME --calibration DIR -o models/NAME.calibration.json
"""

from ultraface_deploy.quantize.int8 import Int8, Int8Job
from ultraface_deploy.quantize.options import Int8Options

__all__ = ["Int8", "Int8Job", "Int8Options"]
