"""Whether anybody listens at an address is seen at once; the rest is shown by test_ray.py."""

from __future__ import annotations

import socket

import pytest

from ultraface_deploy.integrations.cluster import _knock


def test_where_nobody_listens() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        for address in (f"127.0.0.1:{port}", f"ray://127.0.0.1:{port}"):
            with pytest.raises(OSError, match="refused"):
                _knock(address)
        taken.listen()
        _knock(f"127.0.0.1:{port}")


def test_what_is_no_host_and_port_is_left_to_ray() -> None:
    _knock("auto")
    _knock("local")
