from __future__ import annotations

import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path
from zlib import crc32

import pytest

from tests.sdk.native import require
from ultraface_deploy.artifacts.folder import ArtifactFolder, Source, describe_files
from ultraface_deploy.cli import main
from ultraface_deploy.errors import InputError, UltraFaceError
from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.sdk import RUNTIMES, Runtime, write_project
from ultraface_deploy.sdk.cpp import embedded_model
from ultraface_deploy.sdk.languages import bindings, copy_binding
from ultraface_deploy.sdk.project import fill

SUFFIXES = {"ncnn": ("ncnn.param", "ncnn.bin"), "mnn": ("mnn",), "c": ("c", "h")}
Names = tuple[str, ...]
READS_WEIGHTS = [runtime for runtime in RUNTIMES if runtime != "c"]


@pytest.fixture
def artifacts(tmp_path: Path) -> ArtifactFolder:
    """A folder whose artifacts nobody will run."""
    folder = ArtifactFolder(tmp_path / "net", ModelSpec("net", "slim"), Source("net.pth", "0"))
    for runtime, suffixes in SUFFIXES.items():
        made = [tmp_path / suffix for suffix in suffixes]
        for path in made:
            path.write_bytes(path.name.encode())
        names = [f"net.{suffix}" for suffix in suffixes]
        record = describe_files(runtime, "fp32", dict(zip(names, made, strict=True)))
        # As if compared: the text that stands for a network could not be.
        folder = folder.publish(replace(record, verification={"passed": True}), made, {})
    return folder


class TestWriteProject:
    @pytest.mark.parametrize("runtime", READS_WEIGHTS)
    def test_holds_one_runtime_and_the_model(
        self, artifacts: ArtifactFolder, tmp_path: Path, runtime: Runtime
    ) -> None:
        sdk = tmp_path / "sdk"
        written = write_project(artifacts, sdk, runtime)
        assert set(written) == {p.relative_to(sdk) for p in sdk.rglob("*") if p.is_file()}
        assert [p.name for p in sdk.glob("src/network_*.cpp")] == [f"network_{runtime}.cpp"]
        for suffix in SUFFIXES[runtime]:
            copy = sdk / "models" / f"net.{suffix}"
            assert copy.read_bytes() == (artifacts.path / copy.name).read_bytes()
            header = (sdk / "src" / "model.hpp").read_text()
            assert (
                f'"{copy.name}", {copy.stat().st_size}, {crc32(copy.read_bytes()):#010x}' in header
            )

    @pytest.mark.parametrize("runtime", READS_WEIGHTS)
    def test_embedded_weights_need_no_folder(
        self, artifacts: ArtifactFolder, tmp_path: Path, runtime: Runtime
    ) -> None:
        sdk = tmp_path / "sdk"
        write_project(artifacts, sdk, runtime, embed_model=True)
        assert not (sdk / "models").exists()
        arrays = re.findall(r"\{\n([\d,\s]+)\n\};", (sdk / "src/embedded_model.cpp").read_text())
        embedded = [bytes(map(int, array.split(","))) for array in arrays]
        assert embedded == [
            (artifacts.path / f"net.{suffix}").read_bytes() for suffix in SUFFIXES[runtime]
        ]

    @pytest.mark.parametrize("embed", [True, False])
    def test_c_is_code_of_the_library(
        self, artifacts: ArtifactFolder, tmp_path: Path, embed: bool
    ) -> None:
        sdk = tmp_path / "sdk"
        write_project(artifacts, sdk, "c", embed_model=embed)
        assert not (sdk / "models").exists()
        for name in ("net.c", "net.h"):
            assert (sdk / "src/generated" / name).read_bytes() == name[4:].encode()
        assert '#include "../generated/net.c"' in (sdk / "src/native/network.c").read_text()
        assert "--model" not in (sdk / "README.md").read_text()

    @pytest.mark.parametrize("runtime", RUNTIMES)
    def test_no_placeholder_is_left(
        self, artifacts: ArtifactFolder, tmp_path: Path, runtime: Runtime
    ) -> None:
        for file in write_project(artifacts, tmp_path / "sdk", runtime):
            if file.parts[0] != "models":
                assert not re.search("@[A-Z_]+@", (tmp_path / "sdk" / file).read_text())

    @pytest.mark.parametrize("runtime", RUNTIMES)
    def test_presets_are_valid(
        self, artifacts: ArtifactFolder, tmp_path: Path, runtime: Runtime
    ) -> None:
        write_project(artifacts, tmp_path / "sdk", runtime)
        presets = json.loads((tmp_path / "sdk" / "CMakePresets.json").read_text())
        names = [preset["name"] for preset in presets["configurePresets"]]
        assert names == ["native", "aarch64", "sanitize", "threads", "shared"]

    @pytest.mark.parametrize("runtime", READS_WEIGHTS)
    def test_cmake_says_in_one_line_that_the_runtime_is_missing(
        self, artifacts: ArtifactFolder, tmp_path: Path, runtime: Runtime
    ) -> None:
        require("cmake", "g++")
        write_project(artifacts, tmp_path / "sdk", runtime)
        done = subprocess.run(
            ["cmake", "--preset", "native"], cwd=tmp_path / "sdk", capture_output=True, text=True
        )
        assert done.returncode != 0
        name, option = {"ncnn": ("ncnn", "ncnn_DIR"), "mnn": ("MNN", "MNN_ROOT")}[runtime]
        assert re.search(
            f"^  {name} was not found: pass -D{option}=.*README.md$", done.stderr, re.M
        )


