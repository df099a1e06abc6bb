"""The address: what is free, what is this machine's, what it is called."""

from __future__ import annotations

import socket

import pytest

from ultraface_deploy.errors import InputError
from ultraface_deploy.serve.server import addresses, bind


def test_a_port_that_is_taken() -> None:
    with bind("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(InputError, match=rf"`port` {port}: address already in use; choose"):
            bind("127.0.0.1", port)
    bind("127.0.0.1", port).close()


@pytest.mark.parametrize("address", ["192.0.2.1", "nowhere.invalid", "1.2.3", "::ffff:x", ""])
def test_an_address_that_is_not_here(address: str) -> None:
    """192.0.2.0/24 is for documentation (RFC 5737); names are not looked up."""
    with pytest.raises(InputError, match=f"`listen` {address}"):
        bind(address, 0)


def test_localhost_is_this_machine() -> None:
    with bind("localhost", 0) as bound:
        assert bound.getsockname()[0] == "127.0.0.1"


def test_what_a_browser_is_to_open() -> None:
    with bind("127.0.0.1", 0) as bound:
        assert addresses(bound) == [f"http://127.0.0.1:{bound.getsockname()[1]}/"]
    with bind("0.0.0.0", 0) as bound:
        found = addresses(bound)
        port = bound.getsockname()[1]
        assert found[-1] == f"http://127.0.0.1:{port}/"
        assert not any("0.0.0.0" in each for each in found)


def test_the_sixth_version() -> None:
    try:
        bound = bind("::1", 0)
    except InputError:
        pytest.skip("needs IPv6")
    with bound:
        assert addresses(bound) == [f"http://[::1]:{bound.getsockname()[1]}/"]


def test_what_waits_for_a_slow_reader_is_little() -> None:
    with bind("127.0.0.1", 0) as bound:
        # Linux doubles what is asked for.
        assert bound.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) <= 128 << 10
