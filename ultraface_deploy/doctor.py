"""What is installed here and what this processor can do."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from ultraface_deploy import __version__
from ultraface_deploy.backends import backend_names, get_backend
from ultraface_deploy.bench.machine import allowed_cores, cpu_features, cpu_model
from ultraface_deploy.converters import get_format, target_names
from ultraface_deploy.errors import MissingDependency


def examine() -> dict[str, Any]:
    """Return versions, processor, backends and converters, with advice for what is missing."""
    return {
        "schema": 1,
        "version": __version__,
        "machine": {
            "python": platform.python_version(),
            "system": f"{platform.system()} {platform.machine()}",
            "cpu": cpu_model(),
            "cores": len(allowed_cores()),
            "features": cpu_features(),
        },
        "backends": [_backend(name) for name in backend_names()],
        "converters": [_converter(name) for name in target_names()],
    }


def _backend(name: str) -> dict[str, str | None]:
    backend = get_backend(name)
    missing = None
    try:
        backend.require()
    except MissingDependency as error:
        missing = str(error)
    return {
        "name": name,
        "version": backend.version(),
        "reads": ", ".join(backend.formats),
        "missing": missing,
    }


def _converter(name: str) -> dict[str, str | None]:
    record, missing = get_format(name), None
    try:
        record.require()
    except MissingDependency as error:
        missing = str(error)
    return {
        "name": name,
        "version": _version(record.packages[0]) if record.packages else None,
        "reads": record.source,
        "missing": missing,
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
