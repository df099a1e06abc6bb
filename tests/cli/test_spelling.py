"""What the library calls a parameter, the command line calls an option."""

from __future__ import annotations

import pytest
import typer

from ultraface_deploy.cli.app import build_app, main
from ultraface_deploy.cli.spelling import command_of, options_of, spelled

WHOLE = typer.main.get_command(build_app())


@pytest.mark.parametrize(
    ("line", "message", "expected"),
    [
        ("convert", "give `input_size` 320x240", "give --input-size 320x240"),
        ("convert", "`core` x is unknown", "--for x is unknown"),
        ("convert", "`class` twice", "--class twice"),
        ("detect", "`output` a.txt, or `scale`", "--output a.txt, or --scale"),
        ("", "`input_size`, `nothing`, `Input`", "--input-size, `nothing`, `Input`"),
    ],
)
def test_options_stand_for_parameters(line: str, message: str, expected: str) -> None:
    assert spelled(message, options_of(WHOLE, line.split())) == expected


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("detect a.jpg --threads 2", ("detect",)),
        ("bench folder", ("bench", "run")),
        ("bench compare a b", ("bench", "compare")),
        ("models", ("models",)),
        ("--help", ()),
    ],
)
def test_the_command_of_a_line(line: str, words: tuple[str, ...]) -> None:
    assert command_of(WHOLE, line.split())[0] == words


def test_an_error_of_the_library_names_the_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["detect", "--roi", "1,2"])
    assert capsys.readouterr().err.startswith("error: --roi 1,2: give x,y,width,height")
