"""Files appear whole or not at all."""

from __future__ import annotations

import hashlib
import os
import stat
import threading
from pathlib import Path

import pytest

from ultraface_deploy.errors import InputError
from ultraface_deploy.safe.files import (
    inside,
    make_folder,
    read_text,
    replacing,
    require_file,
    sha256_of,
    write_text,
)


def test_whole_file_replaces_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "result.json"
    target.write_text("old")
    with replacing(target) as temporary:
        temporary.write_text("new")
        assert temporary.suffix == ".json"
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, OSError])
def test_failure_keeps_the_old_file(tmp_path: Path, error: type[BaseException]) -> None:
    target = tmp_path / "result.json"
    target.write_text("old")
    with pytest.raises((error, InputError)), replacing(target) as temporary:
        temporary.write_text("half")
        raise error("stop")
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_failure_leaves_no_new_file(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), replacing(tmp_path / "new.txt") as temporary:
        temporary.write_text("half")
        raise RuntimeError("stop")
    assert list(tmp_path.iterdir()) == []


def test_pipe_is_written_into_not_replaced(tmp_path: Path) -> None:
    """As root, a file that takes the name of /dev/null is the end of it."""
    pipe, read = tmp_path / "pipe", list[str]()
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()), daemon=True)
    reader.start()
    write_text(pipe, "text")
    reader.join(10)
    assert read == ["text"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert list(tmp_path.iterdir()) == [pipe]


def test_who_reads_the_old_file_keeps_it(tmp_path: Path) -> None:
    """A new file takes the name; the old one is never written into."""
    target, reader = tmp_path / "result.json", tmp_path / "reader"
    target.write_text("old")
    reader.hardlink_to(target)
    write_text(target, "new")
    assert (target.read_text(), reader.read_text()) == ("new", "old")


def test_content_is_on_the_disk_before_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: seen.append(target.read_text()))
    target = tmp_path / "result.json"
    target.write_text("old")
    write_text(target, "new")
    assert seen == ["old"]


def test_permissions_follow_the_umask(tmp_path: Path) -> None:
    mask = os.umask(0o027)
    try:
        write_text(tmp_path / "file.txt", "text")
    finally:
        os.umask(mask)
    assert (tmp_path / "file.txt").stat().st_mode & 0o777 == 0o640


def test_text_is_utf8_and_newlines_stay(tmp_path: Path) -> None:
    write_text(tmp_path / "file.txt", "Größe\r\n")
    assert (tmp_path / "file.txt").read_bytes() == "Größe\r\n".encode()


def test_folder_that_is_a_file(tmp_path: Path) -> None:
    blocker = tmp_path / "blocker"
    blocker.write_text("a file")
    with pytest.raises(InputError, match="blocker"):
        make_folder(blocker)
    with pytest.raises(InputError, match="blocker"):
        make_folder(blocker / "below")
    with pytest.raises(InputError, match="cannot write"):
        write_text(blocker / "file.txt", "text")
    assert blocker.read_text() == "a file"


def test_place_that_nobody_can_write() -> None:
    with pytest.raises(InputError, match="/proc"):
        make_folder(Path("/proc/ultraface"))
    with pytest.raises(InputError, match="/proc"):
        write_text(Path("/proc/ultraface.txt"), "text")


def test_target_that_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="folder"):
        write_text(tmp_path / "folder", "text")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_require_file(tmp_path: Path) -> None:
    empty, full = tmp_path / "empty.pth", tmp_path / "full.pth"
    empty.touch()
    full.write_text("x")
    require_file(full, "checkpoint")
    for path, reason in (
        (tmp_path / "gone.pth", "no such checkpoint"),
        (empty, "is empty"),
        (tmp_path, "is not a file"),
    ):
        with pytest.raises(InputError, match=reason) as refused:
            require_file(path, "checkpoint")
        assert str(path) in str(refused.value)


@pytest.mark.parametrize(
    "name",
    ["", "/etc/passwd", "..", "../a", "a/../../b", "..\\a", "a\0", "a" * 256, "\ud800"],
)
def test_names_that_lead_out_of_a_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"leads out|cannot be the name|longer than"):
        inside(tmp_path, name)
    assert inside(tmp_path, "a/b..c") == tmp_path / "a/b..c"


def test_sha256(tmp_path: Path) -> None:
    content = os.urandom((1 << 20) + 7)
    (tmp_path / "file").write_bytes(content)
    assert sha256_of(tmp_path / "file") == hashlib.sha256(content).hexdigest()


LFS = (
    "version https://git-lfs.github.com/spec/v1\n"
    "oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n"
)


@pytest.mark.parametrize("suffix", [".pth", ".onnx", ".mnn", ".param", ".jpg", ".prototxt"])
def test_a_git_lfs_pointer_is_named(tmp_path: Path, suffix: str) -> None:
    from ultraface_deploy import Detector
    from ultraface_deploy.safe.images import read_image

    path = tmp_path / f"a{suffix}"
    path.write_text(LFS)
    for name in ("a.bin", "a.caffemodel"):
        (tmp_path / name).write_text("x")
    with pytest.raises(InputError, match=r"Git LFS pointer.*git lfs pull"):
        read_image(path) if suffix == ".jpg" else Detector.open(path)


def test_a_companion_that_is_a_git_lfs_pointer_is_named(tmp_path: Path) -> None:
    from ultraface_deploy import Detector

    (tmp_path / "a.param").write_text("x")
    (tmp_path / "a.bin").write_text(LFS)
    with pytest.raises(InputError, match=r"a\.bin: is a Git LFS pointer"):
        Detector.open(tmp_path / "a.param")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_text_is_read_without_its_byte_order_mark(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.txt").write_text("größer\n", encoding=encoding)
    assert read_text(tmp_path / "a.txt") == "größer\n"
