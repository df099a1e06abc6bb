"""Several boards in one table."""

from __future__ import annotations

from pathlib import Path

from tests.bench.made import measurement, report
from tests.conftest import Cli
from ultraface_deploy.bench.collection import boards_table
from ultraface_deploy.bench.submission import Submission
from ultraface_deploy.models import registry

SLIM = registry()["slim-320"].sha256


def cells(text: str, board: str) -> list[list[str]]:
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows if row[0] == board]


def submission(board: str, *milliseconds: float, **changes: object) -> Submission:
    measured = [
        measurement(ms, threads=count, source_sha256=SLIM, precision="int8", **changes)
        for count, ms in enumerate(milliseconds, 1)
    ]
    return Submission.of(report(*measured, board=board))


def test_boards_stand_beside_the_published_table() -> None:
    text = boards_table([submission("Pi 5", 10.0, 6.0), submission("Pi 3", 50.0)])
    published = cells(text, "Raspberry Pi 4B *")
    assert [row[5:] for row in published] == [
        ["29", "16", "12", "9.5"],
        ["35", "19.6", "14.8", "11"],
    ]
    (row,) = cells(text, "Pi 5")
    assert row[1:5] == ["slim-320", "320x240", "ncnn 1.0", "int8"]
    assert [round(float(cell)) for cell in row[5:7]] == [10, 6]
    assert len(cells(text, "Pi 3")) == 1
    assert "not measured by us" in text


def test_warnings_and_half_floats_are_shown_and_strangers_words_break_nothing() -> None:
    text = boards_table(
        [submission("a | <b>\nc", 10.0, warnings=["busy"], verification={"halves": True})]
    )
    row = next(line for line in text.splitlines() if "a \\| &lt;b> c" in line)
    assert "int8, halves" in row and "[1] |" in row
    assert "[1] busy" in text


def test_submit_then_table(cli: Cli, tmp_path: Path) -> None:
    result, sent = tmp_path / "result.json", tmp_path / "sent.json"
    result.write_text(report(measurement(2.0, source_sha256=SLIM), board="Pi 4").to_json())
    done = cli("bench", "submit", result, "-o", sent)
    assert done.code == 0 and "nothing has been sent" in done.err
    assert cli("bench", "submit", result, "-o", "-").out == sent.read_text()
    page = tmp_path / "boards.md"
    page.write_text("<!-- boards:begin -->\n<!-- boards:end -->\n")
    assert cli("bench", "table", sent, result, "--into", page).code == 0
    assert page.read_text().count("| Pi 4 |") == 2
    shown = cli("bench", "table", sent)
    assert shown.code == 0 and "| Pi 4 | slim-320 |" in shown.out
    assert "nowhere.json" in cli("bench", "table", tmp_path / "nowhere.json").error
