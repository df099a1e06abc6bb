"""The errors a user can meet; each carries the exit code of the command line.

A message is one line: what is wrong, with which file or option, what to do next.
"""

from __future__ import annotations


class UltraFaceError(Exception):
    """Base of all errors this package raises on purpose."""

    exit_code = 2


class InputError(UltraFaceError):
    """A file, an option or the usage is wrong (exit code 2)."""


class CheckFailed(UltraFaceError):  # noqa: N818 - the outcome of a check, not a malfunction
    """A verification, a comparison or an accuracy gate failed (exit code 1)."""

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
