"""A Ray cluster: joined, or made of this machine's cores."""

from __future__ import annotations

import logging
import os
import re
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ultraface_deploy.detect import parquet
from ultraface_deploy.errors import InputError, MissingDependency, ToolFailed

_ANSWERS_S = 5.0


def require(address: str | None) -> None:
    """Refuse to go on without the packages, or with an address where nobody listens.

    Raises:
        InputError: nobody listens there.
        MissingDependency: ray or pyarrow is not installed.
    """
    parquet.require()
    if "ray" not in sys.modules:
        _keep_to_itself(address)
    try:
        import pandas  # noqa: F401 - Ray Data cannot be imported without
        import ray  # noqa: F401
    except ImportError as error:
        raise MissingDependency.package("ray", "ray", "`engine` ray") from error
    if address:
        try:
            _knock(address)
        except (OSError, OverflowError, ValueError) as error:
            raise _nobody(address, error) from error


def _nobody(address: str | None, error: Exception) -> InputError:
    said = getattr(error, "strerror", None) or str(error) or type(error).__name__
    reason = str(said).splitlines()[0]
    return InputError(
        f"`address` {address}: no Ray cluster answers there ({reason}); "
        "start one, or leave `address` out"
    )


def _not_started(error: Exception) -> ToolFailed:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return ToolFailed(
        f"Ray did not start on this machine ({reason}); it gives itself 30 seconds: try when less "
        "else runs, or start a cluster before and give `address` auto"
    )


def _keep_to_itself(address: str | None) -> None:
    """Set what Ray reads when it is imported, where the user has not."""
    # Ray reports a cluster's use to its makers, or where that is off, that it is off.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_USAGE_STATS_REPORT_URL", "http://127.0.0.1:9/")
    if address is None:
        # Whatever it is called: on all systems it keeps a cluster of one machine to 127.0.0.1.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        # At Ray's own 15 its workers stand still for minutes beside anything else that computes,
        # while the user waits for them.
        os.environ.setdefault("RAY_worker_niceness", "0")


@contextmanager
def cluster(address: str | None, report: Callable[[str], Any]) -> Iterator[None]:
    """Join a cluster, or have one of this machine's cores for as long as it takes.

    Args:
        address: of the cluster; None for one of this machine's.
        report: hears what is waited for.

    Raises:
        InputError: nobody answers there.
        ToolFailed: it did not start on this machine.
    """
    import ray

    if ray.is_initialized():
        yield
        return
    own: dict[str, Any] = {"include_dashboard": False}
    place = f"joining the Ray cluster at {address}" if address else "starting Ray on this machine"
    report(f"{place} ...")
    began = time.perf_counter()
    try:
        ray.init(
            address=address or "local",
            log_to_driver=False,
            logging_level=logging.ERROR,
            **({} if address else own),
        )
    except Exception as error:  # Ray raises plain ones where a part of it has not come up in time
        if address is None:
            raise _not_started(error) from error
        raise _nobody(address, error) from error
    took = time.perf_counter() - began
    report(f"Ray answers after {took:.0f} s; its first workers load the network ...")
    try:
        yield
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """See in a few seconds that somebody listens: Ray itself tries for minutes.

    Raises:
        OSError: nobody does.
    """
    if found := re.fullmatch(
        r"(?:ray://)?(?:\[(?P<six>[^]]+)\]|(?P<host>[^:/]+)):(?P<port>\d{1,5})", address
    ):
        host = found["six"] or found["host"]
        socket.create_connection((host, int(found["port"])), _ANSWERS_S).close()