NAMES_PROGRAM = """
#include <cstdio>
#include "model.hpp"
#include "report.hpp"
namespace ultraface {
const char* class_name(int label) noexcept { return model::kClassNames[label]; }
}
int main() {
    std::puts(to_json("a", 2, 2, {{0, 0, 1, 1, 1, 1}, {0, 0, 1, 1, 1, 2}}).c_str());
    return ultraface::class_name(0) ? 1 : 0;
}
"""


@pytest.mark.parametrize("names", [('*/ ??/\n\\" %s', "\u9854\U00020bb7 7'\u00e9\u00e91"), ()])
def test_names_of_classes_are_what_the_network_says(
    artifacts: ArtifactFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: Names
) -> None:
    """Whatever that is, in the header and in the demo's JSON."""
    require("g++")
    monkeypatch.setattr("ultraface_deploy.family.spec.check_class_names", lambda *_: None)
    spec = replace(artifacts.spec, num_classes=3, class_names=names)
    sdk, program = tmp_path / "sdk", tmp_path / "program.cpp"
    write_project(replace(artifacts, spec=spec), sdk)
    program.write_text(NAMES_PROGRAM)
    places = [f"-I{sdk / part}" for part in ("include", "src", "demo")]
    warned = ["-std=c++17", "-trigraphs", "-Wall", "-Wextra", "-Werror"]
    sources = [str(program), str(sdk / "demo" / "report.cpp")]
    subprocess.run(["g++", *warned, *places, "-o", tmp_path / "program", *sources], check=True)
    printed = subprocess.run([tmp_path / "program"], capture_output=True, check=True).stdout
    faces = json.loads(printed)["faces"]
    assert [face["label"] for face in faces] == [1, 2]
    assert tuple(face["name"] for face in faces if "name" in face) == names


