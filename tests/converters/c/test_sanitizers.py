"""Random pictures under the compilers' sanitizers, part of `make test-c`."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.converters.c.conftest import Case, needs

pytestmark = pytest.mark.native

PROGRAM = Path(__file__).with_name("sanitize.c")


@pytest.mark.parametrize(
    ("compiler", "sanitizers", "kernels"),
    [
        ("gcc", "address,undefined", ""),
        ("gcc", "address,undefined", "portable"),
        ("clang", "memory", "portable"),
    ],
)
def test_sanitizers_find_nothing(
    compiler: str,
    sanitizers: str,
    kernels: str,
    make_case: Callable[..., Case],
    tmp_path: Path,
) -> None:
    needs(compiler)
    program = tmp_path / "program"
    flags = [f"-fsanitize={sanitizers}", "-fno-sanitize-recover=all", "-O1", "-g", "-w"]
    source = make_case("slim-320").source
    command = [compiler, *flags, f'-DSOURCE="{source}"', "-o", str(program), str(PROGRAM)]
    subprocess.run(command, check=True)
    environment = {**os.environ, "ULTRAFACE_KERNELS": kernels}
    answer = subprocess.run(
        [str(program), "100", "7"], capture_output=True, text=True, env=environment
    )
    assert answer.returncode == 0, answer.stderr[:3000]
