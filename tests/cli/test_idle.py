"""Options that would do nothing are refused, and no others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import typer

from tests.conftest import Cli
from ultraface_deploy.cli import idle
from ultraface_deploy.cli.app import build_app

IDLE = [
    ("convert --calibration .", "--int8"),
    ("convert --calibration-images 5", "--int8"),
    ("convert --fp16 --validation .", "--int8"),
    ("convert --precision w8 --ranges mse", "--int8"),
    ("convert --keep-aspect", "--int8"),
    ("convert --int8 --calibration file --calibration-images 5", "not for a table"),
    ("convert --to onnx --accelerator ethos-u55-128", "--to ethosu"),
    ("verify --backend mnn --device cuda", "--backend onnxruntime"),
    ("detect --tile-overlap 0.5", "--tiles"),
    ("detect --crop-margin 0.5", "--crop"),
    ("detect --no-labels", "--output"),
    ("detect -o x.jpg --blur --no-labels", "--blur"),
    ("detect --shard-size 5", "--engine ray"),
    ("detect a.jpg --reconnect 5", "streams"),
    ("serve --fps 5", "--source"),
    ("serve --width 640", "--source"),
    ("package -o x --calibration .", "--precision int8"),
    ("package -o x --runtime web --precision fp32 --calibration .", "--precision int8"),
    ("bench --bootstrap", "--host"),
    ("bench run --backend mnn --device cuda", "--backend onnxruntime"),
    ("bench count --setup --layers", "CORE"),
    ("bench count cortex-a72 --layers --image file", "leave it out"),
    ("bench recommend --eval file", "--min-ap"),
    ("eval --data . --ground-truth . --class face", "--folder and --labels"),
    ("eval --folder . --labels . --ground-truth .", "one or the other"),
    ("eval --predictions . --ground-truth . --backend mnn", "scored as they are"),
    ("quantize report --calibration file --calibration-images 5", "folder of photographs"),
]
USED = [
    "convert --int8 --calibration . --calibration-images 5 --keep-aspect --validation .",
    "convert --int8 --calibration file --calibration-images 5 --validation .",
    "convert --precision int8 --to ethosu --accelerator ethos-u55-128 --keep conv1",
    "verify --device cuda",
    "verify --backend all --device cuda",
    "detect --tiles 2x2 --tile-overlap 0.5 --crop x --crop-margin 0.5 -o x.jpg --no-labels",
    "detect --engine ray --shard-size 5 --backend onnxruntime --device cuda",
    "detect rtsp://camera/1 --reconnect 5 --show --no-labels",
    "serve --source 0 --fps 5 --width 640",
    "package -o x --precision int8 --calibration .",
    "package -o x --runtime web --calibration .",
    "bench --host pi@board --bootstrap",
    "bench count cortex-a72 --image file --json x.json --backend mnn",
    "bench recommend --eval file --min-ap 0.4",
    "eval --data . --ground-truth . --device cuda --backend onnxruntime --nms soft",
    "eval --folder . --labels . --class face --false-positives 0.2",
    "eval --predictions . --ground-truth . --coco --curves x.csv",
    "quantize report --calibration . --calibration-images 5",
]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("{}")


def leaves(command: Any, words: tuple[str, ...] = ()) -> dict[str, Any]:
    """All commands that do something, by their words."""
    children = getattr(command, "commands", {})
    found = {" ".join(words): command} if not children else {}
    for name, child in children.items():
        found |= leaves(child, (*words, name))
    return found


def test_the_rules_name_what_there_is() -> None:
    commands = leaves(typer.main.get_command(build_app()))
    assert idle.RULES.keys() <= commands.keys()
    for words, rules in idle.RULES.items():
        names = {parameter.name for parameter in commands[words].params}
        assert {option for rule in rules for option in rule.options} <= names, words


@pytest.mark.parametrize(("line", "said"), IDLE)
def test_what_would_do_nothing_is_refused(cli: Cli, line: str, said: str) -> None:
    refused = cli(*line.split())
    assert refused.code == 2, refused.err
    assert refused.error.startswith("--") and said in refused.error
    assert [path.name for path in Path().iterdir()] == ["file"]


@pytest.mark.parametrize("line", USED)
def test_what_does_something_is_not(line: str) -> None:
    command: Any = typer.main.get_command(build_app())
    idle.check_first(command)
    reached = []
    for words, leaf in leaves(command).items():
        leaf.callback = lambda words=words, **_: reached.append(words)
    command(line.split(), standalone_mode=False)
    assert len(reached) == 1 and line.startswith(reached[0].removesuffix(" run"))


def test_defaults_of_a_file_are_for_many_commands(cli: Cli) -> None:
    Path("ultraface.toml").write_text("[convert]\nkeep_aspect = true\n")
    result = cli("convert", "nosuch")
    assert result.code == 2 and "--keep-aspect" not in result.error
