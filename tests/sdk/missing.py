"""Prints Debian's packages of the bindings whose programs are not installed."""

from __future__ import annotations

import shutil

from ultraface_deploy.sdk.languages import bindings


def missing_packages() -> list[str]:
    """Return their names, each once."""
    absent = [
        binding
        for binding in bindings().values()
        if any(shutil.which(program) is None for program in binding.programs)
    ]
    return sorted({name for binding in absent for name in binding.packages})


if __name__ == "__main__":
    print(*missing_packages())
