"""Bad input: one line, the right exit code, nothing half-written, nothing good lost."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Cli, CliResult, MakeCheckpoint
from ultraface_deploy.artifacts.folder import MANIFEST, ArtifactFolder
from ultraface_deploy.safe.images import DEMO_PHOTO


def assert_refused(result: CliResult, *words: str, code: int = 2) -> None:
    assert result.code == code, result.err
    for word in words:
        assert word in result.error
    assert result.out == ""


def everything(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


Damage = Callable[[bytes], bytes]
DAMAGE: dict[str, Damage] = {
    "empty": lambda content: b"",
    "truncated": lambda content: content[: len(content) // 2],
    "text": lambda content: b"this is only text\n",
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("suffix", [".pth", ".onnx"])
def test_convert_from_a_damaged_file(
    cli: Cli, folder: ArtifactFolder, tmp_path: Path, suffix: str, damage: str
) -> None:
    format = "torch" if suffix == ".pth" else "onnx"
    content = folder.files(folder.find(format))[0].read_bytes()
    source = tmp_path / f"bad{suffix}"
    source.write_bytes(DAMAGE[damage](content))
    out = tmp_path / "out"
    assert_refused(cli("convert", source, "--to", "mnn", "-o", out), str(source))
    assert not out.exists()


@pytest.mark.parametrize("source", ["gone.pth", "gone.onnx", "gone.tflite", "gone", "."])
def test_convert_from_nothing(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert_refused(cli("convert", source, "-o", "out"), source)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--input-size", "0x0"), "input size 0x0"),
        (("--input-size", "10000000x10000000"), "between 64 and 4096"),
        (("--input-size", "320"), "WIDTHxHEIGHT"),
        (("--input-size", "-1x240"), "WIDTHxHEIGHT"),
        (("--to", "halo"), "format halo: unknown; choose from onnx"),
        (("--to", ""), "empty"),
        (("--to", "caffe", "--fp16"), "caffe does not offer fp16"),
        (("--head", "boxes"), "--head boxes: unknown"),
        (("--to", "caffe", "--int8", "--fp16"), "caffe does not offer int8"),
        (("--name", "../../evil"), "name"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_convert_options(
    cli: Cli, make_checkpoint: MakeCheckpoint, tmp_path: Path, options: tuple[str, ...], word: str
) -> None:
    out = tmp_path / "deep" / "out"
    assert_refused(cli("convert", make_checkpoint(), *options, "-o", out), word)
    assert not out.exists()


def unwritable(tmp_path: Path) -> list[Path]:
    blocker = tmp_path / "blocker"
    blocker.write_text("a file")
    return [blocker, blocker / "below", Path("/proc/ultraface")]


def test_output_that_cannot_be_written(
    cli: Cli, make_checkpoint: MakeCheckpoint, folder: ArtifactFolder, tmp_path: Path
) -> None:
    before = everything(folder.path)
    for place in unwritable(tmp_path):
        for command in (
            ("convert", make_checkpoint(), "--to", "onnx", "-o", place),
            ("detect", DEMO_PHOTO, "--model", folder.path, "-o", place / "marked.jpg"),
            ("detect", DEMO_PHOTO, "--model", folder.path, "--json", place / "faces.json"),
            ("detect", DEMO_PHOTO, "--model", folder.path, "--csv", place / "faces.csv"),
            ("verify", folder.path, "--backend", "ncnn", "--json", place / "verify.json"),
            ("models", "list", "--json", place / "models.json"),
        ):
            result = cli(*command)
            assert result.code == 2, (command, result.err)
            assert str(place) in result.error
    assert (tmp_path / "blocker").read_text() == "a file"
    assert everything(folder.path) == before


def test_manifest_that_leads_out(cli: Cli, folder: ArtifactFolder) -> None:
    manifest = folder.path / MANIFEST
    name = folder.find("mnn").files[0]
    manifest.write_text(manifest.read_text().replace(f'"{name}"', '"../../../etc/passwd"'))
    for command in ("verify", "detect"):
        arguments = (folder.path,) if command == "verify" else (DEMO_PHOTO, "--model", folder.path)
        assert_refused(cli(command, *arguments), MANIFEST, "leads out of")


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("format", ["onnxsim", "mnn", "ncnn"])
def test_detect_with_a_damaged_artifact(
    cli: Cli, folder: ArtifactFolder, tmp_path: Path, format: str, damage: str
) -> None:
    """In its folder, where the sum tells; and alone, where the runtime must."""
    files = folder.files(folder.find(format))
    victim = files[0]
    victim.write_bytes(DAMAGE[damage](victim.read_bytes()))
    out = tmp_path / "marked.jpg"
    backend = "onnxruntime" if format == "onnxsim" else format
    inside = cli("detect", DEMO_PHOTO, "--model", folder.path, "--backend", backend, "-o", out)
    assert_refused(inside, victim.name, "convert again")
    alone = tmp_path / "alone"
    alone.mkdir()
    for file in files:
        shutil.copy(file, alone)
    result = cli("detect", DEMO_PHOTO, "--model", alone / victim.name, "-o", out)
    assert_refused(result, victim.name)
    assert not out.exists()


@pytest.mark.parametrize("damage", DAMAGE)
def test_weights_of_ncnn_alone(
    cli: Cli, folder: ArtifactFolder, tmp_path: Path, damage: str
) -> None:
    param, weights = folder.files(folder.find("ncnn"))
    shutil.copy(param, tmp_path)
    (tmp_path / weights.name).write_bytes(DAMAGE[damage](weights.read_bytes()))
    result = cli("detect", DEMO_PHOTO, "--model", tmp_path / param.name)
    assert result.code in (1, 2)
    assert param.stem.split(".")[0] in result.error


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("{photo}", "--backend", "tensorrt"), ("--backend tensorrt: unknown",)),
        (("{photo}", "--precision", "int4"), ("precision 'int4' is unknown",)),
        (("{photo}", "--nms", "fast"), ("--nms fast: unknown",)),
        (("{photo}", "--precision", "int8"), ("no int8 artifact",)),
        (("gone.jpg",), ("gone.jpg: no such image",)),
        (("*.jpg",), ("matches no image",)),
        (("97",), ("camera 97",)),
        (("{folder}",), ("contains no photographs",)),
        (("{photo}", "-o", "marked.xyz"), ("marked.xyz",)),
    ],
    ids=lambda value: " ".join(value),
)
def test_detect_arguments(
    cli: Cli,
    folder: ArtifactFolder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    words: tuple[str, ...],
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)
    filled = [a.format(photo=DEMO_PHOTO, folder=empty) for a in arguments]
    assert_refused(cli("detect", *filled, "--model", folder.path), *words)
    assert list(empty.iterdir()) == []


def test_detect_keeps_the_old_picture(cli: Cli, folder: ArtifactFolder, tmp_path: Path) -> None:
    old = tmp_path / "marked.jpg"
    old.write_bytes(b"old picture")
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no picture")
    result = cli("detect", bad, "--model", folder.path, "-o", old)
    assert result.code == 1
    assert "1 of 1 picture could not be read" in result.error
    assert old.read_bytes() == b"old picture"


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("{folder}", "--images", "gone"), "gone: no such folder"),
        (("{folder}", "--images", "{empty}"), "contains no photographs"),
        (("{folder}", "--backend", "tensorrt"), "--backend tensorrt: unknown"),
        (("{empty}",), "manifest.json is missing"),
        (("gone",), "manifest.json is missing"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_verify_arguments(
    cli: Cli, folder: ArtifactFolder, tmp_path: Path, arguments: tuple[str, ...], word: str
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    filled = [a.format(folder=folder.path, empty=empty) for a in arguments]
    assert_refused(cli("verify", *filled), word)


def test_verify_with_an_unreadable_photograph(
    cli: Cli, folder: ArtifactFolder, tmp_path: Path
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "a.jpg").write_bytes(b"no photograph")
    result = cli("verify", folder.path, "--images", photos)
    assert result.code in (1, 2)
    assert "a.jpg" in result.error


def test_missing_package_is_3(
    cli: Cli, folder: ArtifactFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ultraface_deploy.backends import get_backend

    monkeypatch.setattr(type(get_backend("mnn")), "available", lambda self: False)
    result = cli("detect", DEMO_PHOTO, "--model", folder.path, "--backend", "mnn")
    assert_refused(result, "pip install 'ultraface-deploy[mnn]'", code=3)
