"""What a backend is: tensors in, tensors out, nothing else."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import ClassVar

import numpy as np

from ultraface_deploy.agreement.comparison import Shown
from ultraface_deploy.agreement.precision import Precision, Tolerance, precision_record
from ultraface_deploy.backends.outputs import (
    Outputs,
    bind_outputs,
    fits,
    implausible,
    maps_among,
    names_of_outputs,
)
from ultraface_deploy.errors import BackendError, InputError, MissingDependency
from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.pipeline.preprocess import Tensor as Tensor

MAX_THREADS = 256
# Corners are offsets times at most a fifth of the image; see `family.boxes.decode`.
_DECODED_SCALE = 0.2

_OTHERWISE = "convert it again, or choose another `backend`"


class Session(ABC):
    """A loaded artifact. Threads that share one wait for each other: MNN and OpenCV need that."""

    def __init__(self, spec: ModelSpec) -> None:
        self.spec = spec
        self._alone = Lock()
        self.pool_of: int | None = None
        """The process that has the threads it computes with; None of one thread."""
        self.batch: int | None = 1
        """How many inputs the network takes at once; None for any number."""
        self.alternatives: Sequence[ModelSpec] = ()
        """What else the network may be until it has run once."""
        self.halves = False
        """Whether an INT8 artifact has the rest computed in half floats."""
        self.further: dict[str, tuple[int, ...]] = {}
        """Outputs of the last run that nobody asked for: shapes by name."""
        self.ends_at_maps = False
        """Whether the last run gave what the head's convolutions make, one by one."""

    def run(self, tensor: Tensor) -> Outputs:
        """Run the network once.

        Args:
            tensor: (1, 3, H, W) float32, contiguous, as `pipeline.preprocess` makes it.

        Returns:
            `scores` (1, N, C) after softmax and `boxes` (1, N, 4), float32, owned by the caller;
            of networks that have them, `landmarks` (1, N, 10).

        Raises:
            BackendError: the runtime failed.
        """
        return self.run_batch(tensor)

    def run_batch(self, tensor: Tensor) -> Outputs:
        """Run the network on several inputs.

        In one go where the network takes so many; a network of another fixed number is given
        parts of that many, the last filled up with zeros, and one that takes a single input runs
        once for each.

        Args:
            tensor: (B, channels, H, W) float32, contiguous.

        Returns:
            As `run`, with B in the place of 1.

        Raises:
            BackendError: the runtime failed, or its threads stayed behind in a forked process.
        """
        _refuse_fork(self.pool_of)
        with self._alone:
            if len(tensor) == 1 and self.batch in (None, 1):
                return self._bound(self._run(tensor))
            size = self.batch or len(tensor)
            parts = [tensor[at : at + size] for at in range(0, len(tensor), size)]
            found = [each for part in parts for each in self._run_part(part, size)]
        return {key: np.concatenate([each[key] for each in found]) for key in found[0]}

    def _run_part(self, part: Tensor, size: int) -> list[Outputs]:
        """Run once, and return the outputs of each of the inputs."""
        count = len(part)
        if count < size:
            missing = np.zeros((size - count, *part.shape[1:]), np.float32)
            part = np.concatenate([part, missing])
        named = self._run(np.ascontiguousarray(part))
        if size == 1:
            return [self._bound(named)]
        return [
            self._bound({name: value[at : at + 1] for name, value in named.items()})
            for at in range(count)
        ]

    def _bound(self, named: Mapping[str, Tensor]) -> Outputs:
        """Bind the outputs of one input."""
        kinds = (each for each in (self.spec, *self.alternatives) if fits(named, each))
        self.spec = next(kinds, self.spec) if self.alternatives else self.spec
        bound = bind_outputs(named, self.spec)
        maps = maps_among(named, self.spec)
        self.ends_at_maps = maps is not None
        known = maps or names_of_outputs(named, self.spec)
        self.further = {key: value.shape for key, value in named.items() if key not in known}
        return bound

    @abstractmethod
    def _run(self, tensor: Tensor) -> Mapping[str, Tensor]:
        """Return the runtime's outputs by its own names, each in a buffer of its own.

        The tensor is (1, channels, H, W), or as many as `batch` says.
        """


