"""`--engine ray` of `detect` and `eval`: the same work on many machines."""

# Tested by tests/integrations/test_ray.py.

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from ultraface_deploy.cli.console import line, note, progress
from ultraface_deploy.errors import CheckFailed, InputError
from ultraface_deploy.safe.text import counted

if TYPE_CHECKING:
    from ultraface_deploy.accuracy.workers import Spread
    from ultraface_deploy.detect.detector import Detector
    from ultraface_deploy.detect.sinks import Wanted

Engine = Annotated[
    Optional[str],  # noqa: UP045 - typer reads it at run time on Python 3.10
    typer.Option(
        "--engine", metavar="ray", help="Work on the cores of a Ray cluster, of many machines."
    ),
]
Address = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--address",
        metavar="HOST:PORT",
        help="The Ray cluster, or `auto`; default: one of this machine's cores, for this run.",
    ),
]
ShardSize = Annotated[
    int,
    typer.Option(
        "--shard-size", min=1, help="With --engine: pictures of folders and globs in a file of -o."
    ),
]


def require_engine(engine: str | None, address: str | None) -> bool:
    """Return whether an engine is asked for.

    Raises:
        InputError: there is no such engine, or an address without one.
    """
    if engine not in (None, "ray"):
        raise InputError(f"--engine {engine}: there is no such engine; give ray")
    if engine is None and address is not None:
        raise InputError("--address is for --engine ray; give both or none")
    return engine is not None


def detect_with_ray(
    sources: Sequence[str],
    wanted: Wanted,
    opening: Callable[[], Detector],
    others: dict[str, Any],
    **settings: Any,
) -> None:
    """Run `detect --engine ray`.

    Args:
        sources: what the user typed.
        wanted: the folder, and what cannot be had with an engine.
        opening: opens a detector in an actor.
        others: by option what was given beside, which cannot be had either.
        settings: further arguments of `integrations.ray.detect`.

    Raises:
        InputError: an option does not go with it.
        CheckFailed: pictures could not be read.
    """
    from ultraface_deploy.integrations import ray

    given = {f"--{kind}": target for kind, target in wanted.tables.items()} | {
        "--crop": wanted.crops,
        "--show": wanted.show,
        f"--{wanted.hide}": wanted.hide,
        "--resume": wanted.resume,
        **others,
    }
    for option, value in given.items():
        if value:
            raise InputError(f"--engine ray writes Parquet into -o, and no {option}; leave it out")
    if wanted.output is None:
        raise InputError("--engine ray: give a folder for its Parquet files with -o")
    # An address has lost a slash as a path.
    output = re.sub(r"^([A-Za-z][A-Za-z0-9+.-]+):/(?=[^/])", r"\1://", str(wanted.output))
    output = output.replace("file://", "file:///", 1)
    with progress() as bar:
        task = bar.add_task("detecting", total=None)
        found = ray.detect(
            sources,
            output,
            opening,
            on_part=lambda done, parts: bar.update(task, completed=done, total=parts),
            report=note,
            **settings,
        )
    line(
        f"{counted(found.faces, 'face')} in {counted(found.pictures, 'picture')}: "
        f"{counted(found.parts, 'file')} in {output}"
    )
    if found.unreadable:
        said = f"{found.unreadable} of {counted(found.pictures, 'picture')}"
        raise CheckFailed(f"{said} could not be read; the column `error` says why")


def spread_of(engine: str | None, address: str | None) -> Spread | None:
    """Return what runs the detectors of an evaluation; None for processes of this machine."""
    if not require_engine(engine, address):
        return None
    from ultraface_deploy.integrations import ray

    return partial(ray.in_actors, address=address, report=note)
