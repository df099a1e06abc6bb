"""What a converter is: one typed step from an artifact of one format to one of another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from ultraface_deploy.agreement.precision import Precision
from ultraface_deploy.errors import InputError, MissingDependency
from ultraface_deploy.family.spec import ModelSpec


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


@dataclass(frozen=True)
class Converter:
    """A step of the road, found by the name after `--to`.

    `source` is the format it starts from, `suffixes` those of the files it writes, `packages` the
    Python modules it imports and `extra` what installs them.
    """

    format: str
    source: str
    suffixes: tuple[str, ...]
    precisions: tuple[Precision, ...]
    packages: tuple[str, ...]
    extra: str
    run: Callable[[Conversion], None]

    def missing(self) -> str | None:
        """Return the first package that is not installed, without importing any."""
        return next((package for package in self.packages if find_spec(package) is None), None)

    def convert(self, job: Conversion) -> None:
        """Write the outputs of a job.

        Raises:
            MissingDependency: a package is not installed.
            InputError: the format has no such precision.
            ToolFailed: a native tool failed, or left no file.
        """
        if missing := self.missing():
            raise MissingDependency.package(missing, self.extra, f"converting to {self.format}")
        if job.precision not in self.precisions:
            raise InputError(
                f"--to {self.format} does not offer {job.precision}; "
                f"it offers {', '.join(self.precisions)}"
            )
        # Native tools run in a folder of their own, where relative paths would mean nothing.
        sources = tuple(path.resolve() for path in job.sources)
        outputs = tuple(path.resolve() for path in job.outputs)
        self.run(replace(job, sources=sources, outputs=outputs))
