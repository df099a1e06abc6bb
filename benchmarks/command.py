"""How the command of a benchmark begins and ends: what is wrong is said in one line."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from ultraface_deploy import models
from ultraface_deploy.artifacts.folder import ArtifactFolder
from ultraface_deploy.errors import InputError, UltraFaceError
from ultraface_deploy.safe.refusals import missing, said_by_system
from ultraface_deploy.safe.text import printable


def existing(text: str) -> Path:
    """Read the path of something that is to be read, for argparse.

    Raises:
        InputError: there is nothing. argparse lets it pass, and `command` says it.
    """
    path = Path(text)
    if not path.exists():
        raise InputError(f"{text}: {missing(path, 'file or folder', 'either')}")
    return path


def network(text: str) -> str:
    """Read the name of an embedded network or the path of one, for argparse.

    Raises:
        InputError: there is none, or a folder holds no artifacts; see `existing`.
    """
    if text in models.registry():
        return text
    if existing(text).is_dir():
        ArtifactFolder.open(text)
    return text


def command(main: Callable[[], None]) -> None:
    """Run the command line of a benchmark; end as `ultraface-deploy` does, without a traceback.

    Raises:
        SystemExit: with the error's exit code; 2 where a file cannot be opened.
    """
    try:
        main()
    except UltraFaceError as error:
        problem, code = str(error), error.exit_code
    except OSError as error:
        problem = said_by_system(error, "input/output")
        code = InputError.exit_code
    else:
        return
    print(f"error: {printable(problem)}", file=sys.stderr)
    raise SystemExit(code)
