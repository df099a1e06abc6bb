"""Loading an artifact in a child process, for files that may crash a runtime."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ultraface_deploy.backends import get_backend
from ultraface_deploy.family.spec import ModelSpec


def load(name: str, files: list[str], spec: Mapping[str, Any]) -> None:
    """Load with a backend; what it raises comes back to the parent."""
    get_backend(name).load([Path(file) for file in files], ModelSpec.from_dict(spec))
