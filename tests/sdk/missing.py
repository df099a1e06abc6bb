"""Prints the packages of bindings whose programs are missing, as far as apt can install them."""

from __future__ import annotations

import shutil
import subprocess

from ultraface_deploy.sdk.languages import bindings


def missing_packages() -> list[str]:
    """Return their names, each once; a test whose program is in no package here skips."""
    absent = [
        binding
        for binding in bindings().values()
        if any(shutil.which(program) is None for program in binding.programs)
    ]
    names = {name for binding in absent for name in binding.packages}
    return sorted(name for name in names if _offered(name))


def _offered(package: str) -> bool:
    # Debian 12 has no Swift, for example; 13 has.
    if shutil.which("apt-cache") is None:
        return False
    done = subprocess.run(["apt-cache", "show", package], capture_output=True)
    return done.returncode == 0 and bool(done.stdout)


if __name__ == "__main__":
    print(*missing_packages())
