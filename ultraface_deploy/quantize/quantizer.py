"""Makes the INT8 artifacts of one network: calibrates once, then searches for each format."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from ultraface_deploy.errors import CheckFailed, InputError
from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.quantize.calibrate import OnPhotograph, calibrate
from ultraface_deploy.quantize.gate import Gate, Runner
from ultraface_deploy.quantize.images import readable_images, sample_images, shipped_images
from ultraface_deploy.quantize.int8 import Int8, Int8Job
from ultraface_deploy.quantize.network import Executor, Network
from ultraface_deploy.quantize.options import Int8Options
from ultraface_deploy.quantize.plan import Plan, Scheme, make_plan
from ultraface_deploy.quantize.ranges import SEARCHED
from ultraface_deploy.quantize.search import Candidate, Search, Trial, search
from ultraface_deploy.quantize.sensitivity import sensitive_layers
from ultraface_deploy.quantize.table import CalibrationTable
from ultraface_deploy.safe.files import make_folder
from ultraface_deploy.safe.images import Image, embedded_images, read_image
from ultraface_deploy.wider import TruthImage, read_ground_truth

# Fewer photographs than this say little about a percent of lost faces.
_FEW_IMAGES = 20


class Quantizer:
    """Calibration and gate of one network, shared by the formats it is converted to."""

    def __init__(
        self,
        network: Network,
        executor: Executor,
        spec: ModelSpec,
        options: Int8Options,
        scratch: Path,
        *,
        tables: Sequence[Path] = (),
        report: Callable[[str], None] = lambda message: None,
        progress: OnPhotograph | None = None,
    ) -> None:
        """Take the network; nothing is calibrated yet.

        Args:
            network: the network in FP32.
            executor: runs it.
            spec: what it is.
            options: what the user wants.
            scratch: an empty or absent folder for files on the way.
            tables: calibration tables of which one may fit, where no photographs are given.
            report: called with a line for each candidate that was tried.
            progress: called with (done, all) during calibration.

        Raises:
            InputError: a layer to keep does not exist.
        """
        make_folder(scratch)
        self.network, self.spec, self.options = network, spec, options
        self._executor, self._scratch, self._tables = executor, scratch, tables
        self._report, self._progress = report, progress
        for name in options.keep:
            self.network.layer(name)

    @cached_property
    def table(self) -> CalibrationTable:
        """The calibration table: read, or made from photographs.

        Raises:
            InputError: no photograph can be read, or the table is another network's.
        """
        given = self.options.calibration
        if given is None:
            fitting = fitting_table(self.network, self._tables)
            return self._of_shipped_images() if fitting is None else fitting
        if given.is_file():
            table = CalibrationTable.load(given)
            table.require_network(self.network, str(given))
            return table
        return self._calibrate(self._photographs)

    def _of_shipped_images(self) -> CalibrationTable:
        """Two people are little to calibrate on: the gate judges on harder pictures of them."""
        images = list(embedded_images())
        self._report(
            f"no photographs given: ranges from the {len(images)} pictures that ship, judged on "
            "darker, brighter and turned ones; for your own camera: `calibration` DIR"
        )
        return self._calibrate(images)

    def _calibrate(self, images: Sequence[Path | Image]) -> CalibrationTable:
        return calibrate(
            self.network,
            self._executor,
            self.spec,
            images,
            progress=self._progress,
            keep_aspect=self.options.keep_aspect,
        )

    @cached_property
    def gate(self) -> Gate:
        """The judge.

        Raises:
            InputError: there is nothing to judge on.
        """
        images, labels = self._validation()
        keep_aspect = self.options.keep_aspect
        return Gate(self._executor, self.spec, images, self._scratch, labels, keep_aspect)

    def make(
        self,
        format: str,
        int8: Int8,
        runner: Runner,
        files: Mapping[str, Sequence[Path]],
        fp32_bytes: int,
        outputs: Sequence[Path],
    ) -> Trial:
        """Search for the INT8 artifact of a format and write it.

        Args:
            format: its name.
            int8: how it becomes INT8.
            runner: runs what was made.
            files: FP32 files of `onnxsim` and of the formats in `int8.sources`.
            fp32_bytes: size of the format's own FP32 artifact.
            outputs: files to write, in the order of the manifest.

        Returns:
            The trial that was kept.

        Raises:
            CheckFailed: no candidate passed the gate; the message says how the best one failed.
        """
        scratch = self._scratch / format
        make_folder(scratch)
        # Constants stay what they are.
        constants = 4 * self.network.constants
        options = self.options
        job = Int8Job(
            self.spec,
            self.network,
            files,
            self._photographs,
            options.accelerator,
            options.chip,
            options.keep_aspect,
        )
        found = search(
            self._candidates(int8, job),
            self.gate,
            runner,
            scratch,
            max_bytes=constants + round(int8.share * (fp32_bytes - constants)),
            budget_s=options.budget_s,
            goal=int8.goal,
            on_trial=lambda trial: self._report(f"{format:<5} {trial}"),
        )
        if found.out_of_time:
            self._report(
                f"{format:<5} stopped after {options.budget_s:.0f} s with candidates untried; "
                "allow more time with `search_seconds`"
            )
        if found.best is None:
            raise CheckFailed(_refusal(format, found))
        self._report(f"{format:<5} {found.choice}")
        for made, output in zip(found.best.files, outputs, strict=True):
            shutil.move(made, output)
        return found.best

    def _candidates(self, int8: Int8, job: Int8Job) -> Iterator[Candidate]:
        def candidate(name: str, share: float, plan: Callable[[], Plan]) -> Candidate:
            return Candidate(name, share, lambda folder: int8.emit(plan(), job, folder))

        given = self.options.calibration
        if int8.read_plan is not None and given is not None and given.suffix == int8.plan_suffix:
            foreign = int8.read_plan(given, job)
            yield candidate(given.name, 1.0, lambda: foreign)
            return
        network, table = int8.rewrite(job, self.table)
        total = sum(layer.multiplications for layer in self.network.layers)
        for scheme in self._schemes(int8):
            kept = sum(self.network.layer(name).multiplications for name in scheme.keep)
            yield candidate(
                str(scheme),
                1 - kept / total,
                lambda scheme=scheme: make_plan(network, table, scheme),  # type: ignore[misc]
            )
        if self.options.ranges is None and job.images:
            yield from int8.others(job)

    def _schemes(self, int8: Int8) -> Iterator[Scheme]:
        ranges = SEARCHED if self.options.ranges is None else (self.options.ranges,)
        always = {*self.options.keep, *int8.keep(self.network)}
        in_halves = int8.budgets_in_halves if self.options.halves else None
        for budget in in_halves or int8.budgets:
            kept = {*sensitive_layers(self.network, self.table.costs, budget, always), *always}
            keep = tuple(layer.name for layer in self.network.layers if layer.name in kept)
            yield from (Scheme(method, keep) for method in ranges)

    @cached_property
    def _photographs(self) -> Sequence[Path]:
        folder = self.options.calibration
        if folder is None or folder.is_file():
            return []
        return sample_images(folder)[: self.options.images]

    def _validation(self) -> tuple[Iterator[Image], Sequence[TruthImage] | None]:
        """The images to judge on and their labels; never one that was calibrated on."""
        options = self.options
        if options.validation is not None and options.ground_truth is not None:
            truth = read_ground_truth(options.ground_truth)
            files = [options.validation / f"{image.name}.jpg" for image in truth]
            return map(read_image, files), truth
        if options.validation is not None:
            return readable_images(sample_images(options.validation)[: options.images]), None
        if self._photographs and options.calibration is not None:
            others = sample_images(options.calibration)[options.images :][: options.images]
            if len(others) >= _FEW_IMAGES:
                return readable_images(others), None
        return shipped_images(), None


def fitting_table(network: Network, tables: Sequence[Path]) -> CalibrationTable | None:
    """Return the first table that was made from a network, None where there is none."""
    for path in tables:
        table = CalibrationTable.load(path)
        try:
            table.require_network(network)
        except InputError:
            continue
        return table
    return None


def _refusal(format: str, found: Search) -> str:
    closest = max(found.trials, key=lambda trial: trial.verdict.f1)
    return (
        f"{format}: none of {len(found.trials)} INT8 candidates passed, the closest "
        f"({closest.name}): {closest.verdict.reason}; try `keep` LAYER or more `calibration` images"
    )
