"""What becomes a part, and the rows of a part, without any engine."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.conftest import Cli, noise
from ultraface_deploy.detect.detector import Detector, open_detector
from ultraface_deploy.errors import InputError
from ultraface_deploy.integrations import work
from ultraface_deploy.integrations.shards import find_shards, shard_of
from ultraface_deploy.integrations.work import look, read_settings, write_settings
from ultraface_deploy.safe.images import DEMO_PHOTO

pa = pytest.importorskip("pyarrow", reason="needs the extra parquet")
parquet = pytest.importorskip("pyarrow.parquet", reason="needs the extra parquet")


@pytest.fixture(scope="module")
def detector() -> Detector:
    return open_detector("slim-320")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Four pictures in a folder, one of them none, one cut off; and one further down."""
    folder = tmp_path / "in"
    (folder / "below").mkdir(parents=True)
    content = DEMO_PHOTO.read_bytes()
    (folder / "a.jpg").write_bytes(content)
    (folder / "b.jpg").write_bytes(content[: len(content) * 3 // 4])
    (folder / "c.jpg").write_bytes(b"no picture")
    (folder / "d e%.png").write_bytes(cv2.imencode(".png", noise(64, 48))[1].tobytes())
    (folder / "below" / "z.jpg").write_bytes(content)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.*"))}


def rows_of(source: str, detector: Detector, out: Path, pictures: int = 1000) -> list[Any]:
    """The rows of all parts of a source, without the column that only parts have."""
    found = []
    for shard in find_shards([source], pictures):
        assert shard_of(json.loads(json.dumps(asdict(shard)))) == shard
        told = look(detector, shard, str(out), full_decode=False)
        rows = parquet.read_table(out / shard.output).to_pylist()
        assert told["pictures"] == len(rows)
        assert told == look(detector, shard, str(out), full_decode=False)
        assert {row.pop("shard") for row in rows} == {shard.name}
        found += rows
    return found


@pytest.fixture
def serial(cli: Cli, pictures: Path, tmp_path: Path) -> list[dict[str, Any]]:
    """What `detect --parquet` writes of the folder."""
    cli("detect", pictures, "--parquet", tmp_path / "serial.parquet")
    rows: list[dict[str, Any]] = parquet.read_table(tmp_path / "serial.parquet").to_pylist()
    return rows


def nameless(rows: list[dict[str, Any]]) -> list[Any]:
    """Rows without names, also those in the reasons."""

    def without_name(text: str | None) -> str | None:
        return text and text.rpartition(": ")[2]

    return [
        *((row["width"], row["height"], row["faces"]) for row in rows),
        *((without_name(row["error"]), without_name(row["damage"])) for row in rows),
    ]


def test_a_folder_is_what_detect_makes_of_it(
    pictures: Path, serial: list[Any], detector: Detector, tmp_path: Path
) -> None:
    for size in (1, 3, 4):
        out = tmp_path / f"{size}"
        out.mkdir()
        assert rows_of(str(pictures), detector, out, size) == serial
        assert len(list(out.iterdir())) == -(-4 // size)


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("", ["a", "b", "c", "d e%"]),
        ("/*.jpg", ["a", "b", "c"]),
        ("/**/*.jpg", ["a", "b", "below/z", "c"]),
        ("/[!ab]*.*", ["c", "d e%"]),
        ("/a.jpg", ["a"]),
    ],
)
def test_addresses_and_globs(
    pictures: Path, serial: list[Any], detector: Detector, tmp_path: Path, pattern: str, names: Any
) -> None:
    """`file://` is read like an object store, through pyarrow."""
    for number, root in enumerate((pictures, pictures.as_uri())):
        out = tmp_path / f"{number}"
        out.mkdir()
        rows = rows_of(f"{root}{pattern}", detector, out, 2)
        found = [row["file"].removeprefix("file://") for row in rows]
        below = [Path(name).relative_to(pictures) for name in found]
        assert sorted(str(path.with_suffix("")) for path in below) == names
        assert number == 0 or all(row["file"].startswith("file:///") for row in rows)
        known = {Path(row["file"]).name: row for row in serial}
        for row in rows:
            if Path(row["file"]).name in known:
                assert nameless([row]) == nameless([known[Path(row["file"]).name]])


def test_webdataset(pictures: Path, serial: list[Any], detector: Detector, tmp_path: Path) -> None:
    shards = tmp_path / "shards"
    shards.mkdir()
    for number in range(2):
        with tarfile.open(shards / f"{number}.tar", "w") as archive:
            for name, content in contents(pictures).items():
                for member, data in ((name, content), (f"{name}.cls", b"1"), ("x.json", b"{}")):
                    info = tarfile.TarInfo(member)
                    info.size = len(data)
                    archive.addfile(info, io.BytesIO(data))
    rows = rows_of(str(shards), detector, tmp_path)
    assert [row["file"] for row in rows] == [*contents(pictures)] * 2
    assert nameless(rows) == nameless(serial * 2)


@pytest.mark.parametrize("form", ["bytes", "struct", "unnamed"])
def test_parquet_with_pictures(
    pictures: Path, serial: list[Any], detector: Detector, tmp_path: Path, form: str
) -> None:
    held = contents(pictures)
    columns: dict[str, Any] = {
        "bytes": {"path": [*held], "image": [*held.values()], "thumbnail": [b""] * len(held)},
        "struct": {"image": [{"bytes": data, "path": name} for name, data in held.items()]},
        "unnamed": {"anything": [*held.values()], "label": [1] * len(held)},
    }[form]
    parquet.write_table(pa.table(columns), tmp_path / "in.parquet", row_group_size=3)
    rows = rows_of(str(tmp_path / "in.parquet"), detector, tmp_path)
    wanted = [*held] if form != "unnamed" else [f"row {number}" for number in range(len(held))]
    assert [row["file"] for row in rows] == wanted
    assert nameless(rows) == nameless(serial)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (cut, ""),
        (lambda path: path.write_bytes(b"no such file"), ""),
        (lambda path: path.unlink(), "cannot be read"),
    ],
    ids=["cut", "other", "gone"],
)
@pytest.mark.parametrize("suffix", [".tar", ".parquet"])
def test_a_part_that_cannot_be_read_is_a_row(
    pictures: Path,
    detector: Detector,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    damage: Callable[[Path], None],
    reason: str,
    suffix: str,
) -> None:
    monkeypatch.setattr(work, "_PAUSE_S", 0)
    path = tmp_path / f"in{suffix}"
    if suffix == ".tar":
        with tarfile.open(path, "w") as archive:
            archive.add(pictures / "a.jpg", "a.jpg")
            archive.add(pictures / "d e%.png", "d.png")
    else:
        parquet.write_table(pa.table({"image": [*contents(pictures).values()]}), path)
    (shard,) = find_shards([str(path)], 1)
    damage(path)
    told = look(detector, shard, str(tmp_path), full_decode=False)
    rows = parquet.read_table(tmp_path / shard.output).to_pylist()
    assert told["unreadable"] >= 1
    assert rows[-1]["file"] == str(path)
    assert str(path) in rows[-1]["error"] and reason in rows[-1]["error"]


