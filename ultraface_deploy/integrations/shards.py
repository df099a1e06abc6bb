"""The parts in which very many pictures are worked on, each of which becomes one file of rows.

Pictures in folders and object stores are taken together by the thousand; a Parquet file with
pictures in a column and a tar file (WebDataset) are a part each.
"""

from __future__ import annotations

import glob
import os
import re
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ultraface_deploy.errors import InputError
from ultraface_deploy.safe.images import IMAGE_SUFFIXES, list_images
from ultraface_deploy.safe.kinds import GET_AGAIN
from ultraface_deploy.safe.refusals import missing

if TYPE_CHECKING:
    from pyarrow import fs

Kind = Literal["pictures", "parquet", "tar"]
_SUFFIXES: dict[str, Kind] = {".parquet": "parquet", ".tar": "tar"}
_URI = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
# Names of columns, the likeliest first.
_PICTURE_COLUMNS = ("image", "jpg", "bytes", "content", "data", "picture", "png")
_NAME_COLUMNS = ("file", "path", "file_name", "filename", "name", "key", "__key__", "url", "id")
_ROWS_AT_A_TIME = 64


@dataclass(frozen=True)
class Shard:
    """A part of the input; its rows are one file of the output.

    `name`: the file it is, or the first of its pictures. `root`: an address that leads to the file
    system of `paths`, None for files of this machine.
    """

    index: int
    kind: Kind
    name: str
    root: str | None
    paths: tuple[str, ...]

    @property
    def output(self) -> str:
        """The name of its file of rows."""
        return f"part-{self.index:08}.parquet"


def shard_of(fields: dict[str, Any]) -> Shard:
    """Return a part from the JSON form of its fields."""
    return Shard(**fields | {"paths": tuple(fields["paths"])})


def find_shards(sources: Sequence[str], pictures: int) -> list[Shard]:
    """Return the parts of folders, globs, files and addresses of object stores, in their order.

    A folder stands for what lies in it, not below; `**` in a glob goes deeper.

    Args:
        sources: what the user typed.
        pictures: how many pictures of folders and globs are a part.

    Raises:
        InputError: there is nothing of that name, or nothing that can be looked at.
    """
    shards: list[Shard] = []

    def add(kind: Kind, root: str | None, paths: Sequence[str]) -> None:
        name = shown(root, paths[0])
        shards.append(Shard(len(shards), kind, name, root, tuple(paths)))

    for source in sources:
        root, paths = _listed(source)
        loose = [path for path in paths if _suffix(path) in IMAGE_SUFFIXES]
        for begin in range(0, len(loose), pictures):
            add("pictures", root, loose[begin : begin + pictures])
        packed = [path for path in paths if _suffix(path) in _SUFFIXES]
        for path in packed:
            add(_SUFFIXES[_suffix(path)], root, [path])
        if not loose and not packed:
            raise InputError(f"{source}: no picture, no .parquet and no .tar file is there")
    return shards


def shown(root: str | None, path: str) -> str:
    """Return how a row calls a file: as it was typed, of an object store with its scheme."""
    return path if root is None else f"{root.partition('://')[0]}://{path}"


@cache
def file_system(root: str | None) -> fs.FileSystem:
    """Return the file system that an address leads to; None for this machine's.

    Raises:
        InputError: pyarrow knows no such file system, or cannot reach it.
    """
    from pyarrow import fs

    if root is None:
        return fs.LocalFileSystem()
    return _resolved(root)[0]


def place(output: str) -> tuple[fs.FileSystem, str]:
    """Return the file system and the path of an output folder."""
    if _URI.match(output):
        return _resolved(output)
    return file_system(None), os.path.abspath(output)  # noqa: PTH100 - text


def _resolved(address: str) -> tuple[fs.FileSystem, str]:
    from pyarrow import ArrowException, fs

    try:
        system, path = fs.FileSystem.from_uri(address)
    except (ArrowException, OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"{address}: is no place that pyarrow can read ({reason}); "
            "give a folder, or an address such as s3://bucket/folder"
        ) from error
    return system, path


def _suffix(path: str) -> str:
    return os.path.splitext(path)[1].lower()  # noqa: PTH122 - not of this machine