class TestRefusals:
    def test_what_is_there_stays(self, artifacts: ArtifactFolder, tmp_path: Path) -> None:
        (tmp_path / "sdk").mkdir()
        (tmp_path / "sdk" / "mine.txt").write_text("mine")
        with pytest.raises(InputError, match="is there already"):
            write_project(artifacts, tmp_path / "sdk")
        assert [path.name for path in (tmp_path / "sdk").iterdir()] == ["mine.txt"]

    def test_an_empty_folder_is_filled(self, artifacts: ArtifactFolder, tmp_path: Path) -> None:
        (tmp_path / "sdk").mkdir()
        assert write_project(artifacts, tmp_path / "sdk")

    def test_a_changed_artifact_leaves_nothing(
        self, artifacts: ArtifactFolder, tmp_path: Path
    ) -> None:
        (artifacts.path / "net.ncnn.bin").write_bytes(b"other")
        before = sorted(tmp_path.iterdir())
        with pytest.raises(InputError, match="SHA-256"):
            write_project(artifacts, tmp_path / "sdk")
        assert sorted(tmp_path.iterdir()) == before

    def test_a_failure_halfway_leaves_nothing(
        self, artifacts: ArtifactFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*arguments: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("ultraface_deploy.sdk.project.shutil.copyfile", full)
        before = sorted(tmp_path.iterdir())
        with pytest.raises(InputError, match="No space left"):
            write_project(artifacts, tmp_path / "sdk")
        assert sorted(tmp_path.iterdir()) == before

    def test_absent_precision(self, artifacts: ArtifactFolder, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="no artifact ncnn-int8"):
            write_project(artifacts, tmp_path / "sdk", precision="int8")

    def test_unknown_runtime_on_the_command_line(
        self, artifacts: ArtifactFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        command = ["package", str(artifacts.path), "--runtime", "tflite", "-o", str(tmp_path / "s")]
        with pytest.raises(SystemExit) as exit:
            main(command)
        assert exit.value.code == 2
        assert (
            capsys.readouterr().err
            == "error: --runtime tflite: unknown; choose from ncnn, mnn, c, web\n"
        )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--binding", "cobol"], "error: --binding cobol: unknown; choose from "),
        (
            ["--runtime", "web", "--binding", "python"],
            "error: --binding: goes with the C++ project",
        ),
    ],
)
def test_bindings_are_refused_at_once(
    artifacts: ArtifactFolder,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    message: str,
) -> None:
    with pytest.raises(SystemExit) as exit:
        main(["package", str(artifacts.path), *words, "-o", str(tmp_path / "sdk")])
    assert exit.value.code == 2
    assert capsys.readouterr().err.startswith(message)
    assert not (tmp_path / "sdk").exists()


def test_command_line_writes_the_project(artifacts: ArtifactFolder, tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as exit:
        main(["package", str(artifacts.path), "--runtime", "mnn", "-o", str(tmp_path / "sdk")])
    assert exit.value.code == 0
    assert "for mnn" in (tmp_path / "sdk" / "README.md").read_text()


def test_a_template_that_asks_for_too_much_is_found_out() -> None:
    assert fill("a @B@ c", {"B": "b"}) == "a b c"
    with pytest.raises(KeyError):
        fill("@UNKNOWN@", {})


def test_no_files_embed_as_nothing() -> None:
    assert "return {};" in embedded_model(())


@pytest.mark.parametrize("passed", [True, False, None])
def test_halves_are_computed_where_the_manifest_says_that_they_agree(
    artifacts: ArtifactFolder, tmp_path: Path, passed: bool | None
) -> None:
    halves = {} if passed is None else {"cortex-a76": {"passed": passed}}
    changes = {"id": "ncnn-int8", "precision": "int8", "halves": halves}
    tried = (replace(artifacts.find("ncnn"), **changes),)
    write_project(replace(artifacts, artifacts=tried), tmp_path / "sdk", "ncnn", "int8")
    header = (tmp_path / "sdk/src/model.hpp").read_text()
    assert f"kHalfPrecision = {str(passed is True).lower()};" in header


def test_an_artifact_that_nobody_verified_is_tried_before_it_is_packed(
    artifacts: ArtifactFolder, tmp_path: Path
) -> None:
    unverified = tuple(replace(each, verification=None) for each in artifacts.artifacts)
    pytest.importorskip("ncnn", reason="ncnn tries it")
    with pytest.raises(UltraFaceError, match="ncnn"):
        write_project(replace(artifacts, artifacts=unverified), tmp_path / "sdk", "ncnn")
    assert not (tmp_path / "sdk").exists()


@pytest.mark.parametrize("name", bindings())
def test_a_binding_says_which_program_its_test_lacks(name: str, tmp_path: Path) -> None:
    copy_binding(name, tmp_path)
    folder, programs = tmp_path / "bindings" / name, tmp_path / "programs"
    programs.mkdir()
    (programs / "dirname").symlink_to("/usr/bin/dirname")
    record = bindings()[name]
    for program in record.programs:
        # All but this one and those after it are there.
        done = subprocess.run(
            ["/bin/sh", folder / "test.sh"],
            env={"PATH": str(programs)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 3
        assert done.stderr == (
            f"test.sh: {program} is not installed; Debian: apt-get install "
            f"{' '.join(record.packages)}\n"
        )
        (programs / program).symlink_to("/bin/true")
