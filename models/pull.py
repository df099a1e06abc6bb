"""Downloading checkpoints of the registry: only when asked, checked by SHA-256, whole or not."""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit
from urllib.request import Request

from filelock import FileLock
from platformdirs import user_cache_path

from ultraface_deploy import __version__, models
from ultraface_deploy.errors import CheckFailed, InputError
from ultraface_deploy.models import RegistryEntry, find
from ultraface_deploy.models.pace import HTTPHandler, HTTPSHandler, Pace
from ultraface_deploy.safe.files import make_folder, sha256_of

_CHUNK = 1 << 16
_TIMEOUT_S = 30.0
# Checkpoints of this family are 1 MB; whatever is far larger is not one.
_MAX_BYTES = 64 << 20
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class _CheckedRedirects(urllib.request.HTTPRedirectHandler):
    """Holds every redirect to the rule for the first address."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        _check_address(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


_VARIABLE = "ULTRAFACE_DEPLOY_CACHE"
OnBytes = Callable[[int, int | None], None]


def cache_folder() -> Path:
    """Return where downloads are kept: `ULTRAFACE_DEPLOY_CACHE`, else the user's cache folder."""
    configured = os.environ.get(_VARIABLE)
    return Path(configured) if configured else user_cache_path("ultraface-deploy") / "models"


def cached_checkpoint(entry: RegistryEntry) -> Path:
    """Return a checkpoint that was pulled before; never downloads.

    Raises:
        InputError: it was not pulled yet.
        CheckFailed: the file was changed since.
    """
    path = _target(entry)
    if not path.is_file():
        raise InputError(
            f"{entry.name} is not on this machine; "
            f"download it with: ultraface-deploy models pull {entry.name}"
        )
    if sha256_of(path) != entry.sha256:
        raise CheckFailed(f"{path}: is not {entry.name} (SHA-256 differs); delete and pull again")
    return path


def require_pulled(names: Sequence[str]) -> None:
    """Say at once which of several models are not on this machine.

    Raises:
        InputError: some are not.
    """
    entries = [find(name) for name in names]
    missing = [each.name for each in entries if not each.file and not _target(each).is_file()]
    if len(missing) > 1:
        raise InputError(
            f"{', '.join(missing)} are not on this machine; "
            "download them with: ultraface-deploy models pull"
        )


def checkpoint_of(entry: RegistryEntry) -> Path:
    """Return the checkpoint of an entry, one that ships or was pulled before; never downloads.

    Raises:
        InputError: it was not pulled yet.
        CheckFailed: the pulled file was changed since.
    """
    return models.FOLDER / entry.file if entry.file else cached_checkpoint(entry)


def file_or_name(given: Path) -> Path:
    """Return a file as it is given, or the checkpoint of the model of that name.

    Raises:
        InputError: there is no such model, or it was not pulled yet.
    """
    if given.suffix or given.exists():
        return given
    return checkpoint_of(find(str(given)))


def pull(entry: RegistryEntry, progress: OnBytes = lambda done, total: None) -> Path:
    """Download a checkpoint into the cache, going on where an earlier try stopped.

    Args:
        entry: what to download.
        progress: called with bytes so far and in all (None where the server does not say).

    Returns:
        The checkpoint's path.

    Raises:
        InputError: no address, not https, or the server cannot be reached; what arrived is kept
            for the next try.
        CheckFailed: the SHA-256 is wrong; nothing is kept.
    """
    if entry.url is None:
        raise InputError(f"{entry.name} ships with the package; there is nothing to download")
    _check_address(entry.url)
    path = _target(entry)
    make_folder(path.parent, _VARIABLE)
    with FileLock(path.with_suffix(".lock")):
        if path.is_file() and sha256_of(path) == entry.sha256:
            return path
        partial = path.with_suffix(".part")
        pace = Pace()
        try:
            with pace:
                _download(entry.url, partial, pace, progress)
        except (urllib.error.URLError, HTTPException, OSError, ValueError) as error:
            reason = pace.ended or getattr(error, "reason", None) or error
            raise InputError(f"{entry.url}: download failed ({reason}); try again") from error
        found = sha256_of(partial)
        if found != entry.sha256:
            partial.unlink()
            raise CheckFailed(
                f"{entry.url}: SHA-256 is {found[:12]}..., expected {entry.sha256[:12]}...; "
                "nothing was kept"
            )
        partial.replace(path)
    return path


def _target(entry: RegistryEntry) -> Path:
    return cache_folder() / f"{entry.name}.pth"


def _check_address(url: str) -> None:
    parts = urlsplit(url)
    local = parts.scheme == "http" and parts.hostname in _LOOPBACK
    if parts.scheme not in ("https", "file") and not local:
        raise InputError(f"{url}: only https addresses are downloaded from")


def _download(url: str, partial: Path, pace: Pace, progress: OnBytes) -> None:
    opener = urllib.request.build_opener(_CheckedRedirects, HTTPHandler(pace), HTTPSHandler(pace))
    have = partial.stat().st_size if partial.is_file() else 0
    headers = {"User-Agent": f"ultraface-deploy/{__version__}"}
    if have:
        headers["Range"] = f"bytes={have}-"
    request = Request(url, headers=headers)
    try:
        response = opener.open(request, timeout=_TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if have and error.code == 416:  # nothing left to send, or another file by now
            partial.unlink()
            _download(url, partial, pace, progress)
            return
        raise
    with response:
        resumed = response.status == 206
        have = have if resumed else 0
        length = response.headers.get("Content-Length")
        total = have + int(length) if length is not None else None
        if total is not None and total > _MAX_BYTES:
            raise OSError(f"{total} bytes announced, more than any checkpoint of this family")
        with partial.open("ab" if resumed else "wb") as file:
            while chunk := response.read1(_CHUNK):
                have += len(chunk)
                pace.count(len(chunk))
                if have > _MAX_BYTES:
                    raise OSError("more bytes than any checkpoint of this family")
                file.write(chunk)
                progress(have, total)
        pace.check()
        if total is not None and have < total:
            raise OSError(f"connection closed after {have} of {total} bytes")
