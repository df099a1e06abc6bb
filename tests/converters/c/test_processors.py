"""The same bytes on processors of other kinds, and no warning of any compiler: `make test-c`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from tests.converters.c.conftest import Case, Library, needs, pictures
from ultraface_deploy.converters.c import reference

pytestmark = pytest.mark.native

PROGRAM = Path(__file__).with_name("emulated.c")
# Kernels, the emulator with its core, the compiler.
PROCESSORS = [
    ("neon", ["qemu-aarch64", "-cpu", "cortex-a53"], ["aarch64-linux-gnu-gcc"]),
    ("neon", ["qemu-aarch64", "-cpu", "cortex-a72"], ["aarch64-linux-gnu-gcc"]),
    ("dotprod", ["qemu-aarch64", "-cpu", "cortex-a76"], ["aarch64-linux-gnu-gcc"]),
    ("i8mm", ["qemu-aarch64", "-cpu", "max"], ["aarch64-linux-gnu-gcc"]),
    ("portable", ["qemu-arm", "-cpu", "cortex-a7"], ["arm-linux-gnueabihf-gcc"]),
    ("portable", ["qemu-riscv64"], ["riscv64-linux-gnu-gcc"]),
    ("portable", ["qemu-s390x"], ["s390x-linux-gnu-gcc"]),  # big-endian
]
SIZES = [(300, 200), (1500, 300), (7, 5)]
STRICT = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror"]


def run(command: Sequence[str], program: Path, picture: bytes) -> tuple[str, np.ndarray]:
    """Return the kernels that ran, and scores and boxes."""
    answer = subprocess.run(
        [*command, str(program)], input=picture, capture_output=True, check=True
    )
    return answer.stderr.decode(), np.frombuffer(answer.stdout, np.uint8)


def wanted(case: Case, library: Library, picture: np.ndarray) -> np.ndarray:
    """The bytes that the program should print: outputs, and resized pictures by plain C here."""
    made = reference.run(case.int8, picture)
    parts = [made[name].astype("<f4").tobytes() for name in ("scores", "boxes")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ULTRAFACE_KERNELS", "portable")
        parts += [library.resized(made_up(*size)).tobytes() for size in SIZES]
    return np.frombuffer(b"".join(parts), np.uint8)


def made_up(width: int, height: int) -> np.ndarray:
    """The picture that the program makes up."""
    index = np.arange(3 * width * height, dtype=np.uint32)
    return (
        (index * index * np.uint32(2654435761) >> np.uint32(13))
        .astype(np.uint8)
        .reshape(height, width, 3)
    )


@pytest.mark.parametrize(
    ("kernels", "emulator", "compiler"), PROCESSORS, ids=lambda value: str(value[-1])
)
@pytest.mark.parametrize("name", ["slim-320", "rfb-320"])
def test_the_same_bytes_on_other_processors(
    name: str,
    kernels: str,
    emulator: list[str],
    compiler: list[str],
    make_case: Callable[..., Case],
    open_library: Callable[..., Library],
    tmp_path: Path,
) -> None:
    needs(compiler[0]), needs(emulator[0])
    case, program = make_case(name), tmp_path / "program"
    command = [*compiler, "-O2", "-static", f'-DSOURCE="{case.source}"', "-o", str(program)]
    subprocess.run([*command, str(PROGRAM)], check=True)
    for picture in pictures(case.spec)[2:4]:
        said, found = run(emulator, program, picture.tobytes())
        assert said == kernels
        np.testing.assert_array_equal(found, wanted(case, open_library(name), picture))


@pytest.mark.parametrize("simd", [False, True])
def test_the_same_bytes_in_web_assembly(
    simd: bool,
    make_case: Callable[..., Case],
    open_library: Callable[..., Library],
    tmp_path: Path,
) -> None:
    needs("node")
    if find_spec("ziglang") is None:
        pytest.skip("needs the package ziglang")
    case, program = make_case("slim-320"), tmp_path / "program.wasm"
    command = [sys.executable, "-m", "ziglang", "cc", "-target", "wasm32-wasi", "-O2"]
    command += ["-msimd128"] if simd else []
    command += [f'-DSOURCE="{case.source}"', "-o", str(program), str(PROGRAM)]
    subprocess.run(command, check=True)
    script = tmp_path / "run.mjs"
    script.write_text(
        "import { WASI } from 'node:wasi'; import { readFileSync } from 'node:fs';\n"
        "const wasi = new WASI({ version: 'preview1', args: ['program'] });\n"
        f"const module = await WebAssembly.compile(readFileSync('{program}'));\n"
        "const imports = { wasi_snapshot_preview1: wasi.wasiImport };\n"
        "wasi.start(await WebAssembly.instantiate(module, imports));\n"
    )
    picture = pictures(case.spec)[3]
    said, found = run(["node", "--no-warnings"], script, picture.tobytes())
    assert said == ("wasm" if simd else "portable")
    np.testing.assert_array_equal(found, wanted(case, open_library("slim-320"), picture))


@pytest.mark.parametrize("precision", ["int8", "fp32"])
@pytest.mark.parametrize(
    "compiler",
    [
        ["gcc", "-std=c99"],
        ["g++", "-std=c++17", "-x", "c++"],
        ["clang", "-std=c99"],
        ["clang++", "-std=c++17", "-x", "c++"],
        ["aarch64-linux-gnu-gcc", "-std=c99"],
    ],
    ids=lambda compiler: " ".join(compiler[:2]),
)
def test_no_compiler_warns(
    compiler: list[str], precision: str, make_case: Callable[..., Case], tmp_path: Path
) -> None:
    needs(compiler[0])
    case = make_case("rfb-320")
    source = case.source if precision == "int8" else case.float_source
    command = [*compiler, "-O2", *STRICT, "-c", "-o", str(tmp_path / "object.o"), str(source)]
    answer = subprocess.run(command, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr[:2000]