def _listed(source: str) -> tuple[str | None, list[str]]:
    """Return a source's files, sorted, and the address of their file system."""
    if _URI.match(source):
        return _listed_far(source)
    path = Path(source)
    if path.is_dir():
        packed = sorted(str(each) for each in path.iterdir() if each.suffix.lower() in _SUFFIXES)
        return None, packed or [str(each) for each in list_images(path)]
    if glob.has_magic(source) and not path.exists():
        return None, sorted(glob.glob(source, recursive=True))  # noqa: PTH207 - the user's text
    if not path.is_file():
        raise InputError(f"{source}: {missing(path, 'file or folder', 'either')}")
    return None, [source]


def _listed_far(source: str) -> tuple[str, list[str]]:
    from pyarrow import fs

    # A question mark begins the options of an address.
    magic = re.search(r"[*\[]", source)
    root = source if magic is None else source[: source.rindex("/", 0, magic.start())]
    system, base = _resolved(root)
    try:
        info = system.get_file_info(base)
        if info.type == fs.FileType.File:
            return root, [base]
        found = system.get_file_info(fs.FileSelector(base, recursive=magic is not None))
    except OSError as error:
        raise InputError(f"{source}: cannot be listed ({str(error).splitlines()[0]})") from error
    paths = sorted(each.path for each in found if each.type == fs.FileType.File)
    if magic is not None:
        pattern = _expression(source[len(root) :])
        paths = [path for path in paths if pattern.fullmatch(path[len(base) :])]
    return root, paths


def _expression(pattern: str) -> re.Pattern[str]:
    """Return a glob as a regular expression: `**/` any folders, `*` and `?` within a name."""
    meant = {"**/": r"(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    parts = re.findall(r"\*\*/|\*\*|\*|\?|\[[^\]]*\]|.", pattern)
    return re.compile(
        "".join(
            meant.get(part) or (part.replace("[!", "[^") if len(part) > 1 else re.escape(part))
            for part in parts
        )
    )


def packed_pictures(shard: Shard) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the content of each picture of a Parquet or tar file, in their order.

    Raises:
        OSError: it cannot be read, or not further.
        InputError: it is damaged, or has no column of pictures.
    """
    reader = _rows if shard.kind == "parquet" else _members
    yield from reader(shard)


def _rows(shard: Shard) -> Iterator[tuple[str, bytes]]:
    from pyarrow import ArrowException, parquet

    with file_system(shard.root).open_input_file(shard.paths[0]) as file:
        try:
            table = parquet.ParquetFile(file)
            names, row = table.schema_arrow.names, 0
            column = _column(shard, table.schema_arrow)
            named = next((name for name in _NAME_COLUMNS if name in names), None)
            wanted = [column, *([named] if named else [])]
            for batch in table.iter_batches(_ROWS_AT_A_TIME, columns=wanted):
                for each in batch.to_pylist():
                    yield _picture_of(each[column], each.get(named), row)
                    row += 1
        except ArrowException as error:
            raise InputError(f"{shard.name}: {str(error).splitlines()[0]}; {GET_AGAIN}") from error


def _column(shard: Shard, schema: Any) -> str:
    """Return the column with the pictures: bytes, or as Hugging Face has them {bytes, path}."""
    from pyarrow import types

    def holds(kind: Any) -> bool:
        if types.is_struct(kind):
            return any(field.name == "bytes" and holds(field.type) for field in kind)
        return bool(types.is_binary(kind) or types.is_large_binary(kind))

    found = [field.name for field in schema if holds(field.type)]
    chosen = [name for name in _PICTURE_COLUMNS if name in found] or found
    if len(chosen) != 1 and not (chosen and chosen[0] in _PICTURE_COLUMNS):
        raise InputError(
            f"{shard.name}: has {len(found)} columns of bytes; call the one with the pictures "
            f"{_PICTURE_COLUMNS[0]!r}"
        )
    name: str = chosen[0]
    return name


def _picture_of(value: Any, name: Any, row: int) -> tuple[str, bytes]:
    if isinstance(value, dict):
        name, value = name or value.get("path"), value.get("bytes")
    return str(name) if name not in (None, "") else f"row {row}", value or b""


def _members(shard: Shard) -> Iterator[tuple[str, bytes]]:
    with file_system(shard.root).open_input_stream(shard.paths[0]) as file:
        try:
            with tarfile.open(fileobj=file, mode="r|") as archive:
                for member in archive:
                    if member.isfile() and _suffix(member.name) in IMAGE_SUFFIXES:
                        content = archive.extractfile(member)
                        yield member.name, b"" if content is None else content.read()
        except tarfile.TarError as error:
            raise InputError(
                f"{shard.name}: the tar file is damaged ({error}); {GET_AGAIN}"
            ) from error
