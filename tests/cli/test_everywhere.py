"""Options that work anywhere on the line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Cli
from ultraface_deploy import InputError
from ultraface_deploy.cli.everywhere import Everywhere


def test_they_are_taken_off_the_line_wherever_they_stand() -> None:
    found = Everywhere.of(["-v", "detect", "a.jpg", "--debug", "--log-file", "l.txt", "-q"])
    assert found == Everywhere(True, True, True, "l.txt", ["detect", "a.jpg"])


def test_what_follows_two_dashes_is_left_alone() -> None:
    assert Everywhere.of(["detect", "--", "-q"]).rest == ["detect", "--", "-q"]


@pytest.mark.parametrize("words", [["--log-file"], ["--log-file="]])
def test_a_log_needs_a_name(words: list[str]) -> None:
    with pytest.raises(InputError, match="file name"):
        Everywhere.of(words)


def test_log_that_cannot_be_written_is_named(cli: Cli, tmp_path: Path) -> None:
    log = tmp_path / "nix/log.txt"
    done = cli("--log-file", log, "models", "list")
    assert done.code == 2
    assert f"--log-file {log}: cannot write (No such file or directory); make its" in done.error
    assert not done.out
