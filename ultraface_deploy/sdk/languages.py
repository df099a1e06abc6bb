"""Bindings: the C interface in other languages, one folder each under `bindings/`.

A folder holds what goes into a project under `bindings/<name>/`, and `binding.json`, its record.
Its `test.sh` builds and tests it against `build/shared/libultraface.so` and `conformance/` of the
project; `frames.sh N`, where there is one, detects a picture N times.
"""

# Tested by tests/sdk/test_bindings.py.

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ultraface_deploy.errors import InputError
from ultraface_deploy.safe.records import Version, read

_FOLDER = Path(__file__).parent / "bindings"
_RECORD = "binding.json"
_TEST, _BEGIN = "test.sh", 'cd "$(dirname "$0")"\n'


@dataclass(frozen=True)
class Binding:
    """What `binding.json` says.

    `programs` must be there for its test; `packages` are Debian's that bring them. `includes` are
    bindings that this one builds on. `untested` says what its test cannot try, if anything. `app`
    are the files, once built, of a minimal program beside the library.
    """

    schema: Version
    title: str
    programs: Sequence[str]
    packages: Sequence[str]
    includes: Sequence[str]
    untested: str
    app: Sequence[str] = ()


def bindings() -> dict[str, Binding]:
    """Return the record of each language, by name."""
    return {
        path.parent.name: read(path, Binding, "record of a binding", "install this package again")
        for path in sorted(_FOLDER.glob(f"*/{_RECORD}"))
    }


def parse_bindings(names: Iterable[str]) -> tuple[str, ...]:
    """Return the named bindings and those that they include.

    Raises:
        InputError: there is no binding of that name.
    """
    known = bindings()
    chosen: dict[str, None] = {}
    for name in names:
        if name not in known:
            raise InputError(f"`binding` {name}: unknown; choose from {', '.join(known)}")
        chosen.update(dict.fromkeys((*known[name].includes, name)))
    return tuple(chosen)


def copy_binding(name: str, project: Path) -> None:
    """Copy a binding's files to their place in a project; its test says what it needs."""
    target = project / "bindings" / name
    for path in sorted((_FOLDER / name).rglob("*")):
        place = target / path.relative_to(_FOLDER / name)
        if path.is_file() and path.name != _RECORD and path.suffix != ".pyc":
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)
    test = target / _TEST
    test.write_text(test.read_text().replace(_BEGIN, f"{_BEGIN}{_needing(bindings()[name])}", 1))


def _needing(binding: Binding) -> str:
    """Return the lines of a shell that end a test where a program is missing."""
    return (
        f"for program in {' '.join(binding.programs)}; do\n"
        '    type "$program" >/dev/null 2>&1 || {\n'
        f'        echo "{_TEST}: $program is not installed; Debian: apt-get install'
        f' {" ".join(binding.packages)}" >&2\n'
        "        exit 3\n"
        "    }\n"
        "done\n"
    )
