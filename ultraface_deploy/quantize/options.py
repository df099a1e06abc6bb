"""What the user says about INT8."""

# Tested by tests/quantize/test_quantizer.py.

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ultraface_deploy.errors import InputError
from ultraface_deploy.quantize.ranges import SEARCHED


@dataclass(frozen=True)
class Int8Options:
    """What the user says about quantisation.

    Attributes:
        calibration: a folder of photographs, a calibration table, or a table of another tool that
            the format reads (ncnn: `.table` of ncnn2table);
            None for the folder's own table, the one that ships for the network, or else the
            photographs that ship.
        images: how many photographs to calibrate on, and as many to judge on.
        validation: a folder to judge on; None for photographs of the calibration folder that were
            not calibrated on, or else those that ship.
        ground_truth: folder of WIDER FACE ground truth for `validation`, to bound the loss of AP.
        ranges: one of `ranges.SEARCHED`; None for all.
        keep: layers that stay FP32 in every candidate.
        budget_s: seconds to search for each runtime.
        keep_aspect: calibrate and judge on photographs that are padded to the input's aspect
            ratio, as `View.keep_aspect` shows them, instead of stretched.
        accelerator: what a format for accelerators compiles for.
        chip: what a format for a maker's chips compiles for; None for its default.
        halves: what stays FP32 will be computed in half floats, where the format's runtime can.
    """

    calibration: Path | None = None
    images: int = 200
    validation: Path | None = None
    ground_truth: Path | None = None
    ranges: str | None = None
    keep: tuple[str, ...] = ()
    budget_s: float = 75.0
    accelerator: str = "ethos-u55-128"
    keep_aspect: bool = False
    chip: str | None = None
    halves: bool = False

    def __post_init__(self) -> None:
        if self.ranges is not None and self.ranges not in SEARCHED:
            raise InputError(f"`ranges` {self.ranges}: unknown; choose from {', '.join(SEARCHED)}")
        if self.images < 1:
            raise InputError(f"`calibration_images` {self.images}: give 1 or more")
        if self.ground_truth is not None and self.validation is None:
            raise InputError("`ground_truth`: give `validation` too, the folder of its images")

    def require_readable(self) -> None:
        """Look at what was given before anything is converted for it.

        Raises:
            InputError: a folder holds no photographs, or a table is damaged.
        """
        from ultraface_deploy.quantize.images import sample_images
        from ultraface_deploy.quantize.table import CalibrationTable

        if self.calibration is not None and self.calibration.suffix == ".json":
            CalibrationTable.load(self.calibration)
        for option, folder in (
            ("--calibration", self.calibration),
            ("--validation", self.validation),
        ):
            if folder is not None and not folder.is_file():
                found = sample_images(folder)
                if option == "--calibration" and len(found) == 1:
                    raise InputError(
                        f"`calibration` {folder}: holds one photograph, and ranges of one picture "
                        "fit no other; give some twenty or more, or leave the option out"
                    )