def test_a_store_that_stutters_is_asked_again(
    pictures: Path, detector: Detector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "_PAUSE_S", 0)
    asked = []
    true = work.file_system

    class Stuttering:
        def __init__(self, often: int) -> None:
            self._often = often

        def open_input_stream(self, path: str) -> Any:
            asked.append(path)
            if path.endswith("a.jpg") and sum(each == path for each in asked) <= self._often:
                raise OSError("timed out")
            return true(None).open_input_stream(path)

    for often, errors in ((2, 0), (99, 1)):
        asked.clear()
        monkeypatch.setattr(work, "file_system", lambda root, often=often: Stuttering(often))
        (shard,) = find_shards([f"{pictures.as_uri()}/[ad]*"], 9)
        out = tmp_path / f"{often}"
        out.mkdir()
        assert look(detector, shard, str(out), full_decode=False)["unreadable"] == errors


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("gone", "no such file or folder"),
        ("*.gone", "no picture, no .parquet and no .tar file is there"),
        ("file:///gone/x", "cannot be listed|no picture"),
        ("nowhere://a/b", "is no place that pyarrow can read"),
    ],
)
def test_sources_that_are_none(source: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        find_shards([source], 1)


def test_columns_that_are_none(detector: Detector, tmp_path: Path) -> None:
    for columns, reason in (
        ({"label": [1]}, "has 0 columns of bytes; call the one with the pictures 'image'"),
        ({"one": [b""], "two": [b""]}, "has 2 columns of bytes"),
    ):
        parquet.write_table(pa.table(columns), tmp_path / "in.parquet")
        (shard,) = find_shards([str(tmp_path / "in.parquet")], 1)
        look(detector, shard, str(tmp_path), full_decode=False)
        (row,) = parquet.read_table(tmp_path / shard.output).to_pylist()
        assert reason in row["error"]
        (tmp_path / shard.output).unlink()


def test_settings_beside_the_rows(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    assert read_settings(str(out)) is None
    write_settings(str(out), {"model": np.pi})
    assert read_settings(str(out)) == {"model": np.pi}
    (out / "_settings.json").write_text("{")
    with pytest.raises(InputError, match="cannot be read"):
        read_settings(str(out))
    with pytest.raises(InputError, match="holds other files"):
        read_settings(str(tmp_path))


def test_what_does_not_go_with_an_engine(cli: Cli, tmp_path: Path) -> None:
    for words, said in (
        (("--engine", "spark"), "--engine spark: there is no such engine; give ray"),
        (("--address", "a:1"), "--address is for --engine ray"),
        (("--engine", "ray"), "give a folder for its Parquet files with -o"),
        (("--engine", "ray", "--json", tmp_path / "f.json"), "no --json; leave it out"),
        (("--engine", "ray", "-o", tmp_path, "--limit", "3"), "no --limit; leave it out"),
    ):
        done = cli("detect", DEMO_PHOTO, *words)
        assert done.code == 2 and said in done.error
    assert not list(tmp_path.iterdir())
