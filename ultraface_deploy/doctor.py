"""What is installed here and what this processor can do."""

from __future__ import annotations

import platform
from importlib.metadata import Distribution, PackageNotFoundError, distribution, version
from pathlib import Path
from typing import Any

from ultraface_deploy import __version__
from ultraface_deploy.backends import backend_names, get_backend, refused_backends
from ultraface_deploy.bench.cores import allowed_cores
from ultraface_deploy.bench.machine import cpu_features, cpu_model
from ultraface_deploy.converters import get_format, refused_formats, target_names
from ultraface_deploy.errors import MissingDependency
from ultraface_deploy.safe import toolbox


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
        "tools": [_tool(name) for name in toolbox.TOOLS],
        "refused": [*refused_backends(), *refused_formats()],
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


def _tool(name: str) -> dict[str, str | None]:
    there = toolbox.installed(name)
    advice = f"ultraface-deploy tools install {name}"
    return {
        "name": name,
        "version": None if there is None else toolbox.TOOLS[name].version,
        "reads": toolbox.TOOLS[name].what,
        "missing": advice if there is None else None,
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def sizes() -> list[dict[str, Any]]:
    """Return what this package and each installed one that it needs weigh, the heaviest first.

    A row has `package`, `version`, `bytes` on disk and `extras`: which extras bring it, with
    `base` for the plain install. Packages are counted once, where their files say so themselves.
    """
    brought = _brought_by()
    rows = []
    for name, extras in brought.items():
        found = distribution(name)
        # In a checkout the package itself lists only its links.
        size = sum(_size(found, file) for file in found.files or ())
        rows.append(
            {"package": name, "version": found.version, "bytes": size, "extras": sorted(extras)}
        )
    return sorted(rows, key=lambda row: -row["bytes"])


def _size(found: Distribution, file: Any) -> int:
    try:
        return Path(str(found.locate_file(file))).stat().st_size
    except OSError:
        return 0


def _brought_by() -> dict[str, set[str]]:
    """Walk the requirements of every extra; return the installed packages that each brings."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    found: dict[str, set[str]] = {}

    def walk(name: str, wanted: str, origin: str, seen: set[tuple[str, str]]) -> None:
        if (name, wanted) in seen:
            return
        seen.add((name, wanted))
        try:
            package = distribution(name)
        except PackageNotFoundError:
            return
        found.setdefault(name, set()).add(origin)
        for text in package.requires or ():
            needed = Requirement(text)
            if needed.marker is None or needed.marker.evaluate({"extra": wanted}):
                for extra in ("", *needed.extras):
                    walk(canonicalize_name(needed.name), extra, origin, seen)

    extras = distribution("ultraface-deploy").metadata.get_all("Provides-Extra") or []
    for extra in ("", *(each for each in extras if each not in ("all", "dev"))):
        walk("ultraface-deploy", extra, extra or "base", set())
    return {name: {"base"} if "base" in by else by for name, by in found.items()}
