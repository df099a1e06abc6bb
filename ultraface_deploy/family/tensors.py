"""Files of tensors: `.pth` of both kinds and `.safetensors`, of bounded size and without code."""

from __future__ import annotations

import io
import json
import pickle
import threading
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ultraface_deploy.errors import InputError, MissingDependency
from ultraface_deploy.family.spec import METADATA_KEY
from ultraface_deploy.safe.beside import Use, stand_ins
from ultraface_deploy.safe.files import require_file
from ultraface_deploy.safe.kinds import GET_AGAIN, damaged
from ultraface_deploy.safe.limits import Limit
from ultraface_deploy.safe.pickles import MOST_STEPS, NotPlain, require_plain
from ultraface_deploy.safe.protocols import as_protocol_2, is_newer
from ultraface_deploy.safe.zips import records_of

if TYPE_CHECKING:
    import torch

SAFETENSORS = ".safetensors"
_ZIP = b"PK\x03\x04"
# Before torch 1.6: magic number, version, about the machine, the object, the keys of its storages.
_OLD_PICKLES = 5
# torch packs nothing, and packed by hand weights lose a tenth.
_MOST_PACKED, _LEAST_UNPACKED = 4, 32 << 20
_ONE_AT_A_TIME = threading.Lock()
_DAMAGED = (ValueError, KeyError, OSError, EOFError, RuntimeError, NotImplementedError)


def load_tensors(path: Path) -> Any:
    """Read what `torch.save` wrote, or a safetensors file.

    Returns:
        The object that was saved; of a safetensors file `{"state_dict": {name: tensor}}` and,
        where the file states it, the description of the network.

    Raises:
        InputError: missing, damaged, too large, or it holds more than tensors.
        MissingDependency: torch or safetensors is not installed.
    """
    require_file(path, "checkpoint", Limit.MODEL)
    if path.suffix == SAFETENSORS:
        return _load_safetensors(path)
    try:
        source, beside = _plain(path)
    except NotPlain as error:
        raise InputError(
            f"{path}: refused, it holds more than tensors and loading it could run code "
            f"({str(error)[:80]}); save only the state dict"
        ) from error
    except (*_DAMAGED, zipfile.BadZipFile, zlib.error) as error:
        raise _damaged(path, "torch checkpoint", _why(error)) from error
    return _load_pickled(path, source, beside)


def save_safetensors(
    tensors: Mapping[str, torch.Tensor], described: Mapping[str, Any], path: Path
) -> None:
    """Write tensors with the description of their network in the metadata.

    Raises:
        MissingDependency: safetensors is not installed.
    """
    try:
        from safetensors.torch import save_file
    except ImportError as error:
        raise _missing("safetensors", f"writing {path.name}") from error
    plain = {name: tensor.contiguous() for name, tensor in tensors.items()}
    save_file(plain, path, {"format": "pt", METADATA_KEY: json.dumps(described)})


def _plain(path: Path) -> tuple[Path | IO[bytes], dict[str, Use]]:
    """Look at sizes and pickles before torch does: it does what a pickle says, however large.

    Returns:
        What torch shall read, where the pickles are of newer protocols a copy with older ones; and
        the names of what is there beside tensors.
    """
    with path.open("rb") as file:
        is_zip = file.read(len(_ZIP)) == _ZIP
    return _plain_zip(path) if is_zip else _plain_old(path)


def _plain_old(path: Path) -> tuple[Path | IO[bytes], dict[str, Use]]:
    beside: dict[str, Use] = {}
    with path.open("rb") as file:
        # Pickles say what the tensors are; the numbers lie elsewhere.
        content = file.read(Limit.TEXT.bytes)
    if not is_newer(content):
        require_plain(io.BytesIO(content), _OLD_PICKLES, beside)
        return path, beside
    reader, older = io.BytesIO(content), io.BytesIO()
    for _ in range(_OLD_PICKLES):
        rewritten = as_protocol_2(reader, MOST_STEPS)
        require_plain(io.BytesIO(rewritten), 1, beside)
        older.write(rewritten)
    with path.open("rb") as file:
        file.seek(reader.tell())
        older.write(file.read())
    older.seek(0)
    return older, beside


