"""All errors that a user can meet; each carries the exit code of the command line.

A message is one line: what is wrong, with which file or parameter, what to do next. A parameter
stands in backquotes, `input_size`: the command line says --input-size in its place.
"""

from __future__ import annotations

__all__ = [
    "BackendError",
    "CheckFailed",
    "InputError",
    "LibraryError",
    "MissingDependency",
    "NoSuchSplit",
    "RemoteFailed",
    "ToolFailed",
    "UltraFaceError",
    "WorkerFailed",
]


class UltraFaceError(Exception):
    """Base of all errors that this package raises on purpose."""

    exit_code = 2


class InputError(UltraFaceError):
    """A file, an option or the usage is wrong (exit code 2)."""


class NoSuchSplit(InputError):  # noqa: N818 - an answer rather than a malfunction
    """The data set does not have the split that was asked for (exit code 2)."""


class BackendError(UltraFaceError):
    """A runtime refused an artifact, or its outputs are not a detector's (exit code 2)."""


class LibraryError(UltraFaceError):
    """The C interface of a generated project returned an error (exit code 2).

    Attributes:
        status: the code, one of `ultraface_status` in `ultraface.h`.
    """

    def __init__(self, status: int, message: str) -> None:
        # All that it is made of, for other processes, which make it anew.
        super().__init__(status, message)
        self.status = status

    def __str__(self) -> str:
        return str(self.args[1])


class CheckFailed(UltraFaceError):  # noqa: N818 - the outcome of a check, not a malfunction
    """A verification, a comparison or an accuracy gate failed (exit code 1)."""

    exit_code = 1


class ToolFailed(UltraFaceError):  # noqa: N818 - names the outcome
    """A native step crashed, hung, or ended without its result (exit code 1).

    Attributes:
        output: what a program printed before, where it ended by itself.
    """

    output: str = ""

    exit_code = 1


class WorkerFailed(UltraFaceError):  # noqa: N818 - names the outcome
    """A timed configuration crashed, hung, refused its files or found other faces (exit code 1)."""

    exit_code = 1


class RemoteFailed(UltraFaceError):  # noqa: N818 - names the outcome
    """A board could not be reached, or could not run the benchmark (exit code 1)."""

    exit_code = 1


class MissingDependency(UltraFaceError):  # noqa: N818 - reads as what it is
    """A needed package or program is not installed (exit code 3)."""

    exit_code = 3

    @classmethod
    def package(cls, package: str, extra: str, purpose: str) -> MissingDependency:
        """Build the error for a Python package that one of our extras would install."""
        return cls(
            f"{purpose} needs the package {package!r}: pip install 'ultraface-deploy[{extra}]'"
        )
