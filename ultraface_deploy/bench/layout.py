"""The package's files in the layout they have when installed, for where it is not: boards, Arm."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import ultraface_deploy

# What the benchmark imports on another machine besides the runtimes: module and package.
NEEDED = {
    "numpy": "numpy",
    "cv2": "opencv-python-headless",
    "filelock": "filelock",
    "msgspec": "msgspec",
    "platformdirs": "platformdirs",
    "psutil": "psutil",
}
# In a checkout these stand beside the package.
_SUBPACKAGES = ("backends", "converters", "models")


def installed_files() -> Iterator[tuple[str, Path]]:
    """Yield what a benchmark needs of the package: the path when installed, and where it lies."""
    main = Path(ultraface_deploy.__file__).resolve().parent
    roots = {"ultraface_deploy": main}
    for name in _SUBPACKAGES:
        places = (Path(place) / name for place in ultraface_deploy.__path__)
        roots[f"ultraface_deploy/{name}"] = next(place for place in places if place.is_dir())
    for prefix, root in roots.items():
        for path in sorted(root.rglob("*")):
            if path.suffix in (".py", ".jpg", ".c", ".h") or path.name == "registry.json":
                yield f"{prefix}/{path.relative_to(root).as_posix()}", path
