"""How a board is named: as for ssh, with a port as people write it."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path

from ultraface_deploy.errors import InputError, MissingDependency, RemoteFailed
from ultraface_deploy.safe.files import require_file

# Nobody is there to answer a question. A board that is gone must not look like a slow one: TCP
# alone would notice after hours.
_OPTIONS = (
    *("-o", "BatchMode=yes", "-o", "ConnectTimeout=15"),
    *("-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=4"),
)
_PORT = re.compile(
    r"(?P<host>(?:[^@:/\[\]]+@)?(?:[^@:/\[\]]+|\[[0-9A-Fa-f:.%\w]+\])):(?P<port>\d+)"
)


def destination(host: str) -> str:
    """Return what ssh takes: `pi@board:2222` becomes `ssh://pi@board:2222`.

    Names of the ssh configuration, `ssh://` addresses and bare IPv6 addresses stay as they are.

    Raises:
        InputError: it would be read as an option, is empty, or has an impossible port.
    """
    if not host.strip() or host.startswith("-") or any(not c.isprintable() for c in host):
        raise InputError(f"`host` {host!r}: give a host as for ssh, for example pi@board")
    found = _PORT.fullmatch(host)
    if found is None:
        return host
    if not 0 < int(found["port"]) < 65536:
        raise InputError(f"`host` {host}: port {found['port']} does not exist; give 1 to 65535")
    return f"ssh://{host}"


def ssh_command(host: str, identity: Path | None, words: Sequence[str]) -> list[str]:
    """Return the command that runs words on a host, with the system's ssh or what
    `ULTRAFACE_DEPLOY_SSH` says (as git's GIT_SSH).

    Raises:
        MissingDependency: there is no ssh here.
        InputError: the host or the identity file is wrong.
    """
    command = shlex.split(os.environ.get("ULTRAFACE_DEPLOY_SSH", "ssh"))
    if not command or shutil.which(command[0]) is None:
        name = command[0] if command else "ssh"
        raise MissingDependency(f"`host` needs {name}: apt-get install openssh-client")
    key: tuple[str, ...] = ()
    if identity is not None:
        require_file(identity, "identity file")
        key = ("-i", str(identity), "-o", "IdentitiesOnly=yes")
    return [*command, *_OPTIONS, *key, "--", destination(host), *words]


def ssh_failed(host: str, said: str) -> RemoteFailed:
    """Return the error for a host that ssh does not reach, with what ssh said of it."""
    by_hand = f"ssh {destination(host)} true"
    return RemoteFailed(f"{host}: ssh failed: {said}; see that this works: {by_hand}")
