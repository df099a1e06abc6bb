"""The command line as a whole: help, start-up, errors, exit codes, what goes where."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from tests.conftest import ROOT, Cli, hear_ctrl_c
from ultraface_deploy import __version__
from ultraface_deploy.artifacts.folder import ArtifactFolder
from ultraface_deploy.cli.app import build_app
from ultraface_deploy.safe.images import DEMO_PHOTO, PHOTOS

COMMAND = [sys.executable, "-m", "ultraface_deploy"]


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command and group, with the words that lead to it."""
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, (*path, name))


ALL = dict(commands(typer.main.get_command(build_app())))


@pytest.mark.parametrize("path", ALL, ids=lambda path: " ".join(path) or "ultraface-deploy")
def test_everything_has_help(path: tuple[str, ...]) -> None:
    command = ALL[path]
    assert (command.help or "").strip(), "the command says nothing"
    for parameter in command.params:
        assert (getattr(parameter, "help", None) or "").strip(), parameter.name


def test_the_commands_of_the_contract() -> None:
    assert {path[0] for path in ALL if path} >= {
        *("convert", "verify", "bench", "detect", "models", "doctor"),
    }
    assert {path[1] for path in ALL if len(path) == 2 and path[0] == "models"} == {
        *("list", "info", "pull", "scores", "balance-scores", "match-scores", "compare", "average"),
    }


HELP = """
import json, sys
from ultraface_deploy.cli import main
for words in json.loads(sys.argv[1]):
    try:
        main([*words, "--help"])
    except SystemExit as ended:
        assert not ended.code, words
heavy = {"torch", "onnx", "onnxruntime", "MNN", "ncnn", "cv2", "numpy", "scipy", "matplotlib"}
print("imported:", *sorted(heavy & set(sys.modules)), file=sys.stderr)
"""


def test_help_imports_nothing_heavy() -> None:
    done = subprocess.run(
        [sys.executable, "-c", HELP, json.dumps(list(ALL))],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr.splitlines()[-1].split() == ["imported:"]
    assert "Usage: ultraface-deploy convert" in done.stdout


def test_version_and_no_arguments(cli: Cli) -> None:
    assert cli("--version").out == f"{__version__}\n"
    bare = cli()
    assert "Usage: ultraface-deploy" in bare.out + bare.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("frobnicate",),
        ("convert", "--no-such-option"),
        ("detect", "x.jpg", "--threads", "0"),
        ("detect", "x.jpg", "--threads", "many"),
        ("detect", "x.jpg", "--threshold", "7"),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_2(cli: Cli, arguments: tuple[str, ...]) -> None:
    done = cli(*arguments)
    assert done.code == 2
    assert "Traceback" not in done.err
    assert done.out == ""


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from ultraface_deploy.cli import app
    from ultraface_deploy.errors import InputError

    monkeypatch.setattr(app.streams, "arrange", lambda show_native: None)
    monkeypatch.setattr(app.signals, "arrange", lambda: None)
    with pytest.raises(InputError):
        app.main(["verify", str(tmp_path), "--debug"])


def run(*arguments: object, cwd: Path = ROOT, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own, as users do."""
    command = [*COMMAND, *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, **options)


def test_json_alone_is_on_standard_output(folder: ArtifactFolder) -> None:
    """MNN prints to standard output by itself; that must not get between."""
    verified = run("verify", folder.path, "--allow-no-faces", "--json", "-")
    assert json.loads(verified.stdout)["passed"] is True
    assert verified.returncode == 0
    detected = run("detect", PHOTOS, "--model", folder.path, "--backend", "mnn", "--json", "-")
    assert len(json.loads(detected.stdout)["results"]) == 2
    assert detected.returncode == 0


def test_closed_standard_output_is_no_traceback() -> None:
    """As in `ultraface-deploy models list | head -0`."""
    read, write = os.pipe()
    os.close(read)
    try:
        command = [*COMMAND, "models", "list"]
        done = subprocess.run(command, cwd=ROOT, stdout=write, stderr=subprocess.PIPE, text=True)
    finally:
        os.close(write)
    assert "Traceback" not in done.stderr


def test_interrupt_is_one_line_and_leaves_nothing(folder: ArtifactFolder, tmp_path: Path) -> None:
    clip = tmp_path / "photos"
    clip.mkdir()
    for number in range(3000):
        (clip / f"{number}.jpg").symlink_to(DEMO_PHOTO)
    out = tmp_path / "out"
    out.mkdir()
    process = subprocess.Popen(
        [*COMMAND, "detect", str(clip), "--model", str(folder.path), "--csv", str(out / "f.csv")],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hear_ctrl_c,
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    started = time.monotonic()
    _, err = process.communicate(timeout=60)
    assert time.monotonic() - started < 30
    assert process.returncode == 130
    assert err.splitlines()[-1] == "error: interrupted"
    assert "Traceback" not in err
    assert list(out.iterdir()) == []
