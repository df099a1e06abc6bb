"""A wrong command line is answered in one line, like every other error."""

from __future__ import annotations

import re

import pytest

from ultraface_deploy.cli.app import main


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("detect --threshold 3", r"detect --threshold 3: .*1.*; see ultraface-deploy detect -h"),
        (
            "detect --threads=abc",
            r"detect --threads abc: 'abc' is not a valid int.*; see ultraface-deploy detect -h",
        ),
        ("detect --threads", r"detect --threads: .*; see ultraface-deploy detect -h"),
        ("detect --show=3", r"detect --show: .*; see ultraface-deploy detect -h"),
        ("detect --modle x", r"detect --modle: no such option; did you mean --model\?"),
        ("detect --xyz", r"detect --xyz: no such option; ultraface-deploy detect -h lists them"),
        ("bench --threds 3", r"bench run --threds: no such option; did you mean --threads\?"),
        ("detcet a.jpg", r"detcet: no such command; did you mean detect\?"),
        ("models foo", r"models foo: no such command; choose from list, info, pull, .*"),
        ("package", r"package needs -o/--output: .*; see ultraface-deploy package -h"),
        ("bench compare", r"bench compare needs A.json: .*; see ultraface-deploy bench compare -h"),
        ("verify a b", r"verify takes no further argument, but was given b; see .* verify -h"),
        ("--threads 3 detect", r"--threads: no such option; ultraface-deploy -h lists them"),
        ("detect ", "SOURCE: the value is empty; give one \\(is a variable not set\\?\\)"),
        (
            "bench compare -q a.json ",
            r"B\.json: the value is empty; give one .*",
        ),
        ("eval compare --max-drop 0.1 a.json ", r"AFTER: the value is empty; .*"),
        ("detect a.jpg -o ", "-o: the value is empty; give one \\(is a variable not set\\?\\)"),
        (
            "detect a.jpg --json=",
            "--json: the value is empty; give one .*",
        ),
        ("convert -- ", "MODEL: the value is empty; give one \\(is a variable not set\\?\\)"),
        (
            "--log-file  detect",
            "--log-file: the value is empty; give one .*",
        ),
        ("detect --threshold nan", "--threshold nan: is not a number; give one"),
        ("detect --min-size NaN", "--min-size nan: is not a number; give one"),
        ("bench --seconds nan", "--seconds nan: is not a number; give one"),
        ("detect --threads 100000", "detect --threads 100000: .*1<=x<=256; see .*"),
        ("eval run --jobs 100000", "eval run --jobs 100000: .*1<=x<=256; see .*"),
        ("detcet\n\x1b[31m", r"detcet\\n\\x1b\[31m: no such command; .*"),
    ],
)
def test_one_line(line: str, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(line.split(" "))
    printed = capsys.readouterr()
    assert stopped.value.code == 2
    assert printed.out == ""
    assert re.fullmatch(rf"error: {expected}\n", printed.err), printed.err


@pytest.mark.parametrize("line", ["models", "data", "quantize"])
def test_a_command_that_needs_another_word_shows_its_help(
    line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([line])
    printed = capsys.readouterr()
    assert stopped.value.code == 2
    assert f"Usage: ultraface-deploy {line}" in printed.err
    assert "Commands:" in printed.err
