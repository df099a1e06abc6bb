"""From a model to a folder: what is planned, reused, refused, and never published unchecked."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import Convert, MakeCheckpoint
from ultraface_deploy import models
from ultraface_deploy.artifacts import making
from ultraface_deploy.artifacts.convert import convert
from ultraface_deploy.artifacts.folder import MANIFEST, ArtifactFolder
from ultraface_deploy.artifacts.plan import Step, plan
from ultraface_deploy.artifacts.source import resolve_source
from ultraface_deploy.converters import Conversion, get_format
from ultraface_deploy.errors import CheckFailed, InputError, MissingDependency


def names(steps: list[Step]) -> list[str]:
    return [f"{step.format}-{step.precision}" for step in steps]


def test_plans() -> None:
    assert names(plan("torch", ["onnx"], "fp32")) == ["onnx-fp32"]
    assert names(plan("torch", ["mnn"], "fp32")) == ["onnx-fp32", "onnxsim-fp32", "mnn-fp32"]
    assert names(plan("torch", ["mnn", "ncnn"], "fp16")) == [
        *("onnx-fp32", "onnxsim-fp32", "mnn-fp16", "ncnn-fp16"),
    ]
    assert names(plan("onnx", ["onnxsim"], "fp32")) == ["onnx-fp32", "onnxsim-fp32"]
    everything = names(plan("torch", ["all"], "fp16"))
    assert everything[:5] == ["onnx-fp32", "onnxsim-fp32", "mnn-fp32", "ncnn-fp32", "caffe-fp32"]
    assert {"mnn-fp16", "ncnn-fp16"} < set(everything)
    assert len(set(everything)) == len(everything)


def test_several_precisions_in_one_plan() -> None:
    assert names(plan("torch", ["mnn"], "fp16", "int8")) == [
        *("onnx-fp32", "onnxsim-fp32", "mnn-fp16", "mnn-int8"),
    ]


def test_plans_that_cannot_be() -> None:
    with pytest.raises(InputError, match="format halo: unknown"):
        plan("torch", ["halo"], "fp32")
    with pytest.raises(InputError, match="caffe does not offer fp16"):
        plan("torch", ["caffe"], "fp16")


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.name != ".lock"
    }


def test_folder_is_complete(converted: Convert, make_checkpoint: MakeCheckpoint) -> None:
    folder = converted(make_checkpoint(), "onnx", "onnxsim", "mnn", "ncnn", size=(128, 96))
    name = folder.spec.name
    assert name == "random-slim-2-128x96"
    assert {path.name for path in folder.path.iterdir()} >= {
        *(f"{name}.pth", f"{name}.onnx", f"{name}.sim.onnx", f"{name}.mnn"),
        *(f"{name}.ncnn.param", f"{name}.ncnn.bin", MANIFEST),
    }
    assert folder.source.file == "random-slim-2.pth"
    assert folder.tools.keys() >= {"torch", "onnx", "onnxsim", "mnn", "ncnn"}
    for artifact in folder.artifacts:
        assert folder.check_files(artifact) is None
        assert artifact.format == "torch" or (artifact.verification or {})["passed"]


def test_fp16_is_an_infix(converted: Convert, make_checkpoint: MakeCheckpoint) -> None:
    folder = converted(make_checkpoint(), "mnn", "ncnn", size=(128, 96), precision="fp16")
    name = folder.spec.name
    assert folder.find("mnn", "fp16").files == (f"{name}.fp16.mnn",)
    assert folder.find("ncnn", "fp16").files == (f"{name}.fp16.ncnn.param", f"{name}.fp16.ncnn.bin")


@pytest.mark.parametrize("format", ["torch", "onnx"])
def test_source_that_is_replaced_between_reading_and_converting(
    folder: ArtifactFolder, tmp_path: Path, format: str
) -> None:
    """What was read decides the spec: other bytes must not be converted under it."""
    original, output = folder.files(folder.find(format))[0], tmp_path / "deep" / "out"
    file = tmp_path / f"mine{original.suffix}"
    file.write_bytes(original.read_bytes())
    source = resolve_source(file)
    other = folder.files(folder.find("onnxsim"))[0] if format == "onnx" else original
    file.write_bytes(other.read_bytes() + (b"" if format == "onnx" else b"x"))
    with pytest.raises(InputError, match="was replaced while it was read"):
        convert(source, ["onnx"], output=output)
    assert not output.parent.exists()
    output.mkdir(parents=True)
    with pytest.raises(InputError, match="was replaced while it was read"):
        convert(source, ["onnx"], output=output)
    assert list(output.iterdir()) == []


def test_asking_again_reuses_the_steps_on_the_way(
    folder: ArtifactFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    original = making.Work.make
    monkeypatch.setattr(
        making.Work,
        "make",
        lambda self, step: (made.append(step.format), original(self, step))[1],
    )
    convert(resolve_source(folder.path), ["mnn"], output=folder.path)
    assert made == ["mnn"]


def test_changed_step_on_the_way_is_made_again(folder: ArtifactFolder) -> None:
    file = folder.files(folder.find("onnxsim"))[0]
    before = file.read_bytes()
    file.write_bytes(b"broken")
    again = convert(resolve_source(folder.path), ["mnn"], output=folder.path)
    assert again.check_files(again.find("onnxsim")) is None
    assert file.read_bytes() == before


def test_artifact_that_fails_is_not_published(
    folder: ArtifactFolder,
    converted: Convert,
    make_checkpoint: MakeCheckpoint,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A converter that goes wrong without a word: the old artifact stays."""
    other = get_format("mnn")
    theirs = converted(make_checkpoint("rfb"), "onnxsim", size=(128, 96))

    def lying(job: Conversion) -> None:
        sources = theirs.files(theirs.find("onnxsim"))
        other.convert(Conversion(sources, job.spec, job.precision, job.outputs))

    broken = replace(other, precisions={"fp32": lying})
    monkeypatch.setattr(
        making,
        "get_format",
        lambda name: broken if name == "mnn" else get_format(name),
    )
    before = contents(folder.path)
    with pytest.raises(CheckFailed, match=r"mnn on mnn is not the original network: .*differ by"):
        convert(resolve_source(folder.path), ["mnn"], output=folder.path)
    assert contents(folder.path) == before


