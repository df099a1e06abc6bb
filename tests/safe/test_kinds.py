"""A file in another's place is called what it is."""

from __future__ import annotations

import json
import zipfile
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest
import typer

from tests.conftest import Cli
from ultraface_deploy import models
from ultraface_deploy.bench.peers import PeerReport
from ultraface_deploy.cli.app import build_app
from ultraface_deploy.cli.schemas import KINDS
from ultraface_deploy.cli.spelling import command_of
from ultraface_deploy.pipeline.maps import HeadFile
from ultraface_deploy.safe.images import DEMO_PHOTO
from ultraface_deploy.safe.kinds import _WRITTEN_BY, TELLING, damaged, kind_of, not_a

RECORDS = {
    "manifest": KINDS["manifest"][0],
    "JSON result of bench": KINDS["bench"][0],
    "JSON result of bench count": KINDS["count"][0],
    "result of bench submit": KINDS["submission"][0],
    "JSON result of eval": KINDS["eval"][0],
    "JSON result of verify": KINDS["verify"][0],
    "description of a head": HeadFile,
    "result of eval peers or bench peers": PeerReport,
}


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_is_told_from_all_others(name: str, tmp_path: Path) -> None:
    record: Any = RECORDS[name]
    path = tmp_path / "x.json"
    path.write_text(json.dumps({field.name: None for field in fields(record)}))
    assert kind_of(path) == name
    needed = {each.name for each in fields(record) if each.default is MISSING}
    assert name == "result of eval peers or bench peers" or set(TELLING[name]) <= needed | {"tools"}


def test_other_files(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("x", "y")
    (tmp_path / "list.json").write_text("[1]")
    (tmp_path / "deep.json").write_text("[" * 100_000)
    assert kind_of(tmp_path / "a.zip") == "zip archive"
    assert kind_of(DEMO_PHOTO) == "picture"
    assert kind_of(models.FOLDER / "slim-320.pth") == "torch checkpoint"
    assert kind_of(models.FOLDER / "slim-320.calibration.json") == "calibration table"
    for name in ("list.json", "deep.json", "gone.json"):
        assert kind_of(tmp_path / name) is None
    assert not_a(DEMO_PHOTO, "model") == "is a picture, not a model"
    assert not_a(DEMO_PHOTO, "picture") is None


def test_a_damaged_file_says_how_it_is_had_again(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(b"x")
    said = "not an ONNX model, or damaged (cut); get it again, or convert again"
    assert damaged(path, "ONNX model", "cut") == said
    assert (
        damaged(path, "ncnn .bin", "cut", "copy it")
        == "not an ncnn .bin, or damaged (cut); copy it"
    )
    assert damaged(DEMO_PHOTO, "ONNX model", "cut") == "is a picture, not an ONNX model"


@pytest.mark.parametrize("wanted", _WRITTEN_BY)
def test_what_writes_a_file_is_a_command_that_there_is(wanted: str) -> None:
    """Every option of it too; what is written in capitals is to be filled in."""
    assert wanted in TELLING
    said = str(not_a(DEMO_PHOTO, wanted)).partition("ultraface-deploy ")[2]
    words, command = command_of(typer.main.get_command(build_app()), said.split())
    assert words and not hasattr(command, "commands")
    known = {spelling for each in command.params for spelling in each.opts}
    assert {word for word in said.split() if word.startswith("-")} <= known


TABLE = str(models.FOLDER / "slim-320.calibration.json")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (f"bench report {TABLE} -o x.html", "is a calibration table, not a JSON result of bench"),
        (f"bench recommend {TABLE}", "is a calibration table, not a JSON result of bench"),
        (f"bench submit {TABLE} -o x.json", "is a calibration table, not a JSON result of bench"),
        (f"eval table {TABLE}", "is a calibration table, not a JSON result of eval"),
        (f"quantize report {TABLE}", "is a calibration table, not a model; give a .pth"),
        (f"convert {DEMO_PHOTO}", "is a picture, not a model; give a .pth"),
        (f"bench {TABLE}", "is a calibration table, not a model; known are .pth"),
        (f"verify {TABLE}", "is a calibration table, not a model; known are .pth"),
        (f"detect --model {TABLE}", "is a calibration table, not a model; known are .pth"),
        (f"package {TABLE} -o x", "is a calibration table, not an artifact folder; make one with"),
        (f"models average {TABLE} {TABLE} -o x.pth", "is a calibration table, not a torch check"),
        (f"eval --folder . --labels {TABLE}", "is a calibration table, not a COCO annotation file"),
        (f"quantize calibrate --calibration {TABLE}", "is a file; give a folder of photographs"),
        ("package {folder}/slim-320.pth -o x", "is a file of an artifact folder; give the folder"),
        ("package {folder}/manifest.json -o x", "is a file of an artifact folder; give the folder"),
        (f"package {models.FOLDER}/slim-320.pth -o x", "make one of it: ultraface-deploy convert "),
        ("verify {folder}/manifest.json", "is a manifest, not a model; give its folder, {folder}"),
        (f"bench compare {TABLE} {TABLE}", "; make one with: ultraface-deploy bench MODEL --json"),
        ("package empty.pth -o x", "empty.pth: the model is empty; was a copy cut short"),
        ("models pull nosuch", "no model named 'nosuch' to pull; choose from published-slim-320"),
        ("models info nosuch", "no model named 'nosuch'; choose from slim-320"),
    ],
)
def test_commands_say_what_they_were_given(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "made"
    folder.mkdir()
    for name in ("slim-320.pth", "manifest.json"):
        (folder / name).write_text('{"model": {}, "artifacts": []}')
    Path("empty.pth").touch()
    before = sorted(tmp_path.rglob("*"))
    result = cli(*line.format(folder=folder).split())
    assert result.code == 2, result.err
    assert said.format(folder=folder) in result.error
    assert sorted(tmp_path.rglob("*")) == before
