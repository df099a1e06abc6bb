"""The Arm suite: `make test-arm`, or with CORES=cortex-a72 one core of the three."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Convert
from ultraface_deploy import models
from ultraface_deploy.artifacts.convert import convert
from ultraface_deploy.artifacts.folder import ArtifactFolder, artifact_id, describe_files
from ultraface_deploy.artifacts.source import resolve_source
from ultraface_deploy.bench.cost import cost_of_onnx
from ultraface_deploy.bench.count.halves import try_halves
from ultraface_deploy.bench.count.instructions import Count, build_plugin, count_instructions, floor
from ultraface_deploy.bench.count.sysroot import (
    CORES,
    Sysroot,
    require_programs,
)
from ultraface_deploy.bench.plan import Configuration, configurations
from ultraface_deploy.benchmarks.litert import parts
from ultraface_deploy.errors import InputError, MissingDependency
from ultraface_deploy.quantize import Int8Options

CHOSEN = os.environ.get("ARM_CORES", ",".join(CORES)).split(",")
# Million instructions of one slim-320 inference, one thread, with these wheels on Debian 12.
WHEELS = {
    "onnxruntime": "1.32.0",
    "ncnn": "1.0.20261020",
    "MNN": "3.6.1",
    "opencv-python-headless": "4.14.0.94",
    "ai-edge-litert": "2.3.0",
}
COUNTS = {
    "cortex-a53": {"mnn": 36.7, "ncnn": 49.6, "opencv": 56.7, "onnxruntime": 66.8},
    "cortex-a72": {"mnn": 36.7, "ncnn": 30.6, "opencv": 56.7, "onnxruntime": 66.8},
    "cortex-a76": {"mnn": 36.7, "ncnn": 30.6, "opencv": 56.7, "onnxruntime": 66.8},
}
# INT8 with the rest in half floats.
HALVES = {"ncnn": 18.8, "mnn": 24.7}
MNN_INT8 = {"cortex-a53": 47.7, "cortex-a72": 47.7, "cortex-a76": 23.2}
# LiteRT's INT8, the interpreter without what the session does for it.
LITERT_INT8 = {"cortex-a53": 41.5, "cortex-a72": 39.4, "cortex-a76": 21.0}
TOLERANCE = 0.02


@pytest.fixture(scope="module")
def sysroot() -> Sysroot:
    if "ARM_CORES" not in os.environ:
        pytest.skip("minutes of emulation: make test-arm runs it")
    try:
        require_programs()
        found = Sysroot.default()
        found.versions()
    except MissingDependency as error:
        pytest.skip(str(error))
    return found


@pytest.fixture
def known_wheels(sysroot: Sysroot) -> None:
    installed = sysroot.versions()
    if other := {name: v for name, v in WHEELS.items() if installed.get(name) != v}:
        pytest.skip(f"the known counts are of other wheels: {other}")


@pytest.fixture(scope="module")
def folder(converted: Convert, checkpoints: Path) -> ArtifactFolder:
    targets = ("onnx", "onnxsim", "mnn", "ncnn")
    return converted(checkpoints / "version-slim-320.pth", *targets)


@pytest.mark.slow
@pytest.mark.usefixtures("known_wheels")
@pytest.mark.parametrize("core", CHOSEN)
def test_arm_finds_the_same_and_executes_the_known_number_of_instructions(
    core: str, folder: ArtifactFolder, sysroot: Sysroot
) -> None:
    macs = cost_of_onnx(folder.files(folder.find("onnx"))[0]).macs
    found = configurations([folder.path], list(COUNTS[core]))
    for count in count_instructions(found, core, sysroot):
        assert count.passed, count.reason
        assert count.as_here == 1.0
        assert count.instructions is not None and count.fma is not None
        expected = COUNTS[core][count.backend]
        assert count.instructions / 1e6 == pytest.approx(expected, rel=TOLERANCE)
        # Nearly every MAC is one of the four lanes of an FMLA.
        assert count.floor == macs // 4
        assert count.fma == pytest.approx(macs / 4, rel=0.05)
        assert count.load_store is not None and count.load_store < count.instructions / 2


@pytest.fixture(scope="module")
def int8_folder(sysroot: Sysroot, tmp_path_factory: pytest.TempPathFactory) -> ArtifactFolder:
    """The shipped network in INT8 for each runtime, by the calibration table that ships with it."""
    source = resolve_source(models.DEFAULT_MODEL)
    path = tmp_path_factory.mktemp("int8") / source.spec.name
    return convert(source, ["onnx", "mnn", "ncnn", "tflite"], "int8", path)


@pytest.mark.slow
@pytest.mark.parametrize("core", CHOSEN)
def test_int8_finds_the_same_on_arm(
    core: str, int8_folder: ArtifactFolder, sysroot: Sysroot
) -> None:
    found = configurations([int8_folder.path], ["onnxruntime", "mnn", "ncnn", "litert"], ["int8"])
    for count in count_instructions(found, core, sysroot):
        assert count.passed, count.reason
        assert count.as_here == 1.0
        assert count.integer_multiply is not None and count.dot_product is not None
        assert count.integer_multiply + count.dot_product > 3e6


@pytest.mark.slow
@pytest.mark.usefixtures("known_wheels")
@pytest.mark.parametrize("core", CHOSEN)
def test_published_int8_executes_the_known_number_of_instructions(
    core: str, folder: ArtifactFolder, shared: Path, tmp_path: Path, sysroot: Sysroot
) -> None:
    """The published INT8 file: known to run, and known to have lost many faces."""
    (published,) = (shared / "reference").rglob("slim-320-quant-ADMM-50.mnn")
    (count,) = count_instructions([_as_int8(folder, published, tmp_path)], core, sysroot)
    assert count.instructions is not None
    assert count.instructions / 1e6 == pytest.approx(MNN_INT8[core], rel=TOLERANCE)
    assert (count.dot_product or 0) > 3e6 if core == "cortex-a76" else count.dot_product == 0
    assert (count.integer_multiply or 0) > 0.7e6


@pytest.mark.slow
@pytest.mark.usefixtures("known_wheels")
@pytest.mark.parametrize("core", CHOSEN)
def test_litert_int8_executes_the_known_number_of_instructions(
    core: str, int8_folder: ArtifactFolder
) -> None:
    """What the session adds is its own work on the input: as much on every core, and little."""
    (file,) = int8_folder.files(int8_folder.find("tflite", "int8"))
    found = parts(file, core)
    assert found["invoke"] / 1e6 == pytest.approx(LITERT_INT8[core], rel=TOLERANCE)
    assert found["input as bytes"] < 0.45e6
    assert found["all of run"] < found["invoke"] + 0.65e6


@pytest.mark.slow
@pytest.mark.usefixtures("known_wheels")
@pytest.mark.skipif("cortex-a76" not in CHOSEN, reason="only the A76 has half floats")
def test_half_floats_keep_the_faces_and_save_instructions(
    int8_folder: ArtifactFolder, sysroot: Sysroot, tmp_path: Path
) -> None:
    path = tmp_path / "halves"
    shutil.copytree(int8_folder.path, path)
    source, options = resolve_source(models.DEFAULT_MODEL), Int8Options(halves=True)
    copy = convert(source, ["mnn"], "int8", path, int8=options)
    tried = try_halves(copy, "cortex-a76", sysroot=sysroot)
    found = {backend: tried.find(backend, "int8").halves["cortex-a76"] for backend in HALVES}
    for backend, millions in HALVES.items():
        assert found[backend]["passed"], found[backend]["reason"]
        assert found[backend]["instructions"] / 1e6 == pytest.approx(millions, rel=TOLERANCE)
    # From now on it runs so by itself, and not on a core without them.
    (ncnn,) = configurations([copy.path], ["ncnn"], ["int8"])
    (count,) = count_instructions([ncnn], "cortex-a76", sysroot)
    assert count.halves and count.instructions == found["ncnn"]["instructions"]
    (count,) = count_instructions([ncnn], "cortex-a72", sysroot)
    assert count.passed and not count.halves


@pytest.mark.slow
def test_counts_repeat(folder: ArtifactFolder, sysroot: Sysroot) -> None:
    (configuration,) = configurations([folder.path], ["ncnn"])
    first, again = (
        count_instructions([configuration], "cortex-a72", sysroot)[0].instructions for _ in range(2)
    )
    assert first is not None and again is not None
    assert abs(again / first - 1) < 1e-4


def _as_int8(folder: ArtifactFolder, published: Path, tmp_path: Path) -> Configuration:
    """The folder with the published file in the place of its INT8 artifact."""
    copy = ArtifactFolder.open(shutil.copytree(folder.path, tmp_path / "int8"))
    name = f"{copy.spec.name}.int8.mnn"
    made = tmp_path / name
    shutil.copyfile(published, made)
    copy = copy.publish(describe_files("mnn", "int8", {name: made}), [made], {})
    return Configuration(copy, copy.get(artifact_id("mnn", "int8")), "mnn", 1)


@pytest.mark.parametrize(
    ("precision", "core", "expected"),
    [
        ("fp32", "cortex-a53", 20_350_000),
        ("fp32", "cortex-a76", 20_350_000),
        ("fp16", "cortex-a72", 20_350_000),
        ("fp16", "cortex-a76", 10_175_000),
        ("int8", "cortex-a72", 10_175_000),
        ("int8", "cortex-a76", 5_087_500),
        ("w8", "cortex-a76", 20_350_000),
    ],
)
def test_floor(precision: str, core: str, expected: int) -> None:
    assert floor(81_400_000, precision, core) == expected


def test_what_does_not_run_there_is_a_result(folder: ArtifactFolder, sysroot: Sysroot) -> None:
    broken = folder.find("mnn")
    configuration = Configuration(folder, broken, "ncnn", 1)
    (count,) = count_instructions([configuration], "cortex-a72", sysroot)
    assert isinstance(count, Count)
    assert not count.passed
    assert "ncnn" in (count.reason or "")
    assert count.instructions is None


# One word of each kind, assembled by GNU as for armv8.2-a+dotprod+fp16.
WORDS = {
    "fma": [
        ("fmla v0.4s, v1.4s, v2.4s", 0x4E22CC20),
        ("fmla v0.4s, v1.4s, v2.s[0]", 0x4F821020),
        ("fmls v0.4s, v1.4s, v2.4s", 0x4EA2CC20),
        ("fmla v0.8h, v1.8h, v2.8h", 0x4E420C20),
        ("fmla v0.8h, v1.8h, v2.h[0]", 0x4F021020),
        ("fmadd s0, s1, s2, s3", 0x1F020C20),
    ],
    "dot": [
        ("sdot v0.4s, v1.16b, v2.16b", 0x4E829420),
        ("sdot v0.4s, v1.16b, v2.4b[0]", 0x4F82E020),
        ("udot v0.4s, v1.16b, v2.16b", 0x6E829420),
    ],
    "multiply": [
        ("smlal v0.4s, v1.4h, v2.4h", 0x0E628020),
        ("smull v0.8h, v1.8b, v2.8b", 0x0E22C020),
        ("smlal2 v0.4s, v1.8h, v2.h[1]", 0x4F522020),
        ("mla v0.4s, v1.4s, v2.4s", 0x4EA29420),
        ("mul v0.8h, v1.8h, v2.8h", 0x4E629C20),
        ("sqrdmulh v0.4s, v1.4s, v2.4s", 0x6EA2B420),
    ],
    "load_store": [
        ("ldr q0, [x1]", 0x3DC00020),
        ("stp x0, x1, [sp]", 0xA90007E0),
        ("ld1 {v0.4s}, [x1]", 0x4C407820),
        ("ldrb w0, [x1]", 0x39400020),
    ],
    "other": [
        ("add x0, x1, x2", 0x8B020020),
        ("fadd v0.4s, v1.4s, v2.4s", 0x4E22D420),
        ("fmul v0.4s, v1.4s, v2.4s", 0x6E22DC20),
        ("fmul v0.4s, v1.4s, v2.s[0]", 0x4F829020),
        ("madd x0, x1, x2, x3", 0x9B020C20),
        ("movi v0.4s, #0", 0x4F000400),
        ("b .", 0x14000000),
        ("sshr v0.4s, v1.4s, #1", 0x4F3F0420),
    ],
}


def test_the_words_are_what_an_assembler_makes(tmp_path: Path) -> None:
    assembler = shutil.which("aarch64-linux-gnu-as")
    if assembler is None:
        pytest.skip("needs an Arm assembler: apt-get install binutils-aarch64-linux-gnu")
    lines = [line for words in WORDS.values() for line, _ in words]
    source = tmp_path / "words.s"
    source.write_text("\n".join([*lines, ""]))
    command = [assembler, "-march=armv8.2-a+dotprod+fp16", str(source), "-o", tmp_path / "words.o"]
    subprocess.run(command, check=True)
    dump = ["aarch64-linux-gnu-objcopy", "-O", "binary", "-j", ".text", "words.o", "words"]
    subprocess.run(dump, check=True, cwd=tmp_path)
    data = (tmp_path / "words").read_bytes()
    made = [int.from_bytes(data[i : i + 4], "little") for i in range(0, len(data), 4)]
    assert made == [word for words in WORDS.values() for _, word in words]


def test_instructions_are_put_into_their_classes(tmp_path: Path) -> None:
    """The plugin's own classes, asked through a small program that includes its source."""
    if shutil.which("cc") is None:
        pytest.skip("needs a C compiler")
    source = Path(count_instructions.__code__.co_filename).with_name("counter.c")
    names = ["other", "fma", "dot", "multiply", "load_store"]
    words = [word for group in WORDS.values() for _, word in group]
    (tmp_path / "ask.c").write_text(
        f'#include "{source}"\n'
        + "int main(void) { const uint32_t words[] = {"
        + ",".join(map(hex, words))
        + '}; for (size_t i = 0; i < sizeof words / 4; i++) printf("%d\\n", class_of(words[i])); }'
    )
    # What QEMU would provide is never called here.
    flags = ["-Wl,--unresolved-symbols=ignore-all", "-no-pie"]
    subprocess.run(["cc", "ask.c", *flags, "-o", "ask"], check=True, cwd=tmp_path)
    answer = subprocess.run([tmp_path / "ask"], capture_output=True, text=True, check=True).stdout
    expected = [group for group, words in WORDS.items() for _ in words]
    assert [names[int(line)] for line in answer.split()] == expected


def test_the_plugin_builds_without_a_warning(tmp_path: Path) -> None:
    if shutil.which("cc") is None:
        pytest.skip("needs a C compiler")
    assert build_plugin(tmp_path).stat().st_size > 0


def test_a_backend_without_aarch64_wheels_is_refused_first(folder: ArtifactFolder) -> None:
    torch = Configuration(folder, folder.get("torch"), "torch", 1)
    with pytest.raises(InputError, match=r"torch does not come for emulated cores.*mnn"):
        count_instructions([torch], "cortex-a72")
