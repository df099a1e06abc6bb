"""Options that several commands share, each written once."""

# Tested by tests/cli/test_bad_input.py.

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from ultraface_deploy.agreement.precision import PRECISIONS

Folder = Annotated[
    Optional[Path],  # noqa: UP045 - typer reads it at run time on Python 3.10
    typer.Argument(
        metavar="[DIR]",
        help="Artifact folder; without one the default model's, converted first if missing.",
        show_default=False,
    ),
]
FolderOrFile = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Argument(
        metavar="[DIR|FILE]",
        help="Artifact folder or single model file; without one the default model's, converted "
        "first if missing.",
        show_default=False,
    ),
]
InputSize = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--input-size", metavar="WxH", help="Size of the network input, for example 320x240."
    ),
]
Model = Annotated[
    str, typer.Option("--model", help="Artifact folder, model file or registry name.")
]
Backend = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--backend",
        metavar="NAME",
        help="Runtime; default: the first installed that reads the model.",
    ),
]
Backends = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option(
        "--backend", metavar="NAME", help="Runtime; repeat for several, or `all` for the installed."
    ),
]


def precision_option(more: str = "") -> Any:
    """Return the option that names precisions, and says more of how a command takes them."""
    return typer.Option("--precision", metavar="NAME", help=f"{', '.join(PRECISIONS)}{more}.")


Precision = Annotated[str, precision_option()]
Precisions = Annotated[
    Optional[list[str]],  # noqa: UP045
    precision_option("; default fp32; repeat for several, or `all`"),
]
JsonTarget = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--json", metavar="FILE", help="Write the result as JSON; `-` for standard output."
    ),
]
Mean = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--mean", metavar="N|R,G,B", help="Of a foreign file: subtracted from pixels."),
]
Std = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--std", metavar="N", help="Of a foreign file: pixels are divided by it."),
]
ColorOrder = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--color", help="Of a foreign file: rgb, bgr or gray."),
]
IgnoreOutputs = Annotated[
    bool,
    typer.Option("--ignore-outputs", help="Run a foreign file without outputs nobody knows."),
]
AllowNoFaces = Annotated[
    bool,
    typer.Option("--allow-no-faces", help="Let a comparison in which no face was found pass."),
]
Device = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--device", metavar="NAME", help="Execution provider of ONNX Runtime: cuda, openvino, ..."
    ),
]
ClassNames = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option(
        "--class",
        metavar="NAME",
        help="A class of the labels that is a face; repeat, or NAME=1,OTHER=2 for several labels. "
        "Default: `face`, or the only class there is.",
    ),
]
CalibrationKeepsAspect = Annotated[
    bool,
    typer.Option(
        "--keep-aspect", help="INT8: calibrate on photographs padded instead of stretched."
    ),
]
KeepAspect = Annotated[
    bool, typer.Option("--keep-aspect", help="Fit the picture into the input and pad it.")
]
Threads = Annotated[
    int, typer.Option("--threads", min=1, max=256, help="Threads of one inference.")
]
ScoreThreshold = Annotated[
    Optional[float],  # noqa: UP045
    typer.Option(
        "--threshold", min=0.0, max=1.0, help="Minimum score of a face; default: the model's own."
    ),
]


def choose_device(name: str | None) -> None:
    """Make ONNX Runtime use an execution provider.

    Raises:
        InputError: there is none of that name.
        MissingDependency: ONNX Runtime is not installed, or does not have it.
    """
    if name is None:
        return
    from ultraface_deploy.backends.onnxruntime import BACKEND

    BACKEND.require()
    BACKEND.use(name)


def chosen_backends(names: list[str] | None) -> list[str] | None:
    """Return the backends asked for; None where all are.

    Raises:
        InputError: a name is unknown.
        MissingDependency: a named runtime is not installed.
    """
    from ultraface_deploy.backends import get_backend

    if not names or "all" in names:
        return None
    for name in names:
        get_backend(name).require()
    return list(dict.fromkeys(names))
