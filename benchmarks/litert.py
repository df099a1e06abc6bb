"""Where the instructions of LiteRT's session go on an emulated core: interpreter and input.

    python -m ultraface_deploy.benchmarks.litert FILE.tflite [--core cortex-a76]

The session takes what every session takes, a float tensor of channels first, and writes it down as
the file wants it; a program that has the pixels as bytes begins with the interpreter.
"""

# Tested by tests/bench/count/test_instructions.py.

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from ultraface_deploy.benchmarks.command import command, existing
from ultraface_deploy.errors import InputError, ToolFailed
from ultraface_deploy.family.spec import ModelSpec

# As in counter.c.
_MARK = 0x55460000
PARTS = ("input as bytes", "set_tensor", "invoke", "get_tensor", "all of run")


def parts(file: Path, core: str) -> dict[str, int]:
    """Return the instructions of each part of one inference, one thread.

    Raises:
        InputError: the file carries no description of its network.
        MissingDependency: the emulated machine is not set up.
        ToolFailed: the file did not run there.
    """
    from ultraface_deploy.bench.count.instructions import build_plugin, emulated_python
    from ultraface_deploy.bench.count.sysroot import Sysroot
    from ultraface_deploy.converters.tflite.read import stated_spec

    spec = stated_spec(file)
    if spec is None:
        raise InputError(f"{file}: does not say which network it is")
    with tempfile.TemporaryDirectory(prefix="ultraface-arm-") as scratch:
        counts = Path(scratch, "counts")
        plugin = build_plugin(Path(scratch))
        emulator, *python = emulated_python(core, Sysroot.default(), Path(scratch))
        guest = ["-m", "ultraface_deploy.benchmarks.litert", "--guest", str(file.absolute())]
        guest.append(json.dumps(spec.to_dict()))
        command = [emulator, "-plugin", f"{plugin},out={counts}", *python, *guest]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            lines = done.stderr.strip().splitlines()
            raise ToolFailed(f"{file}: did not run on {core}: {lines[-1] if lines else 'silent'}")
        lines = counts.read_text().splitlines()
    return {part: int(line.split()[0]) for part, line in zip(PARTS, lines, strict=True)}


def _run_guest(file: Path, spec: ModelSpec) -> None:
    from ultraface_deploy.backends.litert import BACKEND
    from ultraface_deploy.pipeline import preprocess
    from ultraface_deploy.safe.images import DEMO_PHOTO, read_image

    session: Any = BACKEND.load([file], spec, 1, "int8")
    tensor = preprocess(read_image(DEMO_PHOTO), spec)
    session.run(tensor)
    session.run(tensor)
    interpreter, given = session._interpreter, session._input
    stored = _marked(lambda: given.stored(tensor))
    _marked(lambda: interpreter.set_tensor(given.index, stored))
    _marked(interpreter.invoke)
    _marked(lambda: [interpreter.get_tensor(each["index"]) for each in session._outputs])
    _marked(lambda: session.run(tensor))


def _marked(do: Callable[[], Any]) -> Any:
    """Do something between the two calls that the plugin waits for; no such processes exist."""
    with suppress(OSError):
        os.getpgid(_MARK)
    result = do()
    with suppress(OSError):
        os.getpgid(_MARK + 1)
    return result


def main() -> None:
    """Print a line for each part."""
    if sys.argv[1:2] == ["--guest"]:
        _run_guest(Path(sys.argv[2]), ModelSpec.from_dict(json.loads(sys.argv[3])))
        return
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("file", type=existing)
    parser.add_argument("--core", default="cortex-a76")
    asked = parser.parse_args()
    for part, instructions in parts(asked.file, asked.core).items():
        print(f"{part:<16} {instructions / 1e6:6.2f} M instructions")


if __name__ == "__main__":
    command(main)
