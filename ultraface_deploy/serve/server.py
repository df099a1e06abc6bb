"""The server around the application: its address, its limits, its end."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

import psutil
import uvicorn

from ultraface_deploy.errors import InputError
from ultraface_deploy.serve.access import is_loopback
from ultraface_deploy.serve.app import Parts, build_app
from ultraface_deploy.serve.guarded import Guarded

# Of those that have not asked yet, too; requests are bounded before.
_MOST_CONNECTIONS = 2000
_HEAD_BYTES = 16 << 10
_SEND_BYTES = 64 << 10
_END_S = 3


def bind(address: str, port: int) -> socket.socket:
    """Take a port of an address; 0 for any that is free.

    Raises:
        InputError: the port is taken, or the address is not of this machine.
    """
    try:
        literal = ip_address("127.0.0.1" if address == "localhost" else address)
    except ValueError as error:
        # A name would have to be looked up.
        raise InputError(
            f"`listen` {address}: give an address such as 0.0.0.0, and the port with `port`"
        ) from error
    family = socket.AF_INET if literal.version == 4 else socket.AF_INET6
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Inherited by connections. What waits there for a slow reader is of the past.
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BYTES)
    try:
        bound.bind((str(literal), port))
        # Only who listens has the port to himself.
        bound.listen(128)
    except OSError as error:
        bound.close()
        reason = (error.strerror or str(error)).lower()
        raise InputError(
            f"`listen` {address} `port` {port}: {reason}; choose another port or address"
        ) from error
    return bound


def addresses(bound: socket.socket) -> list[str]:
    """Return the URLs under which a bound socket is reached."""
    host, port = bound.getsockname()[:2]
    hosts = [host]
    if host in ("0.0.0.0", "::"):
        families = [socket.AF_INET] if host == "0.0.0.0" else [socket.AF_INET6, socket.AF_INET]
        hosts = [
            each.address
            for of_interface in psutil.net_if_addrs().values()
            for each in of_interface
            if each.family in families and "%" not in each.address
        ]
        hosts = sorted(hosts, key=is_loopback) or [host]
    return [f"http://{f'[{each}]' if ':' in each else each}:{port}/" for each in hosts]


class _Server(uvicorn.Server):
    """Lets the viewers of endless streams go when it ends."""

    def __init__(self, config: uvicorn.Config, end: Callable[[], None]) -> None:
        super().__init__(config)
        self._end = end

    async def shutdown(self, sockets: Any = None) -> None:
        self._end()
        await super().shutdown(sockets)


def make_server(parts: Parts) -> uvicorn.Server:
    """Return a server that is to be run with a bound socket: `make_server(parts).run([bound])`."""
    config = uvicorn.Config(
        build_app(parts),
        http=Guarded,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=_MOST_CONNECTIONS,
        h11_max_incomplete_event_size=_HEAD_BYTES,
        timeout_graceful_shutdown=_END_S,
    )
    # What a client does wrong is told to the client.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    return _Server(config, (lambda: None) if parts.live is None else parts.live.end_streams)
