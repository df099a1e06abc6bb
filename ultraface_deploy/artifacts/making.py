"""The steps of one conversion: each artifact made, compared with the original, then published."""

# Tested by tests/artifacts/test_convert.py.

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from ultraface_deploy import models
from ultraface_deploy.agreement.comparison import Comparison, Reference
from ultraface_deploy.agreement.precision import Precision
from ultraface_deploy.artifacts.batches import FORMATS, require_same, set_inputs, single
from ultraface_deploy.artifacts.choose import installed
from ultraface_deploy.artifacts.folder import Artifact, ArtifactFolder, describe_files, file_names
from ultraface_deploy.artifacts.plan import Step
from ultraface_deploy.artifacts.recognition import sound_files
from ultraface_deploy.artifacts.source import ModelSource
from ultraface_deploy.artifacts.verify import open_reference, require_passed, verify_artifact
from ultraface_deploy.converters import Conversion, Format, format_and_files, get_format
from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.family.tensors import SAFETENSORS
from ultraface_deploy.quantize import Int8, Int8Options
from ultraface_deploy.safe.files import make_folder
from ultraface_deploy.safe.images import embedded_images

if TYPE_CHECKING:
    from ultraface_deploy.quantize.calibrate import OnPhotograph
    from ultraface_deploy.quantize.quantizer import Quantizer

Report = Callable[[str], None]


@dataclass(frozen=True)
class How:
    """What the user wants of every step; see the arguments of `convert`."""

    int8: Int8Options
    progress: OnPhotograph | None
    needs_faces: bool
    opset: int | None
    batch: int | None


