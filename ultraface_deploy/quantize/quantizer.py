"""Makes the INT8 artifacts of one network: calibrates once, then searches for each runtime."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import onnx

from ultraface_deploy import models
from ultraface_deploy.converters.mnn.int8 import emit_mnn
from ultraface_deploy.converters.mnn.tool import MnnMethod, quantize_with_mnn
from ultraface_deploy.converters.ncnn.files import read_table, write_table
from ultraface_deploy.converters.ncnn.int8 import NcnnModel, emit_ncnn, ncnn_table, plan_from_table
from ultraface_deploy.converters.onnx.int8 import emit_onnx
from ultraface_deploy.converters.onnx.layers import Network
from ultraface_deploy.errors import CheckFailed, InputError
from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.pipeline.preprocess import Image
from ultraface_deploy.quantize.calibrate import Progress, calibrate
from ultraface_deploy.quantize.gate import Gate
from ultraface_deploy.quantize.images import readable_images, sample_images, shipped_images
from ultraface_deploy.quantize.options import TARGETS, Int8Options
from ultraface_deploy.quantize.plan import Plan, Recipe, make_plan
from ultraface_deploy.quantize.search import Candidate, Search, Trial, search
from ultraface_deploy.quantize.sensitivity import sensitive_layers
from ultraface_deploy.quantize.table import CalibrationTable
from ultraface_deploy.safe.files import make_folder
from ultraface_deploy.safe.images import read_image
from ultraface_deploy.wider import TruthImage, read_ground_truth

TABLE_SUFFIX = ".calibration.json"
NCNN_TABLE_SUFFIX = ".table"
# Fewer photographs than this say little about a percent of lost faces.
_FEW_IMAGES = 20
# Tried in this order: bytes spent on layers that stay FP32, then how ranges are found.
_BUDGETS = (2_000, 8_000, 12_000, 20_000, 32_000, 64_000)
_RANGES = ("p99.999", "mse")


class Quantizer:
    """Calibration and gate of one network, shared by the formats it is converted to."""

    def __init__(
        self,
        onnx_file: Path,
        spec: ModelSpec,
        options: Int8Options,
        scratch: Path,
        *,
        report: Callable[[str], None] = lambda message: None,
        progress: Progress | None = None,
    ) -> None:
        """Read the network; nothing is calibrated yet.

        Args:
            onnx_file: the simplified ONNX file in FP32.
            spec: what it is.
            options: what the user wants.
            scratch: an empty or absent folder for files on the way.
            report: called with a line for each candidate that was tried.
            progress: called with (done, all) during calibration.

        Raises:
            InputError: the file cannot be read, or a layer to keep does not exist.
        """
        make_folder(scratch)
        self.network = Network.load(onnx_file)
        self.spec, self.options = spec, options
        self._onnx_file, self._scratch = onnx_file, scratch
        self._report, self._progress = report, progress
        for name in options.keep:
            self.network.layer(name)

    @cached_property
    def table(self) -> CalibrationTable:
        """The calibration table: read, or made from photographs.

        Raises:
            InputError: there are no photographs, or the table is another network's.
        """
        given = self.options.calibration
        if given is None:
            return shipped_table(self.network)
        if given.is_file():
            table = CalibrationTable.load(given)
            table.require_network(self.network, str(given))
            return table
        return calibrate(self.network, self.spec, self._calibration_images, progress=self._progress)

    @cached_property
    def gate(self) -> Gate:
        """The judge.

        Raises:
            InputError: there is nothing to judge on.
        """
        images, labels = self._validation()
        return Gate(self._onnx_file, self.spec, images, self._scratch, labels)

    def make(self, format: str, outputs: Sequence[Path], sources: Sequence[Path]) -> Trial:
        """Search for the INT8 artifact of a format and write it.

        Args:
            format: of `TARGETS`.
            outputs: files to write, in the order of the manifest.
            sources: FP32 files in the formats that the target names.

        Returns:
            The trial that was kept.

        Raises:
            CheckFailed: no candidate passed the gate; the message says how the best one failed.
        """
        target = TARGETS[format]
        scratch = self._scratch / format
        make_folder(scratch)
        found = search(
            self._candidates(format, sources),
            self.gate,
            target.backend,
            scratch,
            max_bytes=target.max_bytes + self._constants(),
            budget_s=self.options.budget_s,
            on_trial=lambda trial: self._report(f"{format:<5} {trial}"),
        )
        if found.out_of_time:
            self._report(
                f"{format:<5} stopped after {self.options.budget_s:.0f} s with candidates untried; "
                "allow more time with --search-seconds"
            )
        if found.best is None:
            raise CheckFailed(_refusal(format, found))
        for made, output in zip(found.best.files, outputs, strict=True):
            shutil.move(made, output)
        return found.best

    def ncnn_table(self, param: Path, weights: Path) -> str:
        """Return the calibration as `ncnn2int8` reads it, for FP32 ncnn files of the network."""
        recipe = Recipe("mse-symmetric", "none", correct_bias=False)
        model = NcnnModel.load(param, weights, self.network)
        return write_table(ncnn_table(make_plan(self.network, self.table, recipe), model))

    def _candidates(self, format: str, sources: Sequence[Path]) -> Iterator[Candidate]:
        emit = self._emitter(format, sources)
        given = self.options.calibration
        if given is not None and given.suffix == NCNN_TABLE_SUFFIX:
            yield self._ncnn_table_candidate(format, sources, emit)
            return
        multiplications = self.network.multiplications()
        for recipe in self._recipes(format):
            kept = sum(multiplications[name] for name in recipe.keep)
            share = 1 - kept / sum(multiplications.values())

            def make(folder: Path, recipe: Recipe = recipe) -> Sequence[Path]:
                return emit(make_plan(self.network, self.table, recipe), folder)

            yield Candidate(str(recipe), share, make)
        if format == "mnn" and self.options.ranges is None and self._calibration_images:
            for method in ("KL", "EMA"):
                yield self._mnn_candidate(method)

    def _recipes(self, format: str) -> Iterator[Recipe]:
        ranges = _RANGES if self.options.ranges is None else (self.options.ranges,)
        always = {*self.options.keep, *(self._slow_in_ncnn() if format == "ncnn" else ())}
        for budget in _BUDGETS:
            kept = {*sensitive_layers(self.network, self.table.costs, budget, always), *always}
            keep = tuple(layer.name for layer in self.network.layers if layer.name in kept)
            yield from (Recipe(ranges=method, equalize="all", keep=keep) for method in ranges)

    def _slow_in_ncnn(self) -> Iterator[str]:
        """The depthwise layers, which in ncnn are better off in FP32.

        Its INT8 kernels for them make the whole network take twice the instructions on Arm, and
        on x86 multiply by an approximate reciprocal (`_mm_rcp_ps` in convolutiondepthwise_x86.cpp),
        so that an artifact found other scores there than on Arm, by up to 0.03.
        """
        return (layer.name for layer in self.network.layers if layer.depthwise)

    def _emitter(
        self, format: str, sources: Sequence[Path]
    ) -> Callable[[Plan, Path], Sequence[Path]]:
        name = self.spec.name

        def to_onnx(plan: Plan, folder: Path) -> Sequence[Path]:
            file = folder / f"{name}.onnx"
            onnx.save(emit_onnx(plan), file)
            return [file]

        def to_mnn(plan: Plan, folder: Path) -> Sequence[Path]:
            file = folder / f"{name}.mnn"
            emit_mnn(plan, file)
            return [file]

        def to_ncnn(plan: Plan, folder: Path) -> Sequence[Path]:
            param, weights = folder / f"{name}.ncnn.param", folder / f"{name}.ncnn.bin"
            text, content = emit_ncnn(plan, NcnnModel.load(sources[1], sources[2], self.network))
            param.write_text(text)
            weights.write_bytes(content)
            return [param, weights]

        return {"onnx": to_onnx, "mnn": to_mnn, "ncnn": to_ncnn}[format]

    def _ncnn_table_candidate(
        self, format: str, sources: Sequence[Path], emit: Callable[[Plan, Path], Sequence[Path]]
    ) -> Candidate:
        path = self.options.calibration
        if format != "ncnn" or path is None:
            raise InputError(f"{path}: a table of ncnn2table works only with --to ncnn")
        model = NcnnModel.load(sources[1], sources[2], self.network)
        plan = plan_from_table(self.network, model, read_table(path))
        return Candidate(path.name, 1.0, lambda folder: emit(plan, folder))

    def _mnn_candidate(self, method: MnnMethod) -> Candidate:
        def make(folder: Path) -> Sequence[Path]:
            file = folder / f"{self.spec.name}.mnn"
            images = readable_images(self._calibration_images)
            quantize_with_mnn(self._onnx_file, self.spec, images, method, file)
            return [file]

        return Candidate(f"MNN's own {method}", 1.0, make)

    @cached_property
    def _calibration_images(self) -> Sequence[Path]:
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
        if self._calibration_images and options.calibration is not None:
            others = sample_images(options.calibration)[options.images :][: options.images]
            if len(others) >= _FEW_IMAGES:
                return readable_images(others), None
        return shipped_images(), None

    def _constants(self) -> int:
        """Bytes of the FP32 model other than weights, such as the anchors of a decoded head."""
        weights = sum(layer.weight.size + layer.bias.size for layer in self.network.layers)
        stored = sum(int(np.prod(tensor.dims)) for tensor in self.network.model.graph.initializer)
        return 4 * (stored - weights)


def shipped_table(network: Network) -> CalibrationTable:
    """Return the table that ships for a network.

    Raises:
        InputError: none fits; says how to calibrate.
    """
    for path in sorted(models.FOLDER.glob(f"*{TABLE_SUFFIX}")):
        table = CalibrationTable.load(path)
        try:
            table.require_network(network)
        except InputError:
            continue
        return table
    raise InputError(
        "--int8: no calibration table ships for this network; give photographs like those it will "
        "see, by --calibration DIR"
    )


def _refusal(format: str, found: Search) -> str:
    closest = max(found.trials, key=lambda trial: trial.verdict.f1)
    return (
        f"{format}: none of {len(found.trials)} INT8 candidates passed, the closest "
        f"({closest.name}): {closest.verdict.reason}; try --keep LAYER or more --calibration images"
    )
