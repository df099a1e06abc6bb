"""One project with every binding, built once: the C interface's contract, and each language."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import fields
from pathlib import Path

import pytest

from tests.sdk.native import native, require, run
from ultraface_deploy.artifacts.convert import convert
from ultraface_deploy.artifacts.source import resolve_source
from ultraface_deploy.benchmarks.bindings import app_bytes, compare, programs
from ultraface_deploy.detect.detector import Detector
from ultraface_deploy.errors import CheckFailed
from ultraface_deploy.pipeline.view import View
from ultraface_deploy.safe.images import PHOTOS
from ultraface_deploy.sdk import write_project
from ultraface_deploy.sdk.conformance import RECIPES
from ultraface_deploy.sdk.languages import Binding, bindings

pytestmark = pytest.mark.native

# Letters of one to four bytes, and signs that mean something in a string.
CLASS = "l'\u00e9t\u00e9 (\u9854/\U00020bb7) & 2"
ABI = Path(__file__).with_name("ultraface.abi")


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded network in FP32 for the `c` runtime, its shared library built."""
    folder = tmp_path_factory.mktemp("bindings")
    source = resolve_source("slim-320", class_names=(CLASS,))
    artifacts = convert(source, ["c"], output=folder / "slim-320")
    write_project(artifacts, folder / "sdk", "c", languages=tuple(bindings()))
    native().build(folder / "sdk", preset="shared", targets=["ultraface"])
    return folder / "sdk"


@pytest.mark.parametrize("name", bindings())
def test_binding(project: Path, name: str) -> None:
    """Its own test, which finds the faces of the conformance set."""
    require(*bindings()[name].programs)
    done = subprocess.run(
        ["sh", str(project / "bindings" / name / "test.sh")], capture_output=True, text=True
    )
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"


def test_programs_that_are_timed(project: Path) -> None:
    """Each detects a picture as often as it is told; C's is made here, others by their tests."""
    known, tried = bindings(), []
    for name, command in programs(project).items():
        folder = project / "bindings" / name
        if name == "c" or all((folder / file).exists() for file in known[name].app):
            run([*command, "2"])
            tried.append(name)
    assert {"c", "python"} <= set(tried)
    assert app_bytes(project, "python") > 1000


def test_c_and_cpp_say_what_a_class_is_called(project: Path) -> None:
    """The example in C, and the demo in C++, through the shared library."""
    targets = ["faces", "ultraface_demo"]
    build = native().build(project, "-DULTRAFACE_DEMO=ON", preset="shared", targets=targets)
    picture = str(project / "conformance" / "example.ppm")
    lines = run([str(build / "faces"), picture]).splitlines()
    assert len(lines) == 2
    assert all(line.endswith(f" 1 {CLASS}") for line in lines)
    faces = json.loads(run([str(build / "demo" / "ultraface_demo"), picture]))["faces"]
    assert [face["name"] for face in faces] == [CLASS] * 2


def test_every_picture_as_the_pipeline(project: Path) -> None:
    """What `benchmarks.bindings compare` does with a test set; and that it can fail."""
    detector = Detector.open(project.parent / "slim-320", backend="native")
    library = project / "build" / "shared" / "libultraface.so"
    done = compare(library, detector, sorted(PHOTOS.glob("*.jpg")))
    assert done["pictures"] == 2
    assert done["faces"] >= 2
    blind = Detector(detector.session, detector.backend, view=View(roi=(0, 0, 9, 9)))
    with pytest.raises(CheckFailed, match=r"astronaut\.jpg"):
        compare(library, blind, [PHOTOS / "astronaut.jpg"])


