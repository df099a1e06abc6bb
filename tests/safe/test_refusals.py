"""What a message says is to be done: by what is there, and by the system's reason."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from ultraface_deploy.safe.refusals import missing, said_by_system, unreadable, unwritable


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with files and folders that have names."""
    for name in (
        *("slim-320.onnx", "slim-320.mnn", "24.jpg", "holiday.jpeg"),
        *("runs/slim-320/best.pth", "runs/slim-640/best.pth", ".hidden.json"),
    ):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("slim-320.onx", "slim-320.onnx"),
        ("slim-32.onnx", "slim-320.onnx"),
        ("Slim-320.ONNX", "slim-320.onnx"),
        ("holiday", "holiday.jpeg"),
        ("holiday.jpg", "holiday.jpeg"),
        ("run/slim-320/best.pth", "runs/slim-320/best.pth"),
        ("runs/slim_640/best.pt", "runs/slim-640/best.pth"),
        ("../{here}/holidays.jpeg", "../{here}/holiday.jpeg"),
    ],
)
def test_the_nearest_name_that_is_there(place: Path, typed: str, meant: str) -> None:
    typed, meant = (each.replace("{here}", place.name) for each in (typed, meant))
    assert missing(Path(typed), "model") == f"no such model; did you mean {meant}?"
    assert Path(meant).is_file()


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        # No slip of the pen: there may be a hundred such.
        ("4.jpg", "no such picture"),
        ("hidden.json", "no such picture"),
        ("other.jpg", "no such picture"),
        ("pictures/24.jpg", "no such picture; there is no folder pictures"),
        ("pictures/2026/24.jpg", "no such picture; there is no folder pictures"),
        ("runs/rfb/24.jpg", "no such picture; there is no folder runs/rfb"),
        ("24.jpg/face", "no such picture; 24.jpg is a file, not a folder"),
    ],
)
def test_where_no_name_is_like_it(place: Path, typed: str, said: str) -> None:
    assert missing(Path(typed), "picture") == said


@pytest.mark.usefixtures("place")
def test_files_for_files_and_folders_for_folders() -> None:
    assert missing(Path("runs/slim-32"), "folder", "folder").endswith("mean runs/slim-320?")
    assert missing(Path("runs/slim-32"), "model").endswith("no such model")
    assert missing(Path("runs/slim-32"), "path", "either").endswith("mean runs/slim-320?")
    assert missing(Path("slim-320"), "folder", "folder") == "no such folder"


@pytest.mark.usefixtures("place")
def test_a_name_that_is_there_before_anything_else() -> None:
    assert missing(Path("holiday.pth"), "model", otherwise="x").endswith("holiday.jpeg?")
    assert missing(Path("rfb.pth"), "model", otherwise="x") == "no such model; x"


def test_a_link_to_nothing(place: Path) -> None:
    (place / "link.jpg").symlink_to("/gone/24.jpg")
    said = missing(Path("link.jpg"), "picture")
    assert said == "no such picture; it is a link to /gone/24.jpg, which is not there"


def test_a_folder_that_may_not_be_looked_into(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(path: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", denied)
    assert missing(place / "slim-320.onx", "model") == "no such model"


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number), "a.json")


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "(No space left on device); make room or take B"),
        (errno.EACCES, "(Permission denied); check its permissions or take B"),
        (errno.EROFS, "(Read-only file system); take B"),
        (errno.ENOENT, "(No such file or directory); take B"),
        (errno.ENAMETOOLONG, "(File name too long); give a shorter name"),
        (errno.EIO, "(Input/output error); take B"),
    ],
)
def test_what_cannot_be_written(number: int, said: str) -> None:
    assert unwritable(_error(number), "take B") == f"cannot write {said}"


def test_what_cannot_be_written_for_want_of_a_folder(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file") as refused:
        (tmp_path / "gone" / "a.json").open("w")
    assert unwritable(refused.value, "take B").endswith("; make its folder first or take B")


def test_what_cannot_be_read() -> None:
    denied = "cannot be read (Permission denied); check its permissions"
    assert unreadable(_error(errno.EACCES)) == denied
    assert unreadable(_error(errno.EIO)) == "cannot be read (Input/output error); get it again"


def test_what_the_system_says_by_itself() -> None:
    full = said_by_system(_error(errno.ENOSPC), "it")
    assert full == "a.json: No space left on device; make room or choose another place"
    assert said_by_system(_error(errno.EIO), "it") == "a.json: Input/output error"