def _plain_zip(path: Path) -> tuple[Path | IO[bytes], dict[str, Use]]:
    beside: dict[str, Use] = {}
    records = records_of(path, Limit.MODEL)
    size, unpacked = path.stat().st_size, sum(records.values())
    if unpacked > max(_LEAST_UNPACKED, _MOST_PACKED * size):
        raise ValueError(f"{size >> 10} KiB that unpack to {unpacked >> 20} MiB")
    pickles = [name for name in records if name.endswith(".pkl")]
    for name in records:
        _, inner, key = name.partition("/data/")
        # Any other name might be read twice under two spellings.
        if inner and not (key.isascii() and key.isdecimal()):
            raise ValueError(f"a record named {key[:40]!r}")
    older = {}
    with zipfile.ZipFile(path) as archive:
        for record in archive.infolist():
            if record.filename.lower() in pickles:
                Limit.TEXT.check(path, record.file_size)
                content = archive.read(record)
                if is_newer(content):
                    content = as_protocol_2(io.BytesIO(content), MOST_STEPS)
                    older[record.filename] = content
                require_plain(io.BytesIO(content), 1, beside)
        return (_with_records(archive, older) if older else path), beside


def _with_records(archive: zipfile.ZipFile, replaced: Mapping[str, bytes]) -> IO[bytes]:
    """Return a copy of a zip file in which some records have other contents."""
    copy = io.BytesIO()
    with zipfile.ZipFile(copy, "w") as target:
        for name in archive.namelist():
            target.writestr(name, replaced[name] if name in replaced else archive.read(name))
    copy.seek(0)
    return copy


def _load_pickled(path: Path, source: Path | IO[bytes], beside: dict[str, Use]) -> Any:
    try:
        import torch
    except ImportError as error:
        raise _missing("torch", f"reading {path.name}") from error
    try:
        with _in_their_place(beside), warnings.catch_warnings():
            # Its advice is for whoever wrote the file, or for torch's own developers.
            warnings.simplefilter("ignore")
            return torch.load(source, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises nearly everything on damaged files
        if isinstance(error, pickle.UnpicklingError) and "unsupported" in str(error).lower():
            raise InputError(
                f"{path}: refused, it holds more than tensors and loading it could run code; "
                "save only the state dict"
            ) from error
        raise _damaged(path, "torch checkpoint", type(error).__name__) from error


def _damaged(path: Path, wanted: str, why: str) -> InputError:
    return InputError(f"{path}: {damaged(path, wanted, why, GET_AGAIN)}")


@contextmanager
def _in_their_place(beside: Mapping[str, Use]) -> Iterator[None]:
    """Have torch call stand-ins for these names; what it calls is one list for all threads.

    Raises:
        UnpicklingError: the program itself has allowed torch to call one of them for real.
    """
    from torch.serialization import get_safe_globals, safe_globals

    if not beside:
        yield
        return
    with _ONE_AT_A_TIME:
        allowed = {
            each[1] if isinstance(each, tuple) else f"{each.__module__}.{each.__qualname__}"
            for each in get_safe_globals()
        }
        try:
            named = stand_ins(beside, allowed)
        except ValueError as error:
            raise pickle.UnpicklingError(f"unsupported: {error} is allowed for real") from error
        with safe_globals([*named]):
            yield


def _load_safetensors(path: Path) -> Mapping[str, Any]:
    """Layout: a length, a JSON header of names, types, shapes and offsets, then the numbers."""
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError as error:
        raise _missing("safetensors", f"reading {path.name}") from error
    with path.open("rb") as file:
        Limit.TEXT.check(path, int.from_bytes(file.read(8), "little"))
    try:
        import torch  # noqa: F401 - safetensors makes its tensors

        with safe_open(path, framework="pt", device="cpu") as opened:
            described = (opened.metadata() or {}).get(METADATA_KEY)
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except ImportError as error:
        raise _missing("torch", f"reading {path.name}") from error
    except (SafetensorError, ValueError, TypeError, KeyError, OverflowError, RuntimeError) as error:
        raise _damaged(path, "safetensors file", _why(error)) from error
    content: dict[str, Any] = {"state_dict": tensors}
    if described is not None:
        try:
            content[METADATA_KEY] = json.loads(described)
        except (ValueError, RecursionError) as error:
            raise InputError(
                f"{path}: its description is damaged ({_why(error)}); {GET_AGAIN}"
            ) from error
    return content


def _missing(package: str, purpose: str) -> MissingDependency:
    return MissingDependency.package(package, "convert", purpose)


def _why(error: BaseException) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