class TestContract:
    """A change here is a change of every binding: see ULTRAFACE_API_VERSION in ultraface.h."""

    def test_symbols(self, project: Path) -> None:
        require("nm")
        library = project / "build" / "shared" / "libultraface.so"
        listed = run(["nm", "--dynamic", "--defined-only", str(library)]).splitlines()
        names = {line.split()[-1] for line in listed}
        # C++'s are mangled; they are the interface of ultraface.hpp, without a promise.
        exported = sorted(name for name in names if not name.startswith("_Z"))
        assert [f"function {name}" for name in exported] == _listed("function")

    def test_layout(self, project: Path, tmp_path: Path) -> None:
        """Sizes, offsets and values, as a 64-bit machine has them."""
        require("gcc")
        source = tmp_path / "layout.c"
        source.write_text(_layout_program((project / "include" / "ultraface.h").read_text()))
        run(["gcc", f"-I{project / 'include'}", "-o", str(tmp_path / "layout"), str(source)])
        printed = run([str(tmp_path / "layout")]).splitlines()
        assert printed == _listed("value", "size", "field"), "\n".join(printed)

    def test_threads(self, project: Path, tmp_path: Path) -> None:
        """The rules that the header states, under ThreadSanitizer."""
        require("gcc")
        build = native().build(project, preset="threads", targets=["ultraface"])
        program = tmp_path / "threads"
        source = Path(__file__).with_name("threads.c")
        compiler = ["gcc", "-fsanitize=thread", "-g", f"-I{project / 'include'}", str(source)]
        linked = [str(build / "libultraface.a"), "-lstdc++", "-lm", "-pthread"]
        run([*compiler, "-o", str(program), *linked])
        # Without address randomisation: the sanitizer of GCC 12 wants its own places.
        bare = ["setarch", "--addr-no-randomize"] if shutil.which("setarch") else []
        assert run([*bare, str(program)]) == "0 of 8 threads failed\n"


def test_the_conformance_set_is_worth_its_name(project: Path) -> None:
    """Every format and rotation, and faces in all but one picture."""
    cases = json.loads((project / "conformance" / "cases.json").read_text())["cases"]
    assert len(cases) == len(RECIPES) == 12
    assert {case["format"] for case in cases} == {
        *("bgr", "rgb", "gray", "nv21", "rgba", "bgra", "nv12", "i420")
    }
    assert {case["rotation"] for case in cases} == {0, 90, 180, 270}
    for flag in ("mirrored", "keep_aspect", "region"):
        assert {bool(case[flag]) for case in cases} == {True, False}
    assert [case["name"] for case in cases if not case["faces"]] == ["bgr-nobody"]
    # Far from the threshold, so that another processor's rounding decides nothing.
    assert min(face["score"] for case in cases for face in case["faces"]) > 0.55
    text = (project / "conformance" / "cases.txt").read_text()
    assert text.count("\nface ") == sum(len(case["faces"]) for case in cases)
    assert text.count("\ncase ") == 12


@pytest.mark.parametrize("name", bindings())
def test_a_binding_is_complete(name: str, project: Path) -> None:
    folder = project / "bindings" / name
    assert (folder / "README.md").is_file()
    assert (folder / "test.sh").is_file()
    assert not (folder / "binding.json").exists()
    record = bindings()[name]
    assert record.title
    assert record.packages or not record.programs
    assert {field.name for field in fields(Binding)} >= {"title", "untested"}


def _listed(*kinds: str) -> list[str]:
    lines = ABI.read_text().splitlines()
    return [line for line in lines if line.split(" ")[0] in kinds]


def _layout_program(header: str) -> str:
    """Return a program that prints what a header says, found in its text."""
    lines = []
    for name in re.findall(r"^#define (ULTRAFACE_\w+_VERSION)", header, re.M):
        lines.append(_print("value", name, f"(long){name}"))
    for name in re.findall(r"^    (ULTRAFACE_\w+) = ", header, re.M):
        lines.append(_print("value", name, f"(long){name}"))
    for struct, body in re.findall(r"typedef struct \w+ \{(.*?)\} (\w+);", header, re.S):
        struct, body = body, re.sub(r"/\*.*?\*/", "", struct, flags=re.S)
        lines.append(_print("size", struct, f"(long)sizeof({struct})"))
        for declaration in body.split(";"):
            for field in re.findall(r"(\w+)(?:\[\d+\])?\s*(?:,|$)", declaration.strip()):
                place = f"(long)offsetof({struct}, {field})"
                lines.append(_print("field", f"{struct}.{field}", place))
    body = "\n".join(lines)
    return (
        f"#include <stddef.h>\n#include <stdio.h>\n"
        f'#include "ultraface.h"\nint main(void) {{\n{body}\nreturn 0; }}\n'
    )


def _print(kind: str, name: str, value: str) -> str:
    return f'printf("{kind} {name} %ld\\n", {value});'
