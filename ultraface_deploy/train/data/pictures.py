"""Finding the picture that a label file means: names there are often not quite the file's."""

# Tested by tests/train/data/test_labels.py.

from __future__ import annotations

from functools import cached_property
from pathlib import Path, PureWindowsPath

from ultraface_deploy.errors import InputError
from ultraface_deploy.safe.files import inside
from ultraface_deploy.safe.images import IMAGE_SUFFIXES


class Pictures:
    """The pictures of a folder, looked up by the names that labels give them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find(self, name: str) -> Path:
        """Return the picture of a name; where there is none, the path at which it is missing.

        Beside the name as it stands, Windows separators, another case of the letters and a path
        of the machine that wrote the labels (its last part counts) are understood.

        Raises:
            InputError: the name leads out of the folder, and its last part is not there either.
        """
        try:
            direct: Path | None = inside(self.folder, name.replace("\\", "/"))
        except InputError:
            direct = None
        if direct is not None and direct.is_file():
            return direct
        found = self._names.get(PureWindowsPath(name).name.lower())
        if found is not None:
            return found
        return direct or inside(self.folder, name)

    def with_stem(self, stem: str) -> Path | None:
        """Return the picture of this stem with any suffix that pictures have."""
        return self._stems.get(stem) or self._stems.get(stem.lower())

    @cached_property
    def _names(self) -> dict[str, Path]:
        return {path.name.lower(): path for path in self._files}

    @cached_property
    def _stems(self) -> dict[str, Path]:
        stems = {path.stem.lower(): path for path in self._files}
        return stems | {path.stem: path for path in self._files}

    @cached_property
    def _files(self) -> list[Path]:
        if not self.folder.is_dir():
            return []
        return sorted(
            path for path in self.folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES
        )