def test_what_fails_keeps_no_other_target_from_being_made(
    tmp_path: Path, make_checkpoint: MakeCheckpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(work: making.Work, step: Step) -> None:
        if step.format in bad:
            raise CheckFailed(f"{step.format} is another network")
        make(work, step)

    make, said, bad = making.Work.make, list[str](), {"mnn", "caffe"}
    monkeypatch.setattr(making.Work, "make", failing)
    source = resolve_source(make_checkpoint("slim"), input_size=(128, 96))
    targets = ["mnn", "ncnn", "caffe"]
    with pytest.raises(CheckFailed, match=r"^mnn is another network; caffe is another network$"):
        convert(source, targets, output=tmp_path / "net", report=said.append)
    assert ArtifactFolder.open(tmp_path / "net").has("ncnn")
    assert "mnn            failed; going on with the others" in said
    bad = {"onnxsim"}
    with pytest.raises(CheckFailed, match=r"^onnxsim is another network$"):
        convert(source, targets, output=tmp_path / "other", report=said.append)
    assert not any("onnxsim" in line and "going on" in line for line in said)


def test_what_a_format_cannot_do_is_refused_at_once_and_left_out_of_all(
    tmp_path: Path, make_checkpoint: MakeCheckpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = resolve_source(make_checkpoint("slim", channels=1), input_size=(128, 96))
    with pytest.raises(InputError, match="has GRAY input, which the C file cannot do"):
        convert(source, ["c"], output=tmp_path / "c")
    assert not (tmp_path / "c").exists()
    made, said = list[str](), list[str]()
    monkeypatch.setattr(making.Work, "make", lambda _, step: made.append(step.format))
    convert(source, ["all"], output=tmp_path / "all", report=said.append)
    assert "ncnn" in made and "c" not in made
    assert sum("left out" in line and "GRAY input" in line for line in said) == 1


def test_converter_that_crashes_leaves_the_folder_as_it_was(
    folder: ArtifactFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    converter = get_format("ncnn")

    def crash(job: Conversion) -> None:
        job.outputs[0].write_text("half")
        raise RuntimeError("crash")

    broken = replace(converter, precisions={"fp32": crash})
    monkeypatch.setattr(
        making,
        "get_format",
        lambda name: broken if name == "ncnn" else get_format(name),
    )
    before = contents(folder.path)
    with pytest.raises(RuntimeError, match="crash"):
        convert(resolve_source(folder.path), ["ncnn"], output=folder.path)
    assert contents(folder.path) == before


def test_missing_package_is_found_before_anything_is_written(
    make_checkpoint: MakeCheckpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from importlib.util import find_spec

    monkeypatch.setattr(
        "ultraface_deploy.converters.base.find_spec",
        lambda name: None if name == "ncnn" else find_spec(name),
    )
    with pytest.raises(MissingDependency, match="'ncnn': pip install"):
        convert(resolve_source(make_checkpoint()), ["ncnn"], output=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_another_network_in_the_folder(
    folder: ArtifactFolder, make_checkpoint: MakeCheckpoint
) -> None:
    before = contents(folder.path)
    for source in (
        resolve_source(make_checkpoint("rfb"), (128, 96)),
        resolve_source(make_checkpoint(), (160, 120)),
        resolve_source(make_checkpoint(), (128, 96), "decoded"),
    ):
        with pytest.raises(
            InputError, match=r"holds artifacts of .* choose another folder with `output`"
        ):
            convert(source, ["onnx"], output=folder.path)
    assert contents(folder.path) == before


def test_overwrite(folder: ArtifactFolder, make_checkpoint: MakeCheckpoint) -> None:
    source = resolve_source(make_checkpoint("rfb"), (64, 64))
    made = convert(source, ["onnx"], output=folder.path, overwrite=True)
    assert made.spec.architecture == "rfb"
    assert {artifact.id for artifact in made.artifacts} == {"torch", "onnx"}
    assert ArtifactFolder.open(folder.path) == made


def test_damaged_manifest_is_not_written_over(
    folder: ArtifactFolder, make_checkpoint: MakeCheckpoint
) -> None:
    (folder.path / MANIFEST).write_text("{")
    source = resolve_source(make_checkpoint(), (128, 96))
    with pytest.raises(InputError, match="damaged"):
        convert(source, ["onnx"], output=folder.path)
    assert (folder.path / MANIFEST).read_text() == "{"
    assert convert(source, ["onnx"], output=folder.path, overwrite=True).has("onnx")


def test_from_our_own_onnx(folder: ArtifactFolder, tmp_path: Path) -> None:
    """As on a board: no checkpoint, the ONNX file is the original network."""
    file = tmp_path / "mine.onnx"
    shutil.copy(folder.files(folder.find("onnx"))[0], file)
    source = resolve_source(file)
    assert source.format == "onnx"
    made = convert(source, ["mnn"], output=tmp_path / "out")
    assert {artifact.id for artifact in made.artifacts} == {"onnx", "onnxsim", "mnn"}
    assert (made.find("mnn").verification or {})["reference"] == "onnx"


@pytest.mark.parametrize(
    ("file", "size", "head"),
    [
        ("version-slim-320.onnx", None, None),
        ("version-RFB-320_without_postprocessing.onnx", (160, 120), "decoded"),
    ],
)
def test_from_published_onnx(
    shared: Path, tmp_path: Path, file: str, size: tuple[int, int] | None, head: str | None
) -> None:
    source = resolve_source(shared / "reference/onnx" / file, size, head)  # type: ignore[arg-type]
    made = convert(source, ["onnxsim", "mnn", "ncnn"], output=tmp_path / "out")
    assert made.spec.head == "decoded"
    assert (made.spec.width, made.spec.height) == (size or (320, 240))
    assert made.has("mnn")
    assert made.has("ncnn")


def test_decoded_onnx_cannot_become_raw(shared: Path, tmp_path: Path) -> None:
    published = shared / "reference/onnx/version-slim-320.onnx"
    for source in (resolve_source(published, head="raw"), resolve_source(published, (160, 120))):
        with pytest.raises(InputError, match="anchors are baked in"):
            convert(source, ["mnn"], output=tmp_path / "out")
        assert not (tmp_path / "out" / MANIFEST).exists()


def test_folder_that_cannot_be_made(make_checkpoint: MakeCheckpoint, tmp_path: Path) -> None:
    (tmp_path / "blocker").write_text("a file")
    source = resolve_source(make_checkpoint())
    for output in (tmp_path / "blocker", tmp_path / "blocker/out", Path("/proc/out")):
        with pytest.raises(InputError, match="cannot create the folder"):
            convert(source, ["onnx"], output=output)
    assert (tmp_path / "blocker").read_text() == "a file"


@pytest.mark.parametrize("suffix", [".onnx", ".sim.onnx"])
def test_a_file_is_not_replaced_by_its_own_artifact(
    folder: ArtifactFolder, tmp_path: Path, suffix: str
) -> None:
    (original,) = folder.files(folder.find("onnxsim"))
    mine = tmp_path / f"net{suffix}"
    shutil.copyfile(original, mine)
    with pytest.raises(InputError, match=r"would be replaced .* choose another folder"):
        convert(resolve_source(str(mine), name="net"), ["onnxsim"], output=tmp_path)
    assert mine.read_bytes() == original.read_bytes()
    assert not (tmp_path / MANIFEST).exists()


@pytest.mark.parametrize("name", ["{}.pth", "{}.onnx", "{}.calibration.json"])
def test_files_of_others_are_not_replaced(
    make_checkpoint: MakeCheckpoint, tmp_path: Path, name: str
) -> None:
    source = resolve_source(make_checkpoint(), input_size=(128, 96))
    mine = tmp_path / name.format(source.spec.name)
    mine.write_bytes(b"mine")
    with pytest.raises(InputError, match=r"would be replaced .* remove it, or `overwrite`"):
        convert(source, ["onnx"], output=tmp_path)
    assert mine.read_bytes() == b"mine"
    assert not (tmp_path / MANIFEST).exists()
    folder = convert(source, ["onnx"], output=tmp_path, overwrite=True)
    assert (mine.read_bytes() == b"mine") == (mine.suffix == ".json")
    # Beside a manifest too: only what it lists is the tool's.
    other = tmp_path / f"{source.spec.name}.sim.onnx"
    other.write_bytes(b"mine")
    with pytest.raises(InputError, match=r"sim\.onnx: would be replaced"):
        convert(source, ["onnxsim"], output=tmp_path)
    other.unlink()
    assert convert(source, ["onnxsim"], output=tmp_path).find("onnx") == folder.find("onnx")


def test_of_a_quantised_file_nothing_is_made(tmp_path: Path) -> None:
    quantization = pytest.importorskip("onnxruntime.quantization", reason="quantises a file")
    theirs = tmp_path / "theirs.onnx"
    # ONNX Runtime 1.17 has no convolution with signed weights of this kind.
    unsigned = quantization.QuantType.QUInt8
    quantization.quantize_dynamic(models.FOLDER / "slim-320.onnx", theirs, weight_type=unsigned)
    source = resolve_source(theirs)
    # Not even ONNX: it would stand in the manifest as the FP32 that all else is compared with.
    for target, precision in (("mnn", "fp32"), ("onnx", "int8"), ("onnx", "fp32"), ("all", "fp32")):
        with pytest.raises(InputError, match=r"quantised already \(int8\).* was made from"):
            convert(source, [target], precision, output=tmp_path / "out")  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()


def test_the_int8_that_the_last_check_refuses_is_not_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The search goes on to the next candidate, and that one is published."""
    verify, refused = making.verify_artifact, list[str]()

    def strict(spec, artifact, files, *others):  # type: ignore[no-untyped-def]
        found = verify(spec, artifact, files, *others)
        if artifact.precision != "int8" or refused:
            return found
        refused.append(artifact.id)
        return replace(found, passed=False, reason="faces agree with F1 0.947")

    monkeypatch.setattr(making, "verify_artifact", strict)
    said: list[str] = []
    source = resolve_source("slim-320")
    made = convert(source, ["onnx"], "int8", tmp_path / "folder", report=said.append)
    assert refused == ["onnx-int8"]
    assert made.find("onnx", "int8").verified
    (line,) = [each for each in said if "rejected" in each]
    assert "rejected: of the photographs that ship: faces agree with F1 0.947" in line
