"""What a format is: its files, what they are made from, and how, in each precision."""

# Tested by tests/converters/test_steps.py.

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ultraface_deploy.agreement.precision import Precision
from ultraface_deploy.errors import InputError, MissingDependency
from ultraface_deploy.family.spec import Architecture, Head, ModelSpec
from ultraface_deploy.quantize.int8 import Int8
from ultraface_deploy.safe import toolbox
from ultraface_deploy.safe.files import refuse_pointer, require_within

if TYPE_CHECKING:
    import onnx

Files = Sequence[Path]


@dataclass(frozen=True)
class Conversion:
    """One job: the files to read, what the network is, and the files to write.

    The outputs lie in a scratch folder; the caller verifies them before they get their names in
    the artifact folder.
    """

    sources: tuple[Path, ...]
    spec: ModelSpec
    precision: Precision
    outputs: tuple[Path, ...]


Make = Callable[[Conversion], None]


@dataclass(frozen=True)
class Format:
    """A file format. Its record imports no package of it before one of its functions is called.

    Attributes:
        name: what stands after `--to` and in manifests.
        suffixes: of its files in their order, the first of which stands for all on a command line.
        source: the format it is made from; None for what is never made here.
        precisions: what makes it in each: a conversion, or the record of its INT8.
        packages: Python modules that making it imports.
        extra: what installs them.
        aliases: other suffixes of the first file.
        check: raises `InputError` where the files are damaged or do not belong together. Called
            before a runtime sees files that nobody has verified; imports no runtime.
        stated_spec: reads what a file of our own says it is, None for other people's files.
        input_size: reads (width, height) off the files, None where they do not say or where only
            a runtime can tell.
        channels: reads the channels of the input off the files, 3 where they do not say.
        stored_precision: reads how the files are stored, FP32 where they do not say.
        adopt: reads other people's files as ONNX; None where they cannot be converted from.
        in_all: whether `--to all` means it too.
        estimate: returns what the tool that made the files expects of them, for the manifest.
        sources: the format it is made from in a precision, where that is not `source`.
        tool: the maker's tool that making it calls, see `safe.toolbox`.
        heads: the heads that it is made with; `conv` in FP32 and FP16.
        chips: what it is compiled for, the default first; none where one file runs everywhere.
        refused_chips: those that were tried, and why they are not offered.
        architectures: the networks that it is made from; empty where all are.
        refuse: raises `InputError` for another network that it is not made from.
    """

    name: str
    suffixes: tuple[str, ...]
    source: str | None = None
    precisions: Mapping[Precision, Make | Int8] = field(default_factory=dict)
    packages: tuple[str, ...] = ()
    extra: str = "convert"
    aliases: tuple[str, ...] = ()
    check: Callable[[Files], None] = lambda files: None
    stated_spec: Callable[[Files], ModelSpec | None] = lambda files: None
    input_size: Callable[[Files], tuple[int, int] | None] = lambda files: None
    channels: Callable[[Files], int] = lambda files: 3
    stored_precision: Callable[[Files], Precision] = lambda files: "fp32"
    adopt: Callable[[Files], onnx.ModelProto] | None = None
    in_all: bool = True
    estimate: Callable[[Files], Mapping[str, Any] | None] = lambda files: None
    sources: Mapping[Precision, str] = field(default_factory=dict)
    tool: str | None = None
    heads: tuple[Head, ...] = ("raw", "decoded")
    chips: tuple[str, ...] = ()
    refused_chips: Mapping[str, str] = field(default_factory=dict)
    architectures: tuple[Architecture, ...] = ()
    refuse: Callable[[ModelSpec], None] = lambda spec: None

    def source_for(self, precision: Precision) -> str | None:
        """Return the format it is made from in a precision."""
        return self.sources.get(precision, self.source)

    def missing(self) -> str | None:
        """Return the first package that is not installed, without importing any."""
        return next((package for package in self.packages if find_spec(package) is None), None)

    def require(self) -> None:
        """Refuse to go on without what making it imports.

        Raises:
            MissingDependency: says what to install.
        """
        if missing := self.missing():
            raise MissingDependency.package(missing, self.extra, f"converting to {self.name}")
        if self.tool is not None:
            toolbox.require(self.tool)

    def require_head(self, head: Head, precision: Precision) -> None:
        """Refuse a head that the format is not made with.

        Raises:
            InputError: says which it has.
        """
        if head not in self.heads:
            raise InputError(
                f"{self.name} is not offered with `head` {head}, only with "
                f"{', '.join(self.heads)}; choose one of these, or onnx or onnxsim"
            )
        if head == "conv" and precision == "int8":
            raise InputError(
                "`head` conv with `int8`: our INT8 is planned over the whole network; leave out "
                "one of the two, or quantise the cut ONNX file with the tool of the NPU's maker"
            )

    def require_network(self, spec: ModelSpec) -> None:
        """Refuse a network that the format is not made from.

        Raises:
            InputError: says which are, or what of it the format cannot do.
        """
        if self.architectures and spec.architecture not in self.architectures:
            raise InputError(
                f"{self.name} is not offered for {spec.name}, of the kind {spec.architecture}; for "
                f"{', '.join(self.architectures)} it is; choose another format"
            )
        self.refuse(spec)

    def chip(self, wanted: str | None) -> str:
        """Return the chip to compile for: the one wanted, unless that is another format's."""
        return wanted if wanted is not None and wanted in self.chips else self.chips[0]

    def way(self, precision: Precision) -> Make | Int8:
        """Return what makes the format in a precision.

        Raises:
            InputError: it has none.
        """
        if precision not in self.precisions:
            raise InputError(
                f"{self.name} does not offer {precision}; it offers "
                f"{', '.join(self.precisions)}: choose with `precision`"
            )
        return self.precisions[precision]

    @property
    def int8(self) -> Int8 | None:
        """The record of its INT8; None where it has none."""
        return next((way for way in self.precisions.values() if isinstance(way, Int8)), None)

    def convert(self, job: Conversion) -> None:
        """Write the outputs of a job.

        Raises:
            MissingDependency: a package is not installed.
            InputError: the format has no such precision.
            ToolFailed: a native tool failed, or left no file.
        """
        self.require()
        make = self.way(job.precision)
        assert not isinstance(make, Int8)
        # Native tools run in a folder of their own, where relative paths would mean nothing.
        sources = tuple(path.resolve() for path in job.sources)
        outputs = tuple(path.resolve() for path in job.outputs)
        make(replace(job, sources=sources, outputs=outputs))

    @property
    def known_by(self) -> tuple[str, ...]:
        """Suffixes by which other people's files are known for this format."""
        return (Path(f"x{self.suffixes[0]}").suffix, *self.aliases)

    def companions(self, path: Path) -> tuple[Path, ...]:
        """Return all files that belong to a file of other people's making, that file first.

        Raises:
            InputError: one is missing, or is a Git LFS pointer.
        """
        inner = self.suffixes[0].partition("/")[2]
        if inner:
            # The files of one folder, whose name alone is the user's.
            root = path.absolute().parents[inner.count("/")]
            files = tuple(root / suffix.partition("/")[2] for suffix in self.suffixes)
            if files[0] != path.absolute():
                raise InputError(
                    f"{path}: is read as a part of its folder, {inner} in it; give the folder"
                )
            require_within(root, files)
        else:
            first, *others = self.suffixes
            if path.name.endswith(first):
                stem = path.name.removesuffix(first)
                files = (path, *(path.with_name(f"{stem}{suffix}") for suffix in others))
            else:
                last = (Path(f"x{suffix}").suffix for suffix in others)
                files = (path, *(path.with_suffix(suffix) for suffix in last))
        for file in files[1:]:
            if not file.is_file():
                raise InputError(
                    f"{path}: needs {file.name} beside it, which is missing; copy it there"
                )
            refuse_pointer(file)
        return files
