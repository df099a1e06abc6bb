"""Generated projects built with their runtimes, here and for Arm: same faces as the pipeline."""

from __future__ import annotations

import ctypes
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from tests.conftest import MakeCheckpoint
from tests.sdk.conftest import read
from tests.sdk.emulated import faces_on
from tests.sdk.native import Build, readme_commands, require, run
from ultraface_deploy import Detector, Faces
from ultraface_deploy.agreement.precision import Precision
from ultraface_deploy.artifacts.convert import convert
from ultraface_deploy.artifacts.folder import ArtifactFolder
from ultraface_deploy.artifacts.source import resolve_source
from ultraface_deploy.benchmarks.cpp import count_stages, emulator
from ultraface_deploy.errors import LibraryError
from ultraface_deploy.pipeline import NmsKind, PostprocessOptions
from ultraface_deploy.pipeline.view import View
from ultraface_deploy.sdk import Runtime, write_project
from ultraface_deploy.sdk.bindings.python import ultraface
from ultraface_deploy.sdk.conformance import Format, decode, encode, held
from ultraface_deploy.sdk.library import FORMATS, LibraryDetector, image_of
from ultraface_deploy.sdk.project import backend_of

pytestmark = pytest.mark.native

BOX_TOLERANCE_PX = 1.0
SCORE_TOLERANCE = 1e-3
CROSS_TOLERANCE = {"ncnn": 0.02, "mnn": 0.05}
"""Scores in INT8 on Arm beside scores on x86."""
BESIDE = {"ncnn": 0.15, "mnn": 0.15, "c": 0.4}
"""What may be spent beside the network: the faster that is, the more the rest weighs."""
CORES = ["cortex-a53", "cortex-a72", "cortex-a76"]

INVALID_ARGUMENT, MODEL_MISSING, MODEL_DAMAGED = 1, 2, 3
NV21, I420 = FORMATS["nv21"], FORMATS["i420"]


@pytest.fixture(scope="session", params=["fp32", "int8"])
def precision(request: pytest.FixtureRequest) -> Precision:
    chosen: Precision = request.param
    return chosen


