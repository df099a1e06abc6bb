"""A few of the random pictures of `make fuzz-c`, under the compilers' sanitizers."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.converters.c.conftest import Case, needs
from tests.fuzz.pictures import builds

pytestmark = pytest.mark.native


def needs_memory_sanitizer() -> None:
    """Skip the test where clang lacks its sanitizers, a package of their own in Debian."""
    asked = [needs("clang"), "-print-resource-dir"]
    folder = Path(subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip())
    if not list(folder.glob("lib/*/libclang_rt.msan*")):
        pytest.skip("needs clang's sanitizers; Debian: apt-get install libclang-rt-dev")


def test_sanitizers_find_nothing(make_case: Callable[..., Case], tmp_path: Path) -> None:
    needs("gcc"), needs_memory_sanitizer()
    made = list(builds(make_case("slim-320"), tmp_path))
    assert {build.sanitizers for build in made} == {"address,undefined", "memory"}
    for build in made:
        answer = build.run(100, 7)
        assert answer.returncode == 0, f"{build}\n{answer.stdout}{answer.stderr[:3000]}"


def test_sanitizers_find_a_read_behind_the_picture(
    make_case: Callable[..., Case], tmp_path: Path
) -> None:
    needs("gcc")
    case = make_case("slim-320")
    text = case.source.read_text()
    right = "columns[count - 1].left + 8 > readable"
    assert right in text
    broken = tmp_path / "int8.c"
    broken.write_text(text.replace(right, "columns[count - 1].left + 8 > readable + 64"))
    (tmp_path / "int8.h").write_text(case.source.with_suffix(".h").read_text())
    case = Case(case.spec, broken, case.network, case.int8, tmp_path)
    statuses = [build.run(200, 7).returncode for build in builds(case, tmp_path, ["gcc"], ["int8"])]
    assert any(statuses)
