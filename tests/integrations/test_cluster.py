"""Whether anybody listens at an address is seen at once; the rest is shown by test_ray.py."""

from __future__ import annotations

import socket
import sys
from types import SimpleNamespace

import pytest

from ultraface_deploy.errors import InputError, ToolFailed
from ultraface_deploy.integrations.cluster import _knock, cluster


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


@pytest.mark.parametrize(
    ("address", "kind", "said"),
    [
        (None, ToolFailed, r"did not start .*\(The node timed out\.\); it gives itself 30 seconds"),
        ("10.0.0.1:6379", InputError, r"`address` 10\.0\.0\.1:6379: no Ray cluster answers there"),
    ],
)
def test_a_ray_that_does_not_come_up(
    address: str | None, kind: type[Exception], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def init(**settings: object) -> None:
        raise Exception("The node timed out.\nThis could happen because ...")

    ray = SimpleNamespace(is_initialized=lambda: False, init=init)
    monkeypatch.setitem(sys.modules, "ray", ray)
    with pytest.raises(kind, match=said), cluster(address, lambda message: None):
        pass
