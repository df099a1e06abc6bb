"""What options and arguments name in the file system, looked at before a command begins.

A wrong path is refused in the second it was typed, not after minutes of converting. What a file
holds is checked by whatever reads it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ultraface_deploy.cli.usage import require_number
from ultraface_deploy.errors import InputError
from ultraface_deploy.safe.refusals import missing

Check = Callable[[str, Path], None]

_KEPT = frozenset(
    {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".avif", ".heic", ".tif", ".tiff"}
    | {".mp4", ".avi", ".mov", ".mkv", ".webm", ".pth", ".pt", ".ckpt", ".safetensors"}
    | {".onnx", ".mnn", ".param", ".bin", ".caffemodel", ".prototxt", ".tflite", ".xml"}
)
"""Suffixes of what no command writes as text."""
_STREAMS = frozenset({"/dev/stdout", "/dev/stderr", "/dev/fd/1", "/dev/fd/2"})
"""Links to where results and notes go, which is a file where they are redirected to one."""


def input_file(option: str, path: Path) -> None:
    """Refuse what is not a readable file."""
    if not path.exists():
        raise InputError(f"{_said(option, path)}: {missing(path, 'file')}")
    if not path.is_file():
        raise InputError(f"{_said(option, path)}: is not a file; a file was expected")
    _require_readable(option, path)


def input_folder(option: str, path: Path) -> None:
    """Refuse what is not a readable folder."""
    if not path.exists():
        raise InputError(f"{_said(option, path)}: {missing(path, 'folder', 'folder')}")
    if not path.is_dir():
        raise InputError(f"{_said(option, path)}: is not a folder; a folder was expected")
    _require_readable(option, path)


def input_path(option: str, path: Path) -> None:
    """Refuse what is neither a readable file nor a readable folder."""
    if not path.exists():
        raise InputError(f"{_said(option, path)}: {missing(path, 'file or folder', 'either')}")
    _require_readable(option, path)


def output_file(option: str, path: Path) -> None:
    """Refuse a file that cannot be written, or whose folder is not there; `-` is no file."""
    if str(path) == "-":
        return
    if path.is_dir():
        raise InputError(f"{_said(option, path)}: is a folder; give the name of a file")
    if str(path) in _STREAMS:
        raise InputError(f"{_said(option, path)}: cannot be replaced; give - for standard output")
    if path.exists() and not path.is_file():
        # A device or a pipe is written into: nothing is made beside it.
        _require_writable(option, path, path)
        return
    if not path.parent.is_dir():
        raise InputError(f"{_said(option, path)}: {path.parent} is not a folder; make it first")
    _require_writable(option, path, path.parent)


def output_text(option: str, path: Path) -> None:
    """Refuse what `output_file` refuses, and a picture, video or model that is there.

    `--json a.jpg` means a picture to look at, and a file name that was forgotten.
    """
    output_file(option, path)
    if path.suffix.lower() in _KEPT and path.is_file() and path.stat().st_size:
        raise InputError(
            f"{_said(option, path)}: is there and would be replaced; give the name of a new file"
        )


def output_folder(option: str, path: Path) -> None:
    """Refuse a folder that can neither be made nor written."""
    if path.exists() and not path.is_dir():
        raise InputError(f"{_said(option, path)}: is a file; give the name of a folder")
    output_path(option, path)


def output_path(option: str, path: Path) -> None:
    """Refuse a file or folder below something that is not a folder or cannot be written."""
    above = next(each for each in (path.absolute(), *path.absolute().parents) if each.exists())
    if above.is_file() and above != path.absolute():
        raise InputError(
            f"{_said(option, path)}: {above} is a file, not a folder; choose another place"
        )
    _require_writable(option, path, above)


def named_file(option: str, path: Path) -> None:
    """Refuse a file that is not there; without a suffix and a folder it may be a name."""
    if path.suffix or len(path.parts) > 1 or path.exists():
        input_file(option, path)


def named_path(option: str, path: Path) -> None:
    """Refuse a file or folder that is not there; a word without a suffix may be a name."""
    if path.suffix or len(path.parts) > 1 or path.exists():
        input_path(option, path)


def cache_place(option: str, path: Path) -> None:
    """Refuse a folder that can neither be made nor written; `disk`, `ram` and `off` are none."""
    if str(path) not in ("disk", "ram", "off"):
        output_folder(option, path)


def result_file(option: str, path: Path) -> None:
    """Refuse what `[NAME=]FILE` names where that is no file."""
    if not path.exists():
        input_file(option, Path(str(path).rpartition("=")[2]))


def _said(option: str, path: Path) -> str:
    return f"{option} {path}" if option else str(path)


def _require_readable(option: str, path: Path) -> None:
    if not os.access(path, os.R_OK):
        raise InputError(f"{_said(option, path)}: cannot be read; check its permissions")


def _require_writable(option: str, path: Path, existing: Path) -> None:
    if not os.access(existing, os.W_OK):
        raise InputError(
            f"{_said(option, path)}: {existing} cannot be written; choose another place"
        )


# By spelling; where a command means something else by one, by the command and the spelling.
CHECKS: dict[str, Check] = {
    "--calibration": input_path,
    "--validation": input_folder,
    "--ground-truth": input_folder,
    "--images": input_folder,
    "--image": input_path,
    "--identity": input_file,
    "--eval": input_file,
    "--data": input_folder,
    "--predictions": input_path,
    "--folder": input_folder,
    "--labels": input_path,
    "--recipe": named_file,
    "--teacher": input_file,
    "--init": input_file,
    "--into": input_file,
    "--beside": input_file,
    # Before the emulator is asked for.
    "bench count [DIR]...": named_path,
    "bench compare A.json": input_file,
    "bench compare B.json": input_file,
    "bench report RESULT.json": input_file,
    "bench recommend RESULT.json": input_file,
    "bench submit RESULT.json": input_file,
    "bench table FILE...": input_file,
    "eval compare BEFORE": input_file,
    "eval compare AFTER": input_file,
    "eval table [NAME=]FILE...": result_file,
    "data prepare ROOT": input_path,
    "models balance-scores CHECKPOINT": named_file,
    "models match-scores CHECKPOINT": input_file,
    "models scores CHECKPOINT": named_file,
    "models compare BEFORE": named_file,
    "models compare AFTER": named_file,
    "models average CHECKPOINT...": named_file,
    "--like": input_file,
    "--json": output_text,
    "--csv": output_text,
    "--markdown": output_text,
    "--count": output_text,
    "--jsonl": output_text,
    "--parquet": output_text,
    "--curves": output_file,
    "--plot": output_file,
    "--ncnn-table": output_file,
    "--crop": output_folder,
    "--plots": output_folder,
    "--save-predictions": output_folder,
    "--cache": cache_place,
    "--output": output_folder,
    "detect --output": output_path,
    "bench report --output": output_file,
    "bench submit --output": output_file,
    "quantize calibrate --output": output_file,
    "models balance-scores --output": output_file,
    "models match-scores --output": output_file,
    "models average --output": output_file,
    "quantize report --output": output_file,
}


def check_first(command: Any, words: tuple[str, ...] = ()) -> None:
    """Give the options of a command line and of all its commands their checks.

    Args:
        command: what typer makes of the whole command line, or one command of it.
        words: the names that lead to it.
    """
    for name, child in getattr(command, "commands", {}).items():
        check_first(child, (*words, name))
    for parameter in command.params:
        if (check := check_of(words, parameter)) is not None:
            parameter.callback = _callback(check, name_of(parameter))
        elif parameter.callback is None:
            parameter.callback = _number


def check_of(words: tuple[str, ...], parameter: Any) -> Check | None:
    """Return the check of an option or argument, None where it names no file."""
    names = list(_names(parameter))
    own = [" ".join((*words, name)) for name in names]
    return next((CHECKS[name] for name in (*own, *names) if name in CHECKS), None)


def name_of(parameter: Any) -> str:
    """Return how an error calls an option; an argument needs no name."""
    return "" if parameter.param_type_name == "argument" else max(parameter.opts, key=len)


def _names(parameter: Any) -> Iterator[str]:
    if parameter.param_type_name == "argument":
        yield parameter.metavar or parameter.name.upper()
    else:
        yield from sorted(parameter.opts, key=len, reverse=True)


def _number(context: Any, parameter: Any, value: Any) -> Any:
    require_number(name_of(parameter), value)
    return value


def _refuse_replacing(seen: dict[str, Any], check: Check, name: str, path: Path) -> None:
    """Refuse an output that is an input too: what a command reads it does not replace.

    Raises:
        InputError: names the output.
    """
    if str(path) == "-" or not path.is_file():
        return
    written = check in (output_file, output_text, output_path)
    for other, other_name, was_written in seen.setdefault(__name__, []):
        if was_written != written and other.samefile(path):
            output, source = (name, other_name) if written else (other_name, name)
            read = f"{source} reads it" if source else "it is read"
            raise InputError(f"{_said(output, path)}: would be replaced and {read}; name another")
    seen[__name__].append((path, name, written))


def _callback(check: Check, name: str) -> Callable[[Any, Any, Any], Any]:
    def checked(context: Any, parameter: Any, value: Any) -> Any:
        several = value if isinstance(value, (list, tuple)) else [value]
        for each in several if not context.resilient_parsing else ():
            if each is not None:
                check(name, Path(each))
                _refuse_replacing(context.meta, check, name, Path(each))
        return value

    return checked
