"""Calling esp-ppq: our network and scales in, an `.espdl` out that computes the same as there."""

# Tested by tests/converters/espdl/test_espdl.py.

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np

from ultraface_deploy.backends.edl import Program
from ultraface_deploy.converters.espdl.powers import to_powers
from ultraface_deploy.converters.onnx.handed import hand_inputs, hand_network
from ultraface_deploy.errors import ToolFailed
from ultraface_deploy.family.spec import METADATA_KEY, ModelSpec
from ultraface_deploy.quantize.int8 import Int8Job
from ultraface_deploy.quantize.plan import Plan
from ultraface_deploy.safe import toolbox
from ultraface_deploy.safe.child import run_program
from ultraface_deploy.safe.files import write_text

SCRIPT = Path(__file__).with_name("espdl_script.py")
_TIMEOUT_S = 900.0
# Their outputs are compared; its calibration asks for two, and finds nothing with them.
_IMAGES = 2


def compile_for_espressif(plan: Plan, job: Int8Job, chip: str, file: Path) -> None:
    """Write the network of a plan for the ESP32-P4.

    Args:
        plan: becomes one of scales that are powers of two.
        job: has photographs on which the file is compared with the tool's executor.
        chip: as esp-ppq calls it.
        file: `.espdl` to write.

    Raises:
        MissingDependency: esp-ppq is not installed.
        InputError: the network cannot be cut at its convolutions.
        ToolFailed: esp-ppq failed, or its file computes other numbers than its executor.
    """
    python = toolbox.require("esp")
    folder = file.parent / "espdl"
    folder.mkdir()
    try:
        powers = to_powers(plan, plan.network.layers[0].source)
        # Where ReLUs end is said by the exponents.
        handed = replace(plan, network=powers.network, ranges={})
        names = hand_network(handed, job, folder / "network.onnx", at_convolutions=True)
        hand_inputs(job, folder / "inputs.npy", _IMAGES)
        told = {
            "chip": chip,
            "exponents": {names.get(each, each): at for each, at in powers.exponents.items()},
            "remarks": {METADATA_KEY: json.dumps(job.spec.to_dict())},
        }
        write_text(folder / "job.json", json.dumps(told))
        command = [str(python), "-I", str(SCRIPT)]
        run_program(command, what="esp-ppq", cwd=folder, timeout=_TIMEOUT_S)
        made = folder / "network.espdl"
        if not (made.is_file() and (folder / "outputs.npz").is_file()):
            raise ToolFailed("esp-ppq ended without its files")
        require_the_same(made, folder)
        shutil.move(made, file)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def require_the_same(made: Path, folder: Path) -> None:
    """Refuse a file that we read otherwise than esp-ppq has computed it.

    Args:
        made: the file.
        folder: has what was computed as `inputs.npy` and `outputs.npz`, the outputs by name.

    Raises:
        ToolFailed: one number is another.
    """
    program = Program.read(made)
    with np.load(folder / "outputs.npz", allow_pickle=False) as wanted:
        for place, tensor in enumerate(np.load(folder / "inputs.npy")):
            for name, values in program.run(tensor[None]).items():
                if not np.array_equal(values[0], wanted[name][place]):
                    raise ToolFailed(
                        f"esp-ppq's file computes other numbers than its executor ({name}); please "
                        "report this"
                    )


def stated_spec(file: Path) -> ModelSpec | None:
    """Read what a file of our own says it is, None for other people's files.

    Raises:
        InputError: it is damaged.
    """
    stated = Program.read(file).remarks.get(METADATA_KEY)
    return None if stated is None else ModelSpec.from_json(stated)
