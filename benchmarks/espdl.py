"""Which faces Espressif's esp-ppq keeps when it quantises a network for an ESP32-P4 or -S3.

    python3 -m venv ESP && ESP/bin/pip install 'esp-ppq[cpu]==1.3.12'
    ultraface-deploy convert slim-320 --to c --int8 -o DIR
    python -m ultraface_deploy.benchmarks.espdl DIR --python ESP/bin/python \\
        --calibration FOLDER --images PHOTOS

Its scales are powers of two: one a tensor, and for the weights on the P4 one a channel. It gets
the network as it was trained, and as our plan rewrites it: channels equalised, biases corrected,
each ReLU ending at our range, which its `minmax` then finds. Both end at the head's convolutions.
Its own executor computes; nobody ran the file on a chip.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import onnx

from ultraface_deploy import models
from ultraface_deploy.agreement.faces import SameFaces
from ultraface_deploy.artifacts.folder import ArtifactFolder
from ultraface_deploy.backends import get_backend
from ultraface_deploy.benchmarks.command import command, existing
from ultraface_deploy.converters.onnx.cut import cut
from ultraface_deploy.converters.onnx.handed import hand_network
from ultraface_deploy.converters.onnx.network import load_network
from ultraface_deploy.errors import InputError
from ultraface_deploy.pipeline import join_maps, postprocess
from ultraface_deploy.quantize.images import read_tensors, sample_images
from ultraface_deploy.quantize.int8 import Int8Job
from ultraface_deploy.quantize.plan import Scheme, make_plan
from ultraface_deploy.quantize.quantizer import fitting_table
from ultraface_deploy.safe.child import run_program
from ultraface_deploy.safe.images import list_images, read_image

SCRIPT = Path(__file__).with_name("espdl_script.py")
_IMAGES = 32
_TIMEOUT_S = 3600.0
TRIED = (
    ("plain", "esp32p4", 8, "percentile"),
    ("plain", "esp32p4", 8, "minmax"),
    ("ours", "esp32p4", 8, "minmax"),
    ("ours", "esp32s3", 8, "minmax"),
    ("ours", "esp32s3", 16, "minmax"),
)
"""Network, chip, bits and how esp-ppq finds ranges."""


class Trial:
    """The networks and pictures of a comparison, in a folder where esp-ppq finds them."""

    def __init__(
        self, folder: ArtifactFolder, calibration: Sequence[Path], photos: Sequence[Path], at: Path
    ) -> None:
        """Write what esp-ppq reads, and compute the faces that are wanted.

        Raises:
            InputError: the network is not one that ships, so that there is no table of its ranges.
        """
        self.spec, self.at = folder.spec, at
        files = folder.intact_files(folder.find("onnxsim"))
        network, model = load_network(files[0])
        table = fitting_table(network, models.calibration_tables())
        if table is None:
            raise InputError(
                f"{folder.path}: not one of the networks that ship; give the folder of one"
            )
        job = Int8Job(self.spec, network, {"onnxsim": files})
        plan = make_plan(network, table, Scheme())
        hand_network(plan, job, at / "ours.onnx", at_convolutions=True)
        plain = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
        cut(plain, self.spec)
        onnx.save(plain, str(at / "plain.onnx"))
        inputs = islice(read_tensors(calibration, self.spec), _IMAGES)
        np.save(at / "inputs.npy", np.concatenate(list(inputs)))
        tensors = np.concatenate(list(read_tensors(photos, self.spec)))
        np.save(at / "photos.npy", tensors)
        self._sizes = [read_image(photo).shape[1::-1] for photo in photos]
        session = get_backend("onnxruntime").load(files, self.spec)
        self._wanted = [session.run(tensor[None]) for tensor in tensors]

    def run(self, python: Path, network: str, chip: str, bits: int, method: str) -> SameFaces:
        """Let esp-ppq quantise and compute.

        Raises:
            ToolFailed: it failed.
        """
        arguments = [f"{network}.onnx", chip, str(bits), method]
        command = [str(python.absolute()), "-I", str(SCRIPT), *arguments]
        run_program(command, what="esp-ppq", cwd=self.at, timeout=_TIMEOUT_S)
        same = SameFaces()
        for wanted, had, size in zip(self._wanted, self._outputs(), self._sizes, strict=True):
            pair = (
                postprocess(each["scores"], each["boxes"], self.spec, size)
                for each in (wanted, join_maps(had, self.spec))
            )
            same.add(*pair)
        return same

    def _outputs(self) -> Iterator[dict[str, np.ndarray]]:
        with np.load(self.at / "outputs.npz", allow_pickle=False) as found:
            maps = {str(name): found[f"output{i}"] for i, name in enumerate(found["names"])}
        for place in range(len(self._wanted)):
            yield {name: values[place : place + 1] for name, values in maps.items()}


def main() -> None:
    """Print a table."""
    form = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("folder", type=existing)
    parser.add_argument("--python", type=existing, required=True)
    parser.add_argument("--calibration", type=existing, required=True)
    parser.add_argument("--images", type=existing, required=True)
    given = parser.parse_args()
    photographs = sample_images(given.calibration)
    spread = photographs[:: max(1, len(photographs) // _IMAGES)]
    with tempfile.TemporaryDirectory(prefix="ultraface-espdl-") as name:
        folder = ArtifactFolder.open(given.folder)
        trial = Trial(folder, spread, list_images(given.images), Path(name))
        print("| network | chip | bits | ranges | F1 | mean IoU |\n|---|---|---:|---|---:|---:|")
        for tried in TRIED:
            same = trial.run(given.python, *tried)
            print(f"| {' | '.join(map(str, tried))} | {same.f1:.3f} | {same.mean_iou:.3f} |")


if __name__ == "__main__":
    command(main)
