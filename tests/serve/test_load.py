"""Two hundred clients for a few seconds, and damaged pictures; `make serve-load` is longer."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.serve.load import crowd, own_process, send_damaged


def test_two_hundred_clients(clip: Path) -> None:
    """Each gets something, all of them cost little memory, and the server ends as it should."""
    with own_process(clip) as server:
        before = server.memory_mb
        got = asyncio.run(crowd(server.port, 200, 6))
        for kind, each in got.items():
            if kind == "send":
                # Not all get their turn in so short a time; the others are told to come again.
                assert each.served > 0
                assert set(each.answers) <= {200, 503}
            elif kind != "send half":
                assert each.served == each.clients, kind
        assert server.memory_mb - before < 150
        assert set(send_damaged(server.port, 100)) == {200, 400}
        assert server.get("/v1/health")