class Work:
    """One conversion run: the folder as it grows, and a scratch folder beside it."""

    def __init__(
        self,
        folder: ArtifactFolder,
        source: ModelSource,
        scratch: Path,
        report: Report,
        how: How,
    ) -> None:
        self.folder = folder
        self.source = source
        self.scratch = scratch
        self.report = report
        self.how = how
        self._reference: Reference | None = None
        self._quantizer: Quantizer | None = None

    def reusable(self, step: Step) -> bool:
        """Whether the folder already holds a step's artifact, unchanged."""
        if not self.folder.has(step.format, step.precision):
            return False
        artifact = self.folder.find(step.format, step.precision)
        return self.folder.check_files(artifact) is None

    def add_source(self) -> None:
        """Put the checkpoint beside its artifacts, so that the folder can always be verified."""
        if self.source.format == "torch" and not self.reusable(Step("torch")):
            name = source_name(self.source, self.folder.spec.name)
            copy = self.scratch / name
            shutil.copyfile(self.source.file, copy)
            self.source.require_unchanged(copy)
            artifact = describe_files("torch", "fp32", {name: copy})
            self.folder = self.folder.publish(artifact, [copy], {})

    def make(self, step: Step) -> None:
        """Convert, compare and publish one artifact."""
        if step == Step("onnx") and self.source.root == "onnx":
            self._adopt()
            return
        record = get_format(step.format)
        way = record.way(step.precision)
        files = self._names(record.suffixes, step.precision)
        if isinstance(way, Int8):
            self._quantize(record, way, list(files.values()))
        else:
            self._convert(record, step.precision, list(files.values()))
        if record.name in FORMATS:
            (file,) = files.values()
            set_inputs(file, self.how.batch)
        artifact = describe_files(step.format, step.precision, files)
        self._check_and_publish(artifact, list(files.values()), _tools(record))

    def _convert(self, record: Format, precision: Precision, outputs: list[Path]) -> None:
        source = record.source_for(precision)
        assert source is not None
        sources = self._sound(source)
        record.convert(Conversion(sources, self.folder.spec, precision, tuple(outputs)))
        if record.name in FORMATS and precision == "fp32":
            self._set_opset(outputs[0])

    def _set_opset(self, file: Path) -> None:
        if self.how.opset is None:
            return
        from ultraface_deploy.converters.onnx.files import load, save
        from ultraface_deploy.converters.onnx.opset import set_opset

        save(set_opset(load(file), self.how.opset), file)

    def _quantize(self, record: Format, int8: Int8, outputs: list[Path]) -> None:
        """Search for the INT8 artifact of a format; one calibration serves them all."""
        from ultraface_deploy.artifacts.int8 import runner_of

        # Absolute, because the runtimes that judge candidates run in folders of their own.
        sources = {
            format: [path.resolve() for path in self._sound(format)]
            for format in ("onnxsim", *int8.sources)
        }
        self._quantizer = self._quantizer or self._new_quantizer(sources["onnxsim"][0])

        def objection(files: Sequence[Path]) -> str | None:
            made = {output.name: file for output, file in zip(outputs, files, strict=True)}
            artifact = describe_files(record.name, "int8", made)
            found = self._compare(artifact, files).reason
            return None if found is None else f"of the photographs that ship: {found}"

        judge = installed(record.name, "int8")
        runner = runner_of(judge, self.folder.spec, self.scratch, objection)
        self._quantizer.make(record.name, int8, runner, sources, self._fp32_bytes(record), outputs)

    def _sound(self, format: str) -> tuple[Path, ...]:
        files = sound_files(self.folder, self.folder.find(format), installed(format))
        # What is made from an ONNX file is made from one that takes a single input.
        return (single(files[0], self.scratch),) if format in FORMATS else files

    def _fp32_bytes(self, record: Format) -> int:
        """Size of a format's FP32 artifact, which is made to be measured if nobody asked for it.

        Where the format has none, the simplified ONNX file stands for it.
        """
        if "fp32" not in record.precisions:
            return self.folder.find("onnxsim").bytes
        if self.reusable(Step(record.name)):
            return self.folder.find(record.name).bytes
        made = list(self._names(record.suffixes, "fp32").values())
        self._convert(record, "fp32", made)
        return sum(path.stat().st_size for path in made)

    def _new_quantizer(self, onnx_file: Path) -> Quantizer:
        from ultraface_deploy.artifacts.int8 import open_quantizer

        quantizer = open_quantizer(
            onnx_file,
            self.folder.spec,
            self.how.int8,
            self.scratch / "int8",
            report=self.report,
            progress=self.how.progress,
            own_table=self._table,
        )
        # The table of other people's photographs is worth keeping: it is reviewed, and reused.
        given = self.how.int8.calibration
        if given is not None and given.is_dir():
            quantizer.table.save(self._table)
        return quantizer

    @property
    def _table(self) -> Path:
        return self.folder.path / f"{self.folder.spec.name}{models.TABLE_SUFFIX}"

    def _adopt(self) -> None:
        """Take other people's ONNX or Caffe files in, at the wanted size and with that head."""
        files = self._names(get_format("onnx").suffixes, "fp32")
        (output,) = files.values()
        own, wanted = self.source.own_spec, self.folder.spec
        plain = self.how.opset is None and self.how.batch == 1
        if own == wanted and plain and models.ships(self.source.sha256):
            self._copy_shipped(files, output)
            return
        from ultraface_deploy.converters.onnx.files import save
        from ultraface_deploy.converters.onnx.half import to_float
        from ultraface_deploy.converters.onnx.prepare import prepare

        record, originals = format_and_files(self.source.file)
        assert record.adopt is not None
        model, format = prepare(record.adopt(originals), own, wanted), record.name
        self.source.require_unchanged()
        if in_halves := record.stored_precision(originals) == "fp16":
            to_float(model.graph)
        save(model, output)
        self._set_opset(output)
        set_inputs(output, self.how.batch)
        artifact = describe_files("onnx", "fp32", files)
        same = _comparable(own) == _comparable(wanted)
        if same and in_halves:
            # Most of what the two differ by is the rounding of the original.
            self._reference = Reference(format, installed(format).load(originals, own))
            require_passed(self._compare(replace(artifact, precision="fp16"), [output]))
        # At another size, with decoded boxes or unrounded the file itself is the only reference.
        if in_halves or not same:
            format, originals, own = "onnx", (output,), wanted
        self._reference = Reference(format, installed(format).load(originals, own))
        self._check_and_publish(artifact, [output], {"onnx": version("onnx")})

    def _copy_shipped(self, files: dict[str, Path], output: Path) -> None:
        """Take a file that ships as it is: it needs no checking, and so no package to check it."""
        shutil.copyfile(self.source.file, output)
        self.source.require_unchanged(output)
        session = installed("onnx").load([output], self.folder.spec)
        self._reference = Reference("onnx", session)
        self._check_and_publish(describe_files("onnx", "fp32", files), [output], {})

    def _names(self, suffixes: Sequence[str], precision: Precision) -> dict[str, Path]:
        names = file_names(self.folder.spec.name, suffixes, precision)
        files = {name: self.scratch / name for name in names}
        for file in files.values():
            make_folder(file.parent)
        return files

    def _compare(self, artifact: Artifact, made: Sequence[Path]) -> Comparison:
        """Compare an artifact with the original on the photographs that ship."""
        self._reference = self._reference or open_reference(self.folder)
        judge = installed(artifact.format, artifact.precision)
        comparison = verify_artifact(
            self.folder.spec, artifact, made, judge, self._reference, embedded_images()
        )
        return comparison.needing_faces() if self.how.needs_faces else comparison

    def _check_and_publish(
        self, artifact: Artifact, made: list[Path], tools: dict[str, str]
    ) -> None:
        if self.how.batch != 1:
            judge = installed(artifact.format, artifact.precision)
            require_same(self.folder.spec, judge, artifact, made)
        comparison = self._compare(artifact, made)
        require_passed(comparison)
        estimate = get_format(artifact.format).estimate(made)
        verified = replace(artifact, verification=asdict(comparison), estimate=estimate)
        self.folder = self.folder.publish(verified, made, tools)
        names = ", ".join(dict.fromkeys(name.partition("/")[0] for name in artifact.files))
        self.report(
            f"{artifact.id:<14} {artifact.bytes / 1000:7.0f} kB  {names}  "
            f"(agrees with {comparison.reference}, by {comparison.compared_by}: scores within "
            f"{comparison.max_abs_scores:.1e}, faces {comparison.detections} of "
            f"{comparison.reference_detections})"
        )
        if estimate is not None:
            words = ", ".join(f"{key} {value}" for key, value in estimate.items())
            self.report(f"{artifact.id:<14} estimated: {words}")


def source_name(source: ModelSource, model: str) -> str:
    """Name the copy of a checkpoint that stands beside its artifacts."""
    return f"{model}{SAFETENSORS if source.file.suffix == SAFETENSORS else '.pth'}"


def _comparable(spec: ModelSpec) -> ModelSpec:
    """The spec but for what makes no difference to outputs that are compared."""
    return replace(spec, name="any", head="raw" if spec.head == "conv" else spec.head)


def _tools(record: Format) -> dict[str, str]:
    found = {}
    for package in record.packages:
        try:
            found[package.lower()] = version(package)
        except PackageNotFoundError:
            continue
    return found
