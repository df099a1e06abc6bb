"""`serve`: a live view in the browser, and an interface for programs."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from ultraface_deploy.cli.console import line, note
from ultraface_deploy.cli.options import (
    Backend,
    Device,
    InputSize,
    KeepAspect,
    Model,
    Precision,
    ScoreThreshold,
    Threads,
    choose_device,
)
from ultraface_deploy.errors import MissingDependency
from ultraface_deploy.models import DEFAULT_MODEL

if TYPE_CHECKING:
    import uvicorn

_PACKAGES = ("starlette", "uvicorn", "prometheus_client")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("serve")(serve)


def serve(
    source: Annotated[
        Optional[str],  # noqa: UP045 - typer reads it at run time on Python 3.10
        typer.Option(
            "--source",
            metavar="SOURCE",
            help="Camera (0, /dev/video0 or picamera2), stream (rtsp://, http://) or video; "
            "without one only pictures that are sent are looked at.",
        ),
    ] = None,
    model: Model = DEFAULT_MODEL,
    backend: Backend = None,
    precision: Precision = "fp32",
    threads: Threads = 1,
    device: Device = None,
    input_size: InputSize = None,
    threshold: ScoreThreshold = None,
    keep_aspect: KeepAspect = False,
    fps: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(
            "--fps", min=0.1, max=1000, help="Most pictures a second looked at; default: all."
        ),
    ] = None,
    width: Annotated[
        int, typer.Option("--width", min=64, max=8192, help="Widest picture a viewer gets.")
    ] = 1280,
    listen: Annotated[
        str,
        typer.Option(
            "--listen",
            metavar="ADDRESS",
            help="Address to listen on; 0.0.0.0 for all of this machine. Others than this "
            "machine need the token.",
        ),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0: any free one.")] = 8000,
    token: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--token",
            envvar="ULTRAFACE_DEPLOY_TOKEN",
            help="What viewers must know; by default made and printed where --listen is given.",
        ),
    ] = None,
    max_body: Annotated[
        int, typer.Option("--max-body", metavar="MB", min=1, max=256, help="Largest picture sent.")
    ] = 16,
    max_requests: Annotated[
        int,
        typer.Option(
            "--max-requests", min=1, max=1000, help="Pictures sent at once; more are told to wait."
        ),
    ] = 8,
) -> None:
    """Show a camera with its faces in the browser, and find faces in pictures that are sent."""
    from ultraface_deploy.agreement.precision import parse_precision
    from ultraface_deploy.detect.detector import open_detector
    from ultraface_deploy.family.spec import parse_input_size
    from ultraface_deploy.pipeline.postprocess import PostprocessOptions
    from ultraface_deploy.pipeline.view import View

    _require_packages()
    from ultraface_deploy.serve.app import Parts
    from ultraface_deploy.serve.live import Watched
    from ultraface_deploy.serve.server import addresses, bind, make_server
    from ultraface_deploy.serve.source import open_live

    size = None if input_size is None else parse_input_size(input_size)
    another = partial(
        open_detector,
        model,
        backend,
        parse_precision(precision),
        threads,
        PostprocessOptions(threshold),
        size,
        note,
        View(keep_aspect),
    )
    given, token = token, _token(token, listen)
    choose_device(device)
    watched = None if source is None else Watched(open_live(source), source, width, fps)
    with bind(listen, port) as bound, another() as watching, another() as answering:
        parts = Parts.of(watching, answering, watched, threads, token, max_body, max_requests)
        server = make_server(parts)
        for address in addresses(bound):
            # A token that was given is no news, and output may end in a journal.
            line(address if token == given else f"{address}?token={token}")
        note("Ctrl-C ends")
        with _signals_end(server):
            server.run([bound])
    note("ended")


def _require_packages() -> None:
    """Refuse to begin without the packages of the extra.

    Raises:
        MissingDependency: one is missing.
    """
    for package in _PACKAGES:
        if find_spec(package) is None:
            raise MissingDependency.package(package.replace("_", "-"), "serve", "serve")


def _token(given: str | None, listen: str) -> str | None:
    """Return the token that viewers need; None where only this machine listens."""
    from ultraface_deploy.serve.access import check_token, is_loopback, new_token

    if given is not None:
        return check_token(given)
    return None if is_loopback(listen) else new_token()


@contextmanager
def _signals_end(server: uvicorn.Server) -> Iterator[None]:
    """Let signals mean the end that was expected.

    While it starts, too, when the server does not hear them yet. An exception would be lost where
    it meets one of the event loop's own calls. At its end the server passes them on to us.
    """

    def end(*_: object) -> None:
        server.should_exit = True

    heard = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [(number, signal.getsignal(number)) for number in heard]
    before = [(number, handler) for number, handler in before if handler != signal.SIG_IGN]
    for number, _ in before:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)