@pytest.fixture(scope="session")
def sdk(
    slim_folder: ArtifactFolder,
    runtime: Runtime,
    precision: Precision,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A project whose weights lie beside it."""
    project = tmp_path_factory.mktemp("sdk") / precision
    write_project(slim_folder, project, runtime, precision)
    return project


@pytest.fixture(scope="session")
def native_folder(sdk: Path, native_build: Build) -> Path:
    return native_build.build(sdk, "-DBUILD_SHARED_LIBS=ON")


@pytest.fixture(scope="session")
def library(native_folder: Path) -> Path:
    return native_folder / "libultraface.so"


@pytest.fixture(scope="session")
def arm_demo(
    slim_folder: ArtifactFolder,
    runtime: Runtime,
    precision: Precision,
    aarch64_build: Build,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """The static Arm demo with embedded weights, stripped."""
    project = tmp_path_factory.mktemp("arm") / precision
    write_project(slim_folder, project, runtime, precision, embed_model=True)
    demo = aarch64_build.build(project) / "demo" / "ultraface_demo"
    run(["aarch64-linux-gnu-strip", str(demo)])
    return demo


@pytest.fixture
def detector(slim_folder: ArtifactFolder, runtime: Runtime, precision: Precision) -> Detector:
    return Detector.open(slim_folder.path, backend=backend_of(runtime).name, precision=precision)


@pytest.fixture
def reads_models(runtime: Runtime) -> None:
    if runtime == "c":
        pytest.skip("the weights are code of the library")


def models_in(project: Path) -> Path | None:
    """The folder of a project's weights; None where they are code."""
    folder = project / "models"
    return folder if folder.is_dir() else None


def model_option(project: Path) -> list[str]:
    """The demo's option for that folder."""
    folder = models_in(project)
    return [] if folder is None else ["--model", str(folder)]


class TestSameFaces:
    @pytest.mark.parametrize("kind", ["hard", "soft", "blend"])
    @pytest.mark.parametrize("threshold", [0.5, 0.1])
    def test_through_the_c_interface(
        self,
        library: Path,
        sdk: Path,
        slim_folder: ArtifactFolder,
        runtime: Runtime,
        precision: Precision,
        photographs: dict[str, Path],
        kind: NmsKind,
        threshold: float,
    ) -> None:
        options = PostprocessOptions(score_threshold=threshold, nms=kind)
        reference = Detector.open(
            slim_folder.path, backend=backend_of(runtime).name, precision=precision, options=options
        )
        with LibraryDetector(library, models_in(sdk), options, threads=2) as detector:
            for path in photographs.values():
                image = read(path)
                assert_same_faces(detector.detect(image), reference.detect(image), path.name)

    def test_keeping_the_aspect_ratio(
        self, library: Path, sdk: Path, detector: Detector, photographs: dict[str, Path]
    ) -> None:
        reference = Detector(detector.session, detector.backend, view=View(keep_aspect=True))
        with LibraryDetector(library, models_in(sdk), keep_aspect=True) as padding:
            for path in photographs.values():
                # Very tall: squeezed, the network would find nobody.
                image = np.concatenate([read(path), np.full_like(read(path), 90)])
                assert_same_faces(padding.detect(image), reference.detect(image), path.name)

    def test_through_a_c_program(
        self, native_folder: Path, sdk: Path, detector: Detector, photographs: dict[str, Path]
    ) -> None:
        for path in photographs.values():
            printed = run(
                [str(native_folder / "faces"), str(path), *map(str, filter(None, [models_in(sdk)]))]
            )
            # MNN prints a line when it starts, and cannot be told not to.
            lines = [line for line in printed.splitlines() if "device supports" not in line]
            rows = np.array([line.split() for line in lines], float).reshape(-1, 6)
            faces = Faces(rows[:, :4], rows[:, 4], rows[:, 5])
            assert_same_faces(faces, detector.detect(read(path)), path.name)

    def test_under_sanitizers(
        self, sdk: Path, native_build: Build, detector: Detector, photographs: dict[str, Path]
    ) -> None:
        demo = native_build.build(sdk, preset="sanitize") / "demo" / "ultraface_demo"
        for path in photographs.values():
            faces = demo_faces([str(demo), str(path), *model_option(sdk)])
            assert_same_faces(faces, detector.detect(read(path)), path.name)

    @pytest.mark.parametrize("core", ["cortex-a53", "cortex-a76"])
    def test_on_emulated_arm(
        self,
        arm_demo: Path,
        slim_folder: ArtifactFolder,
        runtime: Runtime,
        precision: Precision,
        photographs: dict[str, Path],
        core: str,
        tmp_path: Path,
    ) -> None:
        if runtime == "c":
            pytest.skip("the emulated machine has no compiler; the next test compares with here")
        paths = list(photographs.values())
        expected = faces_on(core, slim_folder.path, runtime, precision, paths, tmp_path)
        for path, wanted in zip(paths, expected, strict=True):
            faces = demo_faces([*emulator(core, tmp_path / core), str(arm_demo), str(path)])
            assert_same_faces(faces, wanted, path.name)

    def test_on_emulated_arm_as_here(
        self,
        arm_demo: Path,
        aarch64_build: Build,
        runtime: Runtime,
        precision: Precision,
        detector: Detector,
        photographs: dict[str, Path],
    ) -> None:
        """Where both sum FP32 in another order, a step of INT8 may come out differently.

        A face that scores so near the threshold may then be reported by one of them alone.
        """
        across = CROSS_TOLERANCE.get(runtime, SCORE_TOLERANCE)
        tolerance = across if precision == "int8" else SCORE_TOLERANCE
        for path in photographs.values():
            there = demo_faces([*aarch64_build.runner, str(arm_demo), str(path)])
            here = detector.detect(read(path))
            for one, other in ((there, here), (here, there)):
                sure = one.scores > detector.spec.score_threshold + tolerance
                assert_same_faces(*paired(one, sure, other), path.name, tolerance)

    @pytest.mark.parametrize("format", [name for name in FORMATS if name != "bgr"])
    def test_other_formats_with_gaps_between_rows(
        self,
        library: Path,
        sdk: Path,
        detector: Detector,
        photographs: dict[str, Path],
        format: Format,
    ) -> None:
        bgr = read(photographs["1.jpg"])
        bgr = bgr[: bgr.shape[0] // 2 * 2, : bgr.shape[1] // 2 * 2]
        pixels, expected = in_format(bgr, format)
        if format != "i420":
            padded = np.pad(pixels, [(0, 0), (0, 24)] + [(0, 0)] * (pixels.ndim - 2))
            pixels = padded[:, : pixels.shape[1]]
        with LibraryDetector(library, models_in(sdk)) as c_detector:
            actual = c_detector.detect(pixels, format)
        assert len(actual) > 0
        assert_same_faces(actual, detector.detect(expected), format)

    @pytest.mark.parametrize("mirrored", [False, True])
    @pytest.mark.parametrize("rotation", [0, 90, 180, 270])
    def test_as_a_camera_is_held(
        self,
        library: Path,
        sdk: Path,
        detector: Detector,
        photographs: dict[str, Path],
        rotation: int,
        mirrored: bool,
    ) -> None:
        """Boxes are in pixels of the upright picture, also those of a region."""
        upright = read(photographs["1.jpg"])
        height, width = upright.shape[:2]
        region = (width // 8, 5, width * 3 // 4, height - 10)
        image = held(upright, rotation, mirrored)
        reference = Detector(detector.session, detector.backend, view=View(roi=region))
        with LibraryDetector(library, models_in(sdk)) as c_detector:
            whole = c_detector.detect(image, "bgr", rotation, mirrored)
            part = c_detector.detect(image, "bgr", rotation, mirrored, region)
        assert len(whole) > len(part) > 0
        assert_same_faces(whole, detector.detect(upright), "whole")
        assert_same_faces(part, reference.detect(upright), "part")


OTHERS = ["rfb-320-fp32", "rfb-320-int8", "slim-640x480-fp32", "masks-3-classes-fp32"]


@pytest.fixture
def other(
    request: pytest.FixtureRequest, runtime: Runtime, shared: Path, make_checkpoint: MakeCheckpoint
) -> ArtifactFolder:
    """A network of another kind, by a name of `OTHERS`."""
    name, precision = request.param.rsplit("-", 1)
    if name == "rfb-320":
        source = resolve_source(name)
    elif name == "slim-640x480":
        source = resolve_source(shared / "checkpoints" / "version-slim-640.pth", (640, 480))
    else:
        source = resolve_source(make_checkpoint("rfb", 3), (200, 136), "decoded")
    folder = request.getfixturevalue("tmp_path") / "artifacts"
    artifacts = convert(source, [runtime], output=folder)
    return artifacts if precision == "fp32" else convert(source, [runtime], precision, folder)


@pytest.mark.parametrize("other", OTHERS, indirect=True)
def test_other_networks(
    other: ArtifactFolder,
    native_build: Build,
    runtime: Runtime,
    photographs: dict[str, Path],
    tmp_path: Path,
) -> None:
    precision = other.artifacts[-1].precision
    write_project(other, tmp_path / "sdk", runtime, precision)
    options = ["-DBUILD_SHARED_LIBS=ON", "-DULTRAFACE_DEMO=OFF"]
    library = native_build.build(tmp_path / "sdk", *options, targets=["ultraface"])
    # Weights that nobody trained find little; what they find must be the same.
    asked = PostprocessOptions(score_threshold=0.5 if other.spec.num_classes == 2 else 0.1)
    reference = Detector.open(
        other.path, backend=backend_of(runtime).name, precision=precision, options=asked
    )
    found = 0
    with LibraryDetector(
        library / "libultraface.so", models_in(tmp_path / "sdk"), asked
    ) as detector:
        for path in photographs.values():
            expected = reference.detect(read(path))
            assert_same_faces(detector.detect(read(path)), expected, path.name)
            found += len(expected)
    assert found > 24


def test_clang_has_nothing_to_say(sdk: Path, native_build: Build, runtime: Runtime) -> None:
    require("clang", "clang++")
    headers = native_build.prefix / "include"
    search = [f"-I{sdk / sub}" for sub in ("include", "src", "demo")]
    if runtime != "c":
        search += ["-isystem", str(headers / "ncnn" if runtime == "ncnn" else headers)]
    strict = ["-Wall", "-Wextra", "-Werror", "-fsyntax-only", *search]
    for compiler, standard, suffix in (("clang++", "c++17", "cpp"), ("clang", "c99", "c")):
        sources = sorted(sdk.glob(f"*/*.{suffix}"))
        assert sources
        run([compiler, f"-std={standard}", *strict, *map(str, sources)])


@pytest.mark.parametrize("name", ["native", "aarch64"])
def test_the_commands_of_the_readme(
    slim_folder: ArtifactFolder,
    runtime: Runtime,
    photographs: dict[str, Path],
    request: pytest.FixtureRequest,
    tmp_path: Path,
    name: str,
) -> None:
    build: Build = request.getfixturevalue(f"{name}_build")
    project = tmp_path / "sdk"
    write_project(slim_folder, project, runtime)
    if runtime != "c":
        # Where the commands before these install the runtime; `native.py` has run them.
        (project / "build").mkdir()
        (project / "build" / f"{runtime}-{name}").symlink_to(build.prefix)
    readme = (project / "README.md").read_text()
    run(["bash", "-ec", readme_commands(readme, f"cmake --preset {name}")], cwd=project)
    demo = [*build.runner, str(project / "build" / name / "demo" / "ultraface_demo")]
    faces = demo_faces([*demo, str(photographs["1.jpg"]), *model_option(project)])
    assert len(faces) > 0


def test_stripped_arm_binary_fits_small_flash(arm_demo: Path, precision: Precision) -> None:
    limit = {"int8": 4_000_000, "fp32": 4_800_000}[precision]
    assert arm_demo.stat().st_size <= limit


@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize("name", ["1.jpg", "17.jpg"])
def test_little_is_spent_beside_the_network(
    arm_demo: Path, runtime: Runtime, photographs: dict[str, Path], core: str, name: str
) -> None:
    stages = arm_demo.parents[1] / "stages"
    counts = count_stages(stages, photographs[name], models=None, core=core)
    assert counts.beside < BESIDE[runtime], counts


class TestErrors:
    def test_c_has_no_models(self, library: Path, runtime: Runtime, tmp_path: Path) -> None:
        if runtime != "c":
            pytest.skip("reads models")
        with pytest.raises(LibraryError, match="give no folder") as error:
            LibraryDetector(library, tmp_path)
        assert error.value.status == INVALID_ARGUMENT

    @pytest.mark.usefixtures("reads_models")
    def test_damaged_models(self, library: Path, sdk: Path, tmp_path: Path) -> None:
        names = [path.name for path in (sdk / "models").iterdir()]
        for name in names:
            good = (sdk / "models" / name).read_bytes()
            flipped = bytearray(good)
            flipped[len(good) // 2] ^= 1
            for bad in (b"", good[:-1], good + b"\0", bytes(flipped), bytes(len(good))):
                folder = tmp_path / "models"
                folder.mkdir(exist_ok=True)
                for other in names:
                    (folder / other).write_bytes((sdk / "models" / other).read_bytes())
                (folder / name).write_bytes(bad)
                with pytest.raises(LibraryError, match=f"{name}: is damaged") as error:
                    LibraryDetector(library, folder)
                assert error.value.status == MODEL_DAMAGED

    @pytest.mark.usefixtures("reads_models")
    def test_missing_model(self, library: Path, tmp_path: Path) -> None:
        with pytest.raises(LibraryError, match="No such file") as error:
            LibraryDetector(library, tmp_path)
        assert error.value.status == MODEL_MISSING

    @pytest.mark.usefixtures("reads_models")
    def test_no_model_is_embedded(self, library: Path) -> None:
        with pytest.raises(LibraryError, match="no model is embedded") as error:
            LibraryDetector(library)
        assert error.value.status == INVALID_ARGUMENT

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"pixels": None}, "pixels is a null pointer"),
            ({"width": 0}, "0x48"),
            ({"height": -1}, "64x-1"),
            ({"width": 40000}, "40000x48"),
            ({"stride": 191}, "stride of 191"),
            ({"stride": -192}, "stride of -192"),
            ({"stride": 193}, "9216 bytes; the image needs 9263"),
            ({"bytes": 9215}, "9215 bytes; the image needs 9216"),
            ({"bytes": 0}, "0 bytes; the image needs 9216"),
            ({"stride": 2**31 - 1}, "pixels has 9216 bytes"),
            ({"format": NV21, "width": 63}, "must be even"),
            ({"format": NV21, "bytes": 64 * 72 - 1}, "needs 4608"),
            ({"format": I420, "bytes": 64 * 72 - 1}, "needs 4608"),
            ({"format": NV21, "chroma_bytes": (5, 0), "chroma": (1, 0)}, "chroma[0] has 5 bytes"),
            ({"format": I420, "chroma_bytes": (999, 0), "chroma": (1, 0)}, "chroma[1] is a null"),
            ({"format": NV21, "chroma": (1, 0), "chroma_stride": 63}, "chroma_stride of 63"),
            ({"format": 8}, "format 8 is unknown"),
            ({"format": -1}, "format -1 is unknown"),
            ({"rotation": 45}, "rotation of 45 degrees"),
            ({"region": (0, 0, 65, 48)}, "the region 0,0,65x48 does not lie within"),
            ({"region": (40, 0, 9, 10), "rotation": 90}, "upright picture of 48x64"),
            ({"region": (2**31 - 1, 0, 64, 48)}, "does not lie within"),
            ({"region": (0, -1, 64, 48)}, "does not lie within"),
            ({"region": (1, 0, 0, 0)}, "does not lie within"),
            ({"size": 8}, "image.size is 8; set it to sizeof(ultraface_image)"),
        ],
    )
    def test_impossible_images(
        self, library: Path, sdk: Path, fields: dict[str, Any], message: str
    ) -> None:
        pixels = np.zeros((48, 64, 3), np.uint8)
        image = image_of(pixels)
        image.stride = 0
        for name, value in fields.items():
            setattr(image, name, value)
        count = ctypes.c_int32(7)
        with LibraryDetector(library, models_in(sdk)) as detector:
            c, handle = detector.c.library, detector.c.handle
            status = c.ultraface_detect(handle, ctypes.byref(image), None, 0, ctypes.byref(count))
            assert status == INVALID_ARGUMENT
            assert message in c.ultraface_last_error().decode()
            assert count.value == 0

    def test_null_pointers(self, library: Path, sdk: Path) -> None:
        pixels = np.zeros((48, 64, 3), np.uint8)
        image = ctypes.byref(image_of(pixels))
        count = ctypes.c_int32()
        with LibraryDetector(library, models_in(sdk)) as detector:
            c, handle = detector.c.library, detector.c.handle
            found = ctypes.byref(count)
            calls = {
                "detector": lambda: c.ultraface_detect(None, image, None, 0, found),
                "image": lambda: c.ultraface_detect(handle, None, None, 0, found),
                "count": lambda: c.ultraface_detect(handle, image, None, 0, None),
                "faces": lambda: c.ultraface_detect(handle, image, None, 1, found),
                "options": lambda: c.ultraface_default_options(None, 32),
            }
            for name, call in calls.items():
                assert call() == INVALID_ARGUMENT
                assert c.ultraface_last_error().decode() == f"{name} is a null pointer"
            assert c.ultraface_create(None, None, None) == INVALID_ARGUMENT
            c.ultraface_destroy(None)

    def test_structs_of_other_versions(self, library: Path, sdk: Path) -> None:
        """A caller compiled with a longer struct is served as long as it asks for nothing new."""

        class Longer(ctypes.Structure):
            _fields_ = (("known", ultraface._Options), ("more", ctypes.c_int32 * 4))

        with LibraryDetector(library, models_in(sdk)) as detector:
            c, handle = detector.c.library, ctypes.c_void_p()
            longer = Longer()
            longer.more[3] = 5
            assert c.ultraface_default_options(ctypes.byref(longer), ctypes.sizeof(longer)) == 0
            assert (longer.known.size, longer.more[3]) == (ctypes.sizeof(longer), 0)
            assert longer.known.score_threshold == pytest.approx(0.5)
            models = models_in(sdk)
            folder = None if models is None else str(models).encode()
            create = (folder, ctypes.byref(longer), ctypes.byref(handle))
            assert c.ultraface_create(*create) == 0
            c.ultraface_destroy(handle)
            longer.more[3] = 5
            assert c.ultraface_create(*create) == INVALID_ARGUMENT
            assert "a field of a newer ultraface.h" in c.ultraface_last_error().decode()
            longer.known.size = 28
            assert c.ultraface_create(*create) == INVALID_ARGUMENT
            assert "options.size is 28" in c.ultraface_last_error().decode()
            assert c.ultraface_default_options(ctypes.byref(longer), 28) == INVALID_ARGUMENT

    def test_each_status_has_words(self, library: Path, sdk: Path) -> None:
        with LibraryDetector(library, models_in(sdk)) as detector:
            c = detector.c.library
            c.ultraface_strerror.restype = ctypes.c_char_p
            words = [c.ultraface_strerror(status) for status in range(-1, 7)]
        assert words[0] == words[7] == b"unknown status"
        assert len(set(words)) == 7

    @pytest.mark.parametrize(
        ("wrong", "threads", "message"),
        [
            ({"score_threshold": 1.5}, 1, "score_threshold"),
            ({"score_threshold": float("nan")}, 1, "score_threshold"),
            ({"iou_threshold": -0.1}, 1, "iou_threshold"),
            ({"candidates": 0}, 1, "candidates"),
            ({"top_k": -1}, 1, "top_k"),
            ({}, 0, "threads"),
            ({}, 100000, "threads"),
        ],
    )
    def test_impossible_options(
        self, library: Path, sdk: Path, wrong: dict[str, float], threads: int, message: str
    ) -> None:
        options = PostprocessOptions()
        # As no program in Python can make them.
        vars(options).update(wrong)
        with pytest.raises(LibraryError, match=message) as error:
            LibraryDetector(library, models_in(sdk), options, threads)
        assert error.value.status == INVALID_ARGUMENT

    def test_a_small_buffer_gets_the_best_faces(
        self, library: Path, sdk: Path, detector: Detector, photographs: dict[str, Path]
    ) -> None:
        image = read(photographs["1.jpg"])
        best = detector.detect(image).scores[:2]
        with LibraryDetector(library, models_in(sdk), capacity=2) as small:
            np.testing.assert_allclose(small.detect(image).scores, best, atol=SCORE_TOLERANCE)


