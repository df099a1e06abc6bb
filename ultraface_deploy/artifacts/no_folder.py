"""What is wrong with a path that is no artifact folder, and what to do: the end of a message."""

# Tested by tests/artifacts/test_folder.py.

from __future__ import annotations

from pathlib import Path
from shlex import quote

from ultraface_deploy.converters import format_of
from ultraface_deploy.safe.files import require_file
from ultraface_deploy.safe.kinds import not_a
from ultraface_deploy.safe.refusals import nearest


def no_folder(path: Path, manifest: str) -> str:
    """Return why a path is no artifact folder; one nearby may be meant.

    Args:
        path: what was given as one.
        manifest: the name of the file that every such folder has.

    Raises:
        InputError: it is a file that cannot be read.
    """
    if path.is_file():
        return _a_file(path, manifest)
    if (within := next(path.glob(f"*/{manifest}"), None)) is not None:
        return f"no artifact folder itself; give one that is in it, such as {within.parent}"
    if not path.exists() and (near := nearest(path, "folder")):
        return f"no such artifact folder; did you mean {near}?"
    return (
        f"no artifact folder ({manifest} is missing); "
        f"make one with: ultraface-deploy convert MODEL --to all -o {quote(str(path))}"
    )


def _a_file(path: Path, manifest: str) -> str:
    require_file(path, "model")
    if (path.parent / manifest).is_file():
        return f"is a file of an artifact folder; give the folder, {path.parent}"
    own = f"artifacts/{quote(path.stem)}"
    known = format_of(path)
    if known is None:
        return (
            f"{not_a(path, 'artifact folder') or 'is not an artifact folder'}; "
            "make one with: ultraface-deploy convert MODEL --to all"
        )
    if known.name == "torch" or known.adopt:
        made = f"make one of it: ultraface-deploy convert {quote(str(path))} --to all -o {own}"
        return f"is a single file, not an artifact folder; {made}"
    return (
        "is a single file, not an artifact folder; detect, verify, bench and eval take it as it "
        "is; for all else convert the network that it was made from: "
        f"ultraface-deploy convert MODEL --to all -o {own}"
    )