class Backend(ABC):
    """A runtime: what it reads, how close it comes, what installs it, and how it loads."""

    name: str
    formats: tuple[str, ...]
    """Artifact formats it reads, the one it runs best first."""
    refuses: frozenset[Precision] = frozenset()
    """Precisions of these formats that it computes otherwise than the runtime they are made for."""
    tolerances: ClassVar[Mapping[Precision, Tolerance]] = {}
    """Where it differs more, or less, than `agreement.precision` allows a precision."""
    halves: bool = False
    """Whether it can compute in half floats what an INT8 artifact leaves to floats."""
    runs_original: bool = False
    """Whether it runs the checkpoint itself, at any input size; chosen only by name."""
    module: str
    """The Python module that must be importable."""
    distribution: str
    """The package that carries the module, for its version."""
    extra: str | None = None
    """What installs it; None for the base install."""
    _pool_of: int | None = None
    """The process that has threads of the runtime."""
    wheels: tuple[str, ...] = ()
    """Packages with aarch64 wheels that it needs on an emulated core; none: it cannot run there."""

    @property
    def is_for_use(self) -> bool:
        """Whether it is chosen where the user names none."""
        return self.timed and not self.runs_original

    @property
    def requirement(self) -> str:
        """What pip installs on a board."""
        return self.distribution

    def runs(self, format: str, precision: Precision) -> bool:
        """Whether it runs artifacts of a format in a precision, and is a judge of them."""
        return format in self.formats and precision not in self.refuses

    def shows(self, format: str) -> Shown:
        """Say what a comparison on it shows of the place where artifacts of a format run."""
        return "runtime"

    def times(self, format: str) -> bool:
        """Whether its milliseconds are those of a format's device; a simulator's are nobody's."""
        return self.shows(format) == "runtime"

    @property
    def timed(self) -> bool:
        """Whether its milliseconds mean anything for one of its formats."""
        return any(map(self.times, self.formats))

    def tolerance(self, precision: Precision, spec: ModelSpec) -> Tolerance:
        """Return how far an artifact may be from the original network on this runtime."""
        found = self.tolerances.get(precision) or precision_record(precision).tolerance
        if spec.head == "decoded" and found.boxes is not None:
            return replace(found, boxes=found.boxes * _DECODED_SCALE)
        return found

    def available(self) -> bool:
        """Whether the runtime is installed; imports nothing."""
        return find_spec(self.module) is not None

    def version(self) -> str | None:
        """Return the runtime's version, None where it is not installed."""
        try:
            return version(self.distribution)
        except PackageNotFoundError:
            return None

    def require(self) -> None:
        """Refuse to go on without the runtime.

        Raises:
            MissingDependency: says what to install.
        """
        if not self.available():
            if self.extra is None:
                raise MissingDependency(
                    f"backend {self.name} needs the package {self.distribution!r}: "
                    f"pip install {self.distribution}"
                )
            raise MissingDependency.package(self.distribution, self.extra, f"backend {self.name}")

    def load(
        self,
        files: Sequence[Path],
        spec: ModelSpec,
        threads: int = 1,
        precision: Precision = "fp32",
        halves: bool = False,
        alternatives: Sequence[ModelSpec] = (),
    ) -> Session:
        """Load an artifact and prove on noise that it runs.

        Args:
            files: the artifact's files in the order of its manifest.
            spec: what the network is.
            threads: how many threads one inference may use.
            precision: how the artifact is stored; lets a runtime compute in fp16 only for fp16.
            halves: whether an INT8 artifact passed with the rest computed in half floats; counts
                on a processor that has such arithmetic.
            alternatives: what else the network may be that reads the same input; the session is
                of the first whose outputs it has.

        Raises:
            MissingDependency: the runtime is not installed.
            InputError: a file's name is not UTF-8.
            BackendError: the runtime refuses the files, its outputs are not a detector's, or its
                threads stayed behind in a forked process.
        """
        self.require()
        if not 1 <= threads <= MAX_THREADS:
            raise InputError(f"`threads` {threads}: give 1 to {MAX_THREADS}")
        for path in files:
            # Native code crashes on such a name.
            if not str(path).isprintable() and str(path).encode(errors="ignore") != os.fsencode(
                path
            ):
                raise InputError(
                    f"{path}: its name is not UTF-8, which no runtime takes; rename it"
                )
        _refuse_fork(self._pool_of)
        in_halves = halves and self.halves and precision == "int8" and computes_halves()
        try:
            session = self._load(files, spec, threads, "fp16" if in_halves else precision)
            session.halves = in_halves
            if threads > 1:
                self._pool_of = session.pool_of = os.getpid()
            session.alternatives = alternatives
            outputs = session.run(probe_tensor(spec))
            session.alternatives = ()
        except Exception as error:  # every runtime raises its own kinds
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:400]
            raise BackendError(
                f"{files[0]}: {self.name} cannot run it ({reason}); {_OTHERWISE}"
            ) from error
        if problem := implausible(outputs):
            raise BackendError(
                f"{files[0]}: {self.name} runs it, but {problem}; "
                "convert it again from a network that finds faces"
            )
        return session

    @abstractmethod
    def _load(
        self, files: Sequence[Path], spec: ModelSpec, threads: int, precision: Precision
    ) -> Session:
        """Open the files with the runtime, which may compute floats in this precision."""

    def arena_kib(self, files: Sequence[Path]) -> int | None:
        """Return what memory in KiB a network takes on a microcontroller; None for others."""
        return None

    def input_size(self, files: Sequence[Path]) -> tuple[int, int] | None:
        """Return (width, height) of a file that only the runtime can read, None elsewhere."""
        return None


def _refuse_fork(pool_of: int | None) -> None:
    """Refuse to wait for ever for threads that only the process has that was forked."""
    if pool_of not in (None, os.getpid()):
        raise BackendError(
            "this process was forked from one in which the runtime has several threads, and they "
            "stayed there; start it otherwise (multiprocessing's method 'spawn'), or use 1 thread"
        )


def computes_halves(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether this is an Arm processor with arithmetic in half floats (FEAT_FP16)."""
    try:
        return "asimdhp" in cpuinfo.read_text().split()
    except OSError:
        return False


def probe_tensor(spec: ModelSpec) -> Tensor:
    """Return reproducible noise in the range of a normalised image, (1, 3, H, W) float32."""
    generator = np.random.default_rng(0)
    return generator.uniform(-1, 1, spec.input_shape).astype(np.float32)