class TestDemo:
    @pytest.fixture
    def demo(
        self, native_folder: Path, sdk: Path
    ) -> Callable[..., subprocess.CompletedProcess[str]]:
        def call(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
            command = [str(native_folder / "demo" / "ultraface_demo"), *map(str, arguments)]
            return subprocess.run([*command, *model_option(sdk)], capture_output=True, text=True)

        return call

    def test_writes_json_and_a_marked_picture(
        self,
        demo: Callable[..., subprocess.CompletedProcess[str]],
        photographs: dict[str, Path],
        tmp_path: Path,
    ) -> None:
        source = photographs["1.jpg"]
        for suffix in ("ppm", "bmp"):
            marked, report = tmp_path / f"marked.{suffix}", tmp_path / "faces.json"
            done = demo(source, "--marked", marked, "--json", report)
            # MNN prints a line when it starts, and cannot be told not to.
            said = [line for line in done.stderr.splitlines() if "device supports" not in line]
            assert (done.returncode, done.stdout, said) == (0, "", [])
            before, after = read(source), read(marked)
            faces = json.loads(report.read_text())["faces"]
            assert faces
            changed = (before != after).any(axis=2)
            assert 0 < changed.mean() < 0.1
            for face in faces:
                x1, y1, x2, y2 = (round(value) for value in face["box"])
                # A corner printed as 440.5 may be a little more or less; lines are two pixels wide.
                assert (after[y1 : y1 + 2, (x1 + x2) // 2] == (0, 255, 0)).all(axis=1).any()
                assert (after[(y1 + y2) // 2, x1 : x1 + 2] == (0, 255, 0)).all(axis=1).any()

    @pytest.mark.parametrize("suffix", ["bmp", "png", "jpg", "pgm"])
    def test_reads_the_usual_files(
        self,
        demo: Callable[..., subprocess.CompletedProcess[str]],
        detector: Detector,
        photographs: dict[str, Path],
        tmp_path: Path,
        suffix: str,
    ) -> None:
        path = tmp_path / f"picture.{suffix}"
        image = read(photographs["1.jpg"])
        # An odd width makes BMP pad its rows.
        image = np.ascontiguousarray(image[:, :-1])
        cv2.imwrite(
            str(path), cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) if suffix == "pgm" else image
        )
        done = demo(path)
        if "it is not a picture that this build reads" in done.stderr:
            pytest.skip(f"built without the library that reads .{suffix}")
        assert done.returncode == 0, done.stderr
        expected = detector.detect(read(path))
        # Two JPEG decoders may differ by a grey level.
        loose = suffix == "jpg"
        assert_same_faces(
            parse_faces(done.stdout), expected, suffix, score_tolerance=0.02 if loose else 1e-3
        )

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ([], "give an image or --camera"),
            (["no-such.ppm"], "no-such.ppm: cannot read the picture, cannot open it"),
            (["--camera", "/dev/null"], "/dev/null: is not a camera"),
            (["--camera", "/dev/null", "--marked", "a.bmp"], "--marked: goes with an image"),
            (["--camera", "/dev/no-camera"], "/dev/no-camera: cannot open the camera"),
            (["a.ppm", "--nms", "fast"], "--nms fast: is neither hard, soft nor blend"),
            (["a.ppm", "--threads", "x"], "--threads x: is not a whole number"),
            (["a.ppm", "--score", "2"], "score_threshold must lie in 0..1"),
            (["a.ppm", "--quick", "1"], "--quick: unknown option"),
            (["a.ppm", "b.ppm"], "b.ppm: one image at a time"),
        ],
    )
    def test_one_line_a_mistake(
        self,
        demo: Callable[..., subprocess.CompletedProcess[str]],
        photographs: dict[str, Path],
        arguments: list[str],
        message: str,
    ) -> None:
        picture = str(photographs["1.jpg"])
        done = demo(*(picture if word == "a.ppm" else word for word in arguments))
        assert (done.returncode, done.stdout) == (2, "")
        assert message in done.stderr
        assert done.stderr.count("\n") == 1

    def test_damaged_pictures(
        self,
        demo: Callable[..., subprocess.CompletedProcess[str]],
        photographs: dict[str, Path],
        tmp_path: Path,
    ) -> None:
        image = read(photographs["1.jpg"])[:40, :40]
        for suffix in ("ppm", "bmp", "png", "jpg"):
            path = tmp_path / f"cut.{suffix}"
            cv2.imwrite(str(path), image)
            for keep in (0, 1, 2, 10, 30, 60):
                path.write_bytes(path.read_bytes()[:keep])
                done = demo(path)
                assert done.returncode == 2, (suffix, keep)
                assert done.stderr.startswith(f"error: {path}: cannot read the picture")
                cv2.imwrite(str(path), image)


def in_format(
    bgr: npt.NDArray[np.uint8], format: Format
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Return an image in a format, and as BGR what that format keeps of it."""
    pixels = encode(bgr, format)
    return pixels, decode(pixels, format)


def demo_faces(command: list[str]) -> Faces:
    return parse_faces(run(command))


def parse_faces(text: str) -> Faces:
    """Read the demo's JSON."""
    faces = json.loads(text)["faces"]
    return Faces(
        np.array([face["box"] for face in faces], np.float32).reshape(-1, 4),
        np.array([face["score"] for face in faces], np.float32),
        np.array([face["label"] for face in faces], np.int64),
    )


def paired(one: Faces, chosen: npt.NDArray[np.bool_], other: Faces) -> tuple[Faces, Faces]:
    """Return the chosen faces of one side, and of the other side those nearest to them."""
    boxes = one.boxes[chosen]
    apart = np.abs(boxes[:, None] - other.boxes[None]).max(axis=2)
    nearest = sorted(set(apart.argmin(axis=1))) if apart.size else []
    return (
        Faces(boxes, one.scores[chosen], one.labels[chosen]),
        Faces(other.boxes[nearest], other.scores[nearest], other.labels[nearest]),
    )


def assert_same_faces(
    actual: Faces, expected: Faces, what: str, score_tolerance: float = SCORE_TOLERANCE
) -> None:
    """Compare face by face; faces whose scores differ by a rounding may change places."""
    assert len(actual) == len(expected), what
    assert (np.diff(actual.scores) <= 0).all(), what
    if not len(expected):
        return
    apart = np.abs(actual.boxes[None] - expected.boxes[:, None]).max(axis=2)
    # One box may be a face of two classes.
    apart[actual.labels[None] != expected.labels[:, None]] = np.inf
    partner = apart.argmin(axis=1)
    assert len(set(partner)) == len(expected), what
    assert apart.min(axis=1).max() <= BOX_TOLERANCE_PX, what
    scores = actual.scores[partner]
    np.testing.assert_allclose(scores, expected.scores, 0, score_tolerance, err_msg=what)
    np.testing.assert_array_equal(actual.labels[partner], expected.labels, err_msg=what)
