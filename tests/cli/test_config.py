"""`ultraface.toml`: defaults of one's own."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from tests.conftest import Cli
from ultraface_deploy import InputError
from ultraface_deploy.cli.app import build_app
from ultraface_deploy.cli.config import defaults

COMMAND = typer.main.get_command(build_app())


def read(folder: Path, text: str) -> dict[str, object]:
    path = folder / "ultraface.toml"
    path.write_text(text)
    return defaults(COMMAND, path)


def test_without_a_file_there_are_no_defaults(tmp_path: Path) -> None:
    assert defaults(COMMAND, tmp_path / "ultraface.toml") == {}


def test_options_are_named_as_on_the_command_line(tmp_path: Path) -> None:
    text = '[detect]\ninput-size = "64x64"\nthreshold = 0.9\n[bench.report]\noutput = "b.html"\n'
    assert read(tmp_path, text) == {
        "detect": {"input_size": "64x64", "threshold": 0.9},
        "bench": {"report": {"output": "b.html"}},
    }


def test_bench_alone_means_bench_run(tmp_path: Path) -> None:
    assert read(tmp_path, '[bench]\nthreads = "1-2"') == {"bench": {"run": {"threads": "1-2"}}}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[detekt]\nthreshold = 0.9", r"\[detekt\] is unknown"),
        ("[detect]\nthreshol = 0.9", r"\[detect\] threshol is unknown"),
        ("threshold = 0.9", r"\[threshold\] is unknown"),
        ("[detect", "cannot be read"),
        ('[bench]\nhost = ["a"]', "host uses the network and must be typed"),
        ("[bench.count]\nsetup = true", "setup uses the network"),
        ("[package]\nfetch-runtime = true", "fetch-runtime uses the network"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(InputError, match=named):
        read(tmp_path, text)


def test_the_line_wins_over_the_file(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ultraface_deploy.safe.images import DEMO_PHOTO

    monkeypatch.chdir(tmp_path)
    Path("ultraface.toml").write_text("[detect]\nthreshold = 1.0\n")
    photo = str(DEMO_PHOTO)
    assert cli("detect", photo).out.endswith(": 0 faces\n")
    assert cli("detect", photo, "--threshold", "0.5").out.endswith(": 1 face\n")
